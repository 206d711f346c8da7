"""``coat login``, ``coat logout``, ``coat whoami``: which platform is asked, as whom."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_json, show_rows

LOOPBACK = ("http://127.", "http://localhost", "http://[::1]")


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="The platform, such as http://127.0.0.1:8000")],
) -> None:
    """Remember a platform and your key for it. The key is asked for, or read from standard input; never an argument."""
    from coat_ray.client import PLATFORM, Client, remember  # noqa: PLC0415 - `coat --help` must be instant

    key = typer.prompt("API key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    client = Client.open(url, key.strip() or " ")  # without a key the answer would be about a missing one
    who = client.get("/me")
    file = remember(url, key.strip())
    if url.startswith("http://") and not url.startswith(LOOPBACK):
        typer.echo("http:// to another machine: whoever listens on the way reads the key; use https://", err=True)
    if os.environ.get(PLATFORM):
        typer.echo(f"{PLATFORM} is set in this shell and wins over what is kept here", err=True)
    typer.echo(f"{_sentence(who, client.url)}; kept in {file}")


def logout() -> None:
    """Forget the platform and the key that `coat login` or `coat up` kept; the key itself stays valid."""
    from coat_ray.client import forget  # noqa: PLC0415 - `coat --help` must be instant

    typer.echo("forgotten" if forget() else "no platform was remembered")


def whoami(*, as_json: AsJson = False) -> None:
    """Show which platform is asked, as whom, and what your tenant may have and uses now."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    client = Client.required()
    who = client.get("/me")
    if as_json:
        show_json({"platform": client.url, **who})
        return
    typer.echo(_sentence(who, client.url))
    if who["quota"] is None:
        return
    rows = [
        {"limit": limit, "used": who["used"].get(limit), "allowed": "unlimited" if allowed is None else allowed}
        for limit, allowed in who["quota"].items()
    ]
    show_rows(rows, ("limit", "used", "allowed"), as_json=False, empty="no limits")


def _sentence(who: dict[str, Any], url: str) -> str:
    whose = f"of tenant {who['tenant']}" if who["tenant"] else "of the platform"
    return f"key {who['key']}, {who['role']} {whose} at {url}"
