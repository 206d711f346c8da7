"""``coat sweep``: many trainings that answer one question, on the platform or on this machine."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import Overrides, Tenant

JOB = Path("sweeps/run.py")


def sweep(
    config: Annotated[Path, typer.Argument(help="YAML of the sweep.", metavar="FILE")],
    overrides: Overrides = None,
    *,
    priority: Annotated[int, typer.Option(help="Within the team; higher goes first. On the platform.")] = 0,
    tenant: Tenant = None,
    local: Annotated[bool, typer.Option("--local", help="A Ray of its own, whatever platform is configured.")] = False,
) -> None:
    """Train and compare every trial of a sweep: on the configured platform, else on this machine.

    Here, the same command continues what was interrupted. On the platform the sweep goes on without this command.
    """
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.commands.runs import submit_and_watch  # noqa: PLC0415
    from coat_ray.config import RunConfig, SweepConfig, load_config  # noqa: PLC0415

    wanted = load_config(config, SweepConfig, overrides)  # what is wrong is said before anything starts
    client = None if local else Client.configured()
    if client is not None:
        run = load_config(wanted.run, RunConfig).model_dump(mode="json")  # the platform has no file of this machine
        whole = wanted.model_copy(update={"run": run})
        raise typer.Exit(submit_and_watch(client, whole, priority, str(uuid.uuid4()), tenant=tenant))
    if tenant is not None:
        raise typer.BadParameter("tenants are on a platform, and this sweep is on this machine", param_hint="--tenant")
    raise typer.Exit(_sweep_here(config, overrides or []))


def _sweep_here(config: Path, overrides: list[str]) -> int:
    from coat_ray.config import ConfigError  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.local.job import main  # noqa: PLC0415

    if not JOB.is_file():
        raise ConfigError(f"there is no {JOB} here; run it from the root of the repository")
    return main(["python", str(JOB), "--config", str(config.absolute()), *overrides])
