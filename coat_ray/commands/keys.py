"""``coat keys``: API keys of a tenant, or of the platform."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_json, show_rows

app = typer.Typer(no_args_is_help=True, help="API keys: who may do what on the platform.")

COLUMNS = ("id", "tenant", "role", "label", "created_at", "used_at", "expires_at", "revoked_at", "require_audio")


class KeyRole(StrEnum):
    """As ``coat_ray.tenancy.roles.Role``, which takes too long to import for ``coat --help``."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"


@app.command()
def create(
    *,
    role: Annotated[KeyRole, typer.Option(help="What it may do; each role may do what the ones before it may.")],
    tenant: Annotated[str | None, typer.Option(help="Whose; default: your own. An owner's key has none.")] = None,
    label: Annotated[str, typer.Option(help="Who or what will use it, for listings.")] = "",
    days: Annotated[float | None, typer.Option(min=0, help="It ends after so many days; default: never.")] = None,
    require_audio: Annotated[
        bool,
        typer.Option(
            "--require-audio", help="Questions without a clip are refused, so that no evaluation scores text alone."
        ),
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Write into the database of this machine, for example when a key is lost.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days is not None else None
    if local:
        made = _created_here(role, tenant, label, expires_at, require_audio=require_audio)
    else:
        from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

        body: dict[str, Any] = {"role": role.value, "tenant": tenant, "label": label}
        body |= {"expires_at": expires_at.isoformat()} if expires_at else {}
        body |= {"require_audio": True} if require_audio else {}
        made = Client.required().post("/keys", body)
    if as_json:
        show_json(made)
    else:
        show_key(made)


@app.command("list")
def list_keys(*, as_json: AsJson = False) -> None:
    """List the keys of your tenant (an owner: all), ended ones too; their texts are kept nowhere."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    show_rows(Client.required().get("/keys")["data"], COLUMNS, as_json=as_json, empty="no keys yet")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="As `coat keys list` shows it.")]) -> None:
    """End a key at once."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant

    ended = Client.required().delete(f"/keys/{part(_public(key_id))}")
    typer.echo(f"key {ended['id']} ended at {ended['revoked_at']}")


def show_key(made: Mapping[str, Any]) -> None:
    """Print a new key's text, the only time that it is known."""
    whose = f"of tenant {made['tenant']}" if made["tenant"] else "of the platform"
    typer.echo(
        f"key {made['id']}, {made['role']} {whose}; its text is not shown again, keep it where secrets are kept:"
    )
    typer.echo(made["key"])


def _public(key_id: str) -> str:
    """Whoever gives the whole key means the key; only its public part goes into an address, which servers log."""
    return key_id.split("_")[1] if key_id.startswith("coat_") and key_id.count("_") >= 2 else key_id


def _created_here(
    role: KeyRole, tenant: str | None, label: str, expires_at: datetime | None, *, require_audio: bool
) -> dict[str, Any]:
    """Without the API: whoever may write the database owns the platform."""
    from coat_ray.storage import home  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.tenancy.database import Database  # noqa: PLC0415
    from coat_ray.tenancy.keys import create_key  # noqa: PLC0415
    from coat_ray.tenancy.roles import PLATFORM, Role  # noqa: PLC0415

    database = Database.open(storage_root=home())
    try:
        with database.begin() as session:
            made = create_key(
                session,
                role=Role(role.value),
                tenant=tenant,
                actor=PLATFORM,
                label=label,
                expires_at=expires_at,
                require_audio=require_audio,
            )
    finally:
        database.close()
    return {"id": made.key.id, "tenant": made.key.tenant, "role": made.key.role.value, "key": made.text}
