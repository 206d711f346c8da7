"""``coat sweep``: many trainings that answer one question, submitted to a local Ray as to a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import Overrides

JOB = Path("sweeps/run.py")


def sweep(
    config: Annotated[Path, typer.Argument(help="YAML of the sweep.", metavar="FILE")], overrides: Overrides = None
) -> None:
    """Train and compare every trial of a sweep on this machine. The same command continues what was interrupted."""
    from coat_ray.config import ConfigError, SweepConfig, load_config  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.local.job import main  # noqa: PLC0415

    load_config(config, SweepConfig, overrides)  # what is wrong is said before anything starts
    if not JOB.is_file():
        raise ConfigError(f"there is no {JOB} here; run it from the root of the repository")
    raise typer.Exit(main(["python", str(JOB), "--config", str(config.absolute()), *(overrides or [])]))
