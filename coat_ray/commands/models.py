"""``coat models``: what was trained, with what result and under which licence; of the platform, or of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_json, show_rows
from coat_ray.commands.sharing import Reference, share, unshare

if TYPE_CHECKING:
    from coat_ray.client import Client
    from coat_ray.registry.models import ModelRecord, ModelRegistry

app = typer.Typer(no_args_is_help=True, help="Trained models.")

NOTHING_TRAINED = "nothing has been trained here yet; `make train` or `coat train CONFIG` does"
COLUMNS = ("model", "alias", "created", "licence", "commercial_use")

Local = Annotated[bool, typer.Option("--local", help="This machine's models, whatever platform is configured.")]


@app.command("list")
def list_models(*, local: Local = False, as_json: AsJson = False) -> None:
    """List all versions of all models, also of those that other tenants share, newest first."""
    if (client := _platform(local)) is not None:
        rows = client.get("/models")["data"]
        empty = "no models on the platform yet; `--local` shows this machine's"
        show_rows(rows, (*COLUMNS, "shared"), as_json=as_json, empty=empty)
        return
    rows = [_row(record) for record in _registry().list(shared=True)]
    show_rows(rows, COLUMNS, as_json=as_json, empty=NOTHING_TRAINED)


@app.command()
def show(name: Reference, *, local: Local = False) -> None:
    """Print one model's record as JSON: lineage, scores, licence and what restricts it."""
    if (client := _platform(local)) is not None:
        show_json(client.get(_place(name)))
        return
    registry = _registry()
    record = registry.resolve(name)
    show_json({**_row(record), "adapter": str(registry.adapter_folder(record))})


@app.command()
def alias(
    name: Reference,
    new: Annotated[str | None, typer.Argument(metavar="[ALIAS]", help="Another name for exactly this version.")] = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Take the alias away that it has.")] = False,
    local: Local = False,
) -> None:
    """Let ALIAS mean exactly the version that NAME means now, whatever it meant before."""
    if remove == (new is not None):
        raise typer.BadParameter("give an alias, or --remove to take one away", param_hint="ALIAS")
    if (client := _platform(local)) is not None:
        ref = client.post(f"{_place(name)}/alias", {"alias": new})["model"]
    else:
        ref = _registry().alias(name, new).ref
    typer.echo(f"{new} is {ref}" if new else f"{ref} has no alias")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="Exactly one version.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would go.")] = False,
    local: Local = False,
) -> None:
    """Remove one version for good; its number is not given again."""
    if "@" not in name:
        raise typer.BadParameter(f"name one version, such as {name}@1", param_hint="NAME@VERSION")
    client = _platform(local)
    if not yes:
        ref = client.get(_place(name))["model"] if client else _registry().resolve(name).ref
        typer.echo(f"would remove {ref} for good; --yes does it")
        return
    if client is not None:
        ref = client.delete(_place(name))["model"]
    else:
        record = _registry().resolve(name)
        _registry().remove(record)
        ref = record.ref
    typer.echo(f"{ref} is removed")


app.command()(share)
app.command()(unshare)


def _platform(local: bool) -> Client | None:
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    return None if local else Client.configured()


def _place(name: str) -> str:
    from coat_ray.client import part  # noqa: PLC0415 - `coat --help` must be instant

    return f"/models/{part(name)}"


def _row(record: ModelRecord) -> dict[str, Any]:
    return {"model": record.ref, **record.model_dump(mode="json")}


def _registry() -> ModelRegistry:
    from coat_ray.registry.models import ModelRegistry  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.storage import Storage  # noqa: PLC0415

    return ModelRegistry(Storage.default())
