"""``coat evaluate``: held-out scores of models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import Overrides


def evaluate(
    config: Annotated[Path, typer.Argument(help="YAML of the run: corpus, backbone, limits.", metavar="FILE")],
    overrides: Overrides = None,
    *,
    model: Annotated[
        list[str], typer.Option("--model", help="base, a name or alias, name@version, owner/name; repeatable.")
    ],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    block: Annotated[
        str,
        typer.Option(help="How a model's block is treated: trained, removed, untrained, shuffled, exchanged, alone."),
    ] = "trained",
    minus: Annotated[str | None, typer.Option(help="Also show every other model's difference to this one.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for report.md and report.json.")] = None,
) -> None:
    """Ask models the questions of a held-out split and print their scores with confidence intervals."""
    from rich.console import Console  # noqa: PLC0415 - `coat --help` must be instant

    from coat_ray.config import RunConfig, load_config  # noqa: PLC0415
    from coat_ray.evaluation.models import evaluate_models  # noqa: PLC0415
    from coat_ray.evaluation.report import score_table, skill_table, write_report  # noqa: PLC0415
    from coat_ray.model.interventions import BlockTreatment  # noqa: PLC0415
    from coat_ray.storage import Storage  # noqa: PLC0415

    if minus and minus not in model:
        raise typer.BadParameter(f"{minus} is not among the models; add --model {minus}", param_hint="--minus")
    if block not in list(BlockTreatment):
        raise typer.BadParameter(f"{block!r} is none of {', '.join(BlockTreatment)}", param_hint="--block")
    run = load_config(config, RunConfig, overrides)
    evaluations = evaluate_models(model, run, Storage.default(), split=split, treatment=block)
    pairs = [(name, minus) for name in model if minus and name != minus]
    title = f"{run.corpus.name}, {split}: scores in % [95 % interval]"
    tables = {"scores": score_table(evaluations, pairs, title), "skills": skill_table(evaluations)}
    console = Console()
    for table in tables.values():
        console.print(table.to_rich())
    if report:
        markdown, data = write_report(report, tables)
        console.print(f"report: {markdown} and {data}")
