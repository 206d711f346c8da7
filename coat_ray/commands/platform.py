"""``coat up`` and ``coat down``: the whole platform on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CONFIG = Path("serve/config.yaml")


def up(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API, on this machine only.")] = 8000,
    cpus: Annotated[
        int | None, typer.Option(min=2, help="Logical CPUs to share out; default: the machine's, at least six.")
    ] = None,
    config: Annotated[Path, typer.Option(help="What Ray Serve runs: which base model, how many replicas.")] = CONFIG,
) -> None:
    """Start the platform: Ray, the API, the queue. The first start prints the owner's key, once."""
    from coat_ray.client import remember  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.config import ConfigError  # noqa: PLC0415
    from coat_ray.local.platform import address, keeping, start  # noqa: PLC0415

    if not CONFIG.is_file():
        raise ConfigError(f"there is no {CONFIG} here; run it from the root of the repository")
    if not config.is_file():
        raise ConfigError(f"there is no {config}; copy {CONFIG} and change it")
    if keeping() is not None:
        typer.echo(f"the platform of this folder is up already: {address() or 'it is starting'}")
        return
    url = start(Path.cwd(), port, cpus, config.resolve(), typer.echo)
    typer.echo(f"\nThe platform is up. Its API is at {url}/api/v1, described in {url}/api/v1/openapi.json")
    typer.echo(f"Models answer at {url}/v1, as OpenAI's do; the page for people, where it is hosted, is {url}/ui.")
    if (key := _first_key()) is not None:
        remember(url, key)
        _introduce(key)


def down() -> None:
    """End the platform with all its processes. Its runs go on at the next `coat up`."""
    from coat_ray.local.platform import stop  # noqa: PLC0415 - `coat --help` must be instant

    typer.echo("the platform is down" if stop(typer.echo) else "no platform of this folder runs")


def _first_key() -> str | None:
    """A key for the owner of a platform that has none, else None."""
    from coat_ray.storage import home  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.tenancy.database import Database  # noqa: PLC0415
    from coat_ray.tenancy.keys import create_key, list_keys  # noqa: PLC0415
    from coat_ray.tenancy.roles import PLATFORM, Role  # noqa: PLC0415

    database = Database.open(storage_root=home())
    try:
        with database.begin() as session:
            if any(key.role is Role.OWNER for key in list_keys(session, None)):
                return None
            return create_key(session, role=Role.OWNER, tenant=None, actor=PLATFORM, label="first").text
    finally:
        database.close()


def _introduce(key: str) -> None:
    typer.echo(f"The owner's key, shown this once:\n\n  {key}\n")
    typer.echo("It is remembered for this user on this machine. Next, a team and its first key:\n")
    typer.echo("  coat tenants create speech")
