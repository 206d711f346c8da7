"""``coat train``: a run on the platform, or the main job on this machine, submitted as it would be to any cluster."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import Overrides, Tenant

JOB = Path("jobs/train.py")


def train(
    config: Annotated[Path, typer.Argument(help="YAML of the run.", metavar="FILE")],
    overrides: Overrides = None,
    *,
    evaluation: Annotated[bool, typer.Option(help="Compare the arms on held-out questions at the end.")] = True,
    priority: Annotated[int, typer.Option(help="Within the team; higher goes first. On the platform.")] = 0,
    tenant: Tenant = None,
    local: Annotated[bool, typer.Option("--local", help="A Ray of its own, whatever platform is configured.")] = False,
) -> None:
    """Make targets, train every arm, compare them: on the configured platform, else on this machine.

    Here, the same command continues what was interrupted. On the platform the run goes on without this command.
    """
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.commands.runs import submit_and_watch  # noqa: PLC0415
    from coat_ray.config import RunConfig, load_config  # noqa: PLC0415

    changes = [*(overrides or []), *([] if evaluation else ["evaluation.compare=false"])]
    wanted = load_config(config, RunConfig, changes)  # what is wrong is said before anything starts
    client = None if local else Client.configured()
    if client is not None:
        raise typer.Exit(submit_and_watch(client, wanted, priority, str(uuid.uuid4()), tenant=tenant))
    if tenant is not None:
        raise typer.BadParameter("tenants are on a platform, and this run is on this machine", param_hint="--tenant")
    raise typer.Exit(_train_here(config, changes))


def _train_here(config: Path, changes: list[str]) -> int:
    from coat_ray.config import ConfigError  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.local.job import main  # noqa: PLC0415

    if not JOB.is_file():
        raise ConfigError(f"there is no {JOB} here; run it from the root of the repository")
    return main(["python", str(JOB), "--config", str(config.absolute()), *changes])
