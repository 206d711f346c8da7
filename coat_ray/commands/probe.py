"""``coat probe``: what a linear map can read off the block, and off the state before the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import Overrides, wide_console


def probe(
    config: Annotated[Path, typer.Argument(help="YAML of the run: corpus and backbone.", metavar="FILE")],
    overrides: Overrides = None,
    *,
    model: Annotated[list[str], typer.Option("--model", help="base, a name or alias, name@version; repeatable.")],
    curves: Annotated[bool, typer.Option("--curves", help="Also at every step that the models' runs kept.")] = False,
    limit: Annotated[int | None, typer.Option(min=8, help="The first so many clips of each target and split.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for probes.md, probes.json and probes.png.")] = None,
) -> None:
    """Fit linear probes for pitch, affect and instrument on models' hidden states and score them on held-out clips."""
    from coat_ray.config import RunConfig, load_config  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.evaluation.studies.probe_study import study_probes  # noqa: PLC0415
    from coat_ray.storage import Storage  # noqa: PLC0415

    run = load_config(config, RunConfig, overrides)
    study = study_probes(model, run, Storage.default(), curves=curves, limit=limit)
    console = wide_console()
    for table in study.tables().values():
        console.print(table.to_rich())
    for path in study.write(report) if report else ():
        console.print(str(path))
