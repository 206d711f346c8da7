"""``coat latency``: what the block costs in time, beside no block and reasoning in text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import Overrides, wide_console


def latency(
    config: Annotated[Path, typer.Argument(help="YAML of the run, for its corpus.", metavar="FILE")],
    overrides: Overrides = None,
    *,
    model: Annotated[str, typer.Option(help="A model trained with a block: a name or alias, name@version.")] = "coat",
    seeds: Annotated[int, typer.Option(min=1, help="How often clips are drawn anew.")] = 3,
    clips: Annotated[int, typer.Option(min=1, help="Clips of each duration under one seed.")] = 3,
    answer_tokens: Annotated[
        int | None, typer.Option(min=1, help="Decode exactly so many tokens of each answer; as the model ends if none.")
    ] = None,
    reasoning_tokens: Annotated[int, typer.Option(min=1, help="Bound on text-CoT's reasoning.")] = 128,
    report: Annotated[Path | None, typer.Option(help="Folder for latency.md, latency.json and latency.png.")] = None,
) -> None:
    """Measure time to the first token, decoding and total of a model, its base, and its base reasoning in text."""
    from coat_ray.config import RunConfig, load_config  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.evaluation.studies.latency import LatencyPlan  # noqa: PLC0415
    from coat_ray.evaluation.studies.latency_study import study_latency  # noqa: PLC0415
    from coat_ray.storage import Storage  # noqa: PLC0415

    run = load_config(config, RunConfig, overrides)
    plan = LatencyPlan(seeds=seeds, clips=clips, answer_tokens=answer_tokens, reasoning_tokens=reasoning_tokens)
    study = study_latency(model, run, Storage.default(), plan)
    console = wide_console()
    for table in study.tables().values():
        console.print(table.to_rich())
    for path in study.write(report) if report else ():
        console.print(str(path))
