"""``coat experts``: the frozen teachers and their terms."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_rows

app = typer.Typer(no_args_is_help=True, help="The frozen teachers.")

COLUMNS = ("name", "sample_rate", "rate", "width", "loss", "classes", "licence", "commercial_use", "source")


@app.command("list")
def list_experts(
    *,
    weights: Annotated[str, typer.Option(help='"embedded" or "official"; official ones are downloaded.')] = "embedded",
    as_json: AsJson = False,
) -> None:
    """List every expert: sample rate (Hz), frames per second, width, loss, licence."""
    from coat_ray.config import ExpertConfig  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.experts.registry import EXPERTS, load_expert  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    for name in EXPERTS:
        data = load_expert(ExpertConfig(model=name, weights=weights)).spec.to_json()
        labels = list(data.pop("labels"))
        rows.append({**data, "classes": len(labels), "labels": labels})
    show_rows(rows, COLUMNS, as_json=as_json, empty="no experts")
