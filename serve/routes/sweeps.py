"""Sweeps: submit one, read its report. To list, show, follow and stop it, it is a run like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from coat_ray.config import ConfigError, RunConfig, SweepConfig, validate
from coat_ray.leasing.footprint import largest, resources_of
from coat_ray.tenancy.errors import BadRequest
from coat_ray.tenancy.ledger import Submission
from coat_ray.tenancy.ledger_tables import RunKind
from coat_ray.tenancy.runs import get_run
from coat_ray.tenancy.trials import MAX_TRIALS
from serve.access import Asking
from serve.confine import check_confined, check_corpus, check_plain
from serve.routes.runs import MAX_PRIORITY, Key, Tenant
from sweeps.report import PAGE
from sweeps.spaces import check

router = APIRouter(prefix="/sweeps", tags=["sweeps"])

MAX_TRIED = 100
"""Values of choices and ends of ranges that are tried while somebody waits for the answer."""

ALONE = {"Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"}
"""A report needs nothing but itself, and must not act with the rights of whoever reads it."""


class SweepRequest(BaseModel):
    """A sweep that somebody wants."""

    model_config = ConfigDict(extra="forbid")

    config: dict[str, Any] = Field(
        description="a sweep, as in sweeps/configs/*.yaml, with its run itself under ``run``"
    )
    priority: int = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="within the tenant; higher goes first")


@router.post("", status_code=201)
def submit(asked: SweepRequest, asking: Asking, key: Key = None, tenant: Tenant = None) -> dict[str, Any]:
    """Queue a sweep. Sent again with the same Idempotency-Key, it is the same one."""
    with asking.recorded("sweep"):
        check_plain(asked.config, "config")
        sweep = validate(asked.config, SweepConfig, origin="config")
        if isinstance(sweep.run, str):
            raise ConfigError(
                f"config: run: send the run itself; {sweep.run!r} would be a file of the platform's machine"
            )
        if sweep.resources.concurrency > MAX_TRIALS:
            raise ConfigError(f"config: resources.concurrency: at most {MAX_TRIALS} trials at a time")
        whose = asking.acting_in(tenant)
        with asking.platform.database.read() as session:
            tried: list[RunConfig] = []

            def refuse(config: RunConfig) -> None:
                check_confined(config)
                check_corpus(session, whose, config)
                tried.append(config)

            check(sweep, most=MAX_TRIED, refuse=refuse)
        what = Submission(
            kind=RunKind.SWEEP,
            name=sweep.name,
            config=sweep.model_dump(mode="json", exclude_unset=True),
            resources=resources_of(largest(tried)),
            priority=asked.priority,
            idempotency_key=key,
        )
        return asking.platform.ledger.submit(what, actor=asking.principal, tenant=whose).to_json()


@router.get("/{run_id}/report", response_class=HTMLResponse)
def report(run_id: str, asking: Asking) -> Response:
    """The page of a sweep that is done."""
    with asking.recorded(f"run/{run_id}"), asking.platform.database.read() as session:
        run = get_run(session, run_id, actor=asking.principal, shared=True)
    if run.kind is not RunKind.SWEEP:
        raise BadRequest(f"run {run_id} is no sweep, and has no report")
    folder = (run.result or {}).get("folder")
    if folder is None:
        raise BadRequest(f"sweep {run_id} is {run.state.value}: no report yet")
    storage = asking.platform.storage.tenant(run.tenant)
    page = storage.root / "sweeps" / Path(str(folder)).name / PAGE  # a job says its result itself
    if not (storage.holds(page) and page.is_file()):
        raise HTTPException(404, f"the report of sweep {run_id} is no longer there")
    return HTMLResponse(page.read_bytes(), headers=ALONE)
