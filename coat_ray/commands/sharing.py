"""``coat shares``, and ``coat models share`` and ``unshare``: what tenants of a platform let each other read."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_rows

app = typer.Typer(no_args_is_help=True, help="What tenants let each other read.")

COLUMNS = ("id", "owner", "kind", "name", "with", "granted_at")

With = Annotated[str, typer.Option("--with", metavar="TENANT", help="Who may read it, or may no longer.")]
NonCommercial = Annotated[
    bool, typer.Option("--non-commercial", help="The other tenant is bound to non-commercial use, and knows it.")
]
Reference = Annotated[str, typer.Argument(metavar="NAME", help="A model's name, an alias, or name@version.")]


class Kind(StrEnum):
    """As ``coat_ray.tenancy.ledger_tables.ShareKind``, which takes too long to import for ``coat --help``."""

    MODEL = "model"
    CORPUS = "corpus"
    RUN = "run"


@app.command("list")
def list_shares(*, as_json: AsJson = False) -> None:
    """List what your tenant shares and what is shared with it (an owner: all)."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    rows = Client.required().get("/shares")["data"]
    show_rows(
        rows, COLUMNS, as_json=as_json, empty="nothing is shared; `coat shares grant` or `coat models share` does"
    )


@app.command()
def grant(
    kind: Annotated[Kind, typer.Argument(help="What it is.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model's name, a corpus' name, or a run's id.")],
    *,
    tenant_with: With,
    non_commercial: NonCommercial = False,
    tenant: Annotated[str | None, typer.Option(help="Whose; only an owner may name another than its own.")] = None,
) -> None:
    """Let another tenant read a model's version, a corpus or a run."""
    typer.echo(granted(kind.value, name, tenant_with, non_commercial=non_commercial, tenant=tenant))


@app.command()
def revoke(share_id: Annotated[int, typer.Argument(metavar="ID", help="As `coat shares list` shows it.")]) -> None:
    """End a grant at once."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    typer.echo(_ending(Client.required().delete(f"/shares/{share_id}")))


def share(name: Reference, *, tenant_with: With, non_commercial: NonCommercial = False) -> None:
    """Let another tenant read exactly the version that NAME means now, under the licence that it carries."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant

    found = Client.required().get(f"/models/{part(name)}")
    typer.echo(
        granted("model", found["model"], tenant_with, non_commercial=non_commercial, tenant=str(found["tenant"]))
    )


def unshare(name: Reference, *, tenant_with: With) -> None:
    """End at once what `share` granted."""
    from coat_ray.client import Client, PlatformError, part  # noqa: PLC0415 - `coat --help` must be instant

    client = Client.required()
    model = client.get(f"/models/{part(name)}")["model"]
    for given in client.get("/shares")["data"]:
        if given["kind"] == "model" and given["with"] == tenant_with and f"{given['owner']}/{given['name']}" == model:
            typer.echo(_ending(client.delete(f"/shares/{given['id']}")))
            return
    raise PlatformError(f"{model} is not shared with {tenant_with}; `coat shares list` shows what is")


def granted(kind: str, name: str, tenant_with: str, *, non_commercial: bool, tenant: str | None) -> str:
    """Ask the platform for a grant; gives a sentence with the terms that go with it."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant

    body = {"kind": kind, "name": name, "with": tenant_with, "non_commercial": non_commercial}
    made = Client.required().post(f"/shares?tenant={part(tenant)}" if tenant else "/shares", body)
    terms = f", licence {made['licence']}" if made["licence"] else ""
    if not made["commercial_use"]:
        terms += f", no commercial use because of {', '.join(made['restricted_by'])}"
    return f"{tenant_with} may read {kind} {made['owner']}/{made['name']} (share {made['id']}{terms})"


def _ending(given: dict[str, Any]) -> str:
    return f"{given['with']} may no longer read {given['kind']} {given['owner']}/{given['name']}"
