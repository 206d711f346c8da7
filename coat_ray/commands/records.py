"""``coat runs`` and ``coat models``: what was trained, from what, with what result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_json, show_rows

if TYPE_CHECKING:
    from coat_ray.registry.models import ModelRecord, ModelRegistry
    from coat_ray.registry.runs import RunRecord, RunRegistry

runs = typer.Typer(no_args_is_help=True, help="Runs and their results.")
models = typer.Typer(no_args_is_help=True, help="Trained models.")

NOTHING_TRAINED = "nothing has been trained here yet; `make train` or `coat train CONFIG` does"


@runs.command("list")
def list_runs(*, as_json: AsJson = False) -> None:
    """List all runs, newest first."""
    rows = [
        {**record.model_dump(mode="json"), "commit": ((record.git or {}).get("commit") or "-")[:8]}
        for record in _runs().list()
    ]
    show_rows(rows, ("id", "arm", "state", "seed", "created", "commit"), as_json=as_json, empty=NOTHING_TRAINED)


@runs.command("show")
def show_runs(
    run_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `coat runs list` shows them.")],
    *,
    png: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Draw the curves into a PNG.")] = None,
    as_json: AsJson = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Also every logged step; implies --json.")] = False,
) -> None:
    """Show records, last figures and loss curves of one run, or of several on the same axes; at any moment of a run.

    The JSON of one run is an object, of several a list.
    """
    from coat_ray.commands.run_view import print_runs  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.registry.curves import draw_curves, loss_curves  # noqa: PLC0415
    from coat_ray.registry.metrics import read_metrics  # noqa: PLC0415

    registry = _runs()
    records = [registry.find(run_id) for run_id in dict.fromkeys(run_ids)]
    rows = [read_metrics(registry.metrics(record.id)) for record in records]
    if png:
        draw_curves({r.id: loss_curves(part) for r, part in zip(records, rows, strict=True)}, png)
    if as_json or metrics:
        shown = [_run_row(registry, record, part, metrics) for record, part in zip(records, rows, strict=True)]
        show_json(shown if len(shown) > 1 else shown[0])
    else:
        print_runs(records, rows)
        if png:
            typer.echo(f"curves: {png}")


def _run_row(registry: RunRegistry, record: RunRecord, rows: list[dict[str, Any]], metrics: bool) -> dict[str, Any]:
    last = {"folder": str(registry.folder(record.id)), "last": rows[-1] if rows else None}
    return record.model_dump(mode="json") | last | ({"metrics": rows} if metrics else {})


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


def _runs() -> RunRegistry:
    from coat_ray.registry.runs import RunRegistry  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.storage import Storage  # noqa: PLC0415

    return RunRegistry(Storage.default())


def _models() -> ModelRegistry:
    from coat_ray.registry.models import ModelRegistry  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.storage import Storage  # noqa: PLC0415

    return ModelRegistry(Storage.default())
