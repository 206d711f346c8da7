"""``coat models``: what was trained, from what, with what result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_json, show_rows

if TYPE_CHECKING:
    from coat_ray.registry.models import ModelRecord, ModelRegistry

models = typer.Typer(no_args_is_help=True, help="Trained models.")

NOTHING_TRAINED = "nothing has been trained here yet; `make train` or `coat train CONFIG` does"


@models.command("list")
def list_models(*, as_json: AsJson = False) -> None:
    """List all versions of all models, newest first."""
    rows = [_model_row(record) for record in _models().list()]
    columns = ("model", "alias", "created", "licence", "commercial_use")
    show_rows(rows, columns, as_json=as_json, empty=NOTHING_TRAINED)


@models.command("show")
def show_model(
    ref: Annotated[str, typer.Argument(metavar="NAME", help="A name, an alias, or name@version.")],
) -> None:
    """Print one model's record as JSON: lineage, scores, licence and what restricts it."""
    registry = _models()
    record = registry.resolve(ref)
    show_json({**_model_row(record), "adapter": str(registry.adapter_folder(record))})


def _model_row(record: ModelRecord) -> dict[str, Any]:
    return {"model": record.ref, **record.model_dump(mode="json")}


def _models() -> ModelRegistry:
    from coat_ray.registry.models import ModelRegistry  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.storage import Storage  # noqa: PLC0415

    return ModelRegistry(Storage.default())
