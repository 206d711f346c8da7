"""``coat train``: the main job on this machine, submitted to a local Ray as it would be to a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import Overrides

JOB = Path("jobs/train.py")


def train(
    config: Annotated[Path, typer.Argument(help="YAML of the run.", metavar="FILE")],
    overrides: Overrides = None,
    *,
    evaluation: Annotated[bool, typer.Option(help="Compare the arms on held-out questions at the end.")] = True,
) -> None:
    """Make targets, train every arm, compare them. The same command continues what was interrupted."""
    from coat_ray.config import ConfigError, RunConfig, load_config  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.local_cluster import main  # noqa: PLC0415

    load_config(config, RunConfig, overrides)  # what is wrong is said before anything starts
    if not JOB.is_file():
        raise ConfigError(f"there is no {JOB} here; run it from the root of the repository")
    job = ["python", str(JOB), "--config", str(config.absolute()), *(overrides or [])]
    if not evaluation:
        job.append("--no-evaluation")
    raise typer.Exit(main(job))
