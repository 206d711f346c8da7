"""Runs: submit a configuration, list, show, follow, stop."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from coat_ray.config import RunConfig, validate
from coat_ray.leasing.footprint import resources_of
from coat_ray.registry.metrics import read_metrics
from coat_ray.registry.runs import RunRegistry
from coat_ray.tenancy.ledger import Submission
from coat_ray.tenancy.ledger_tables import RunKind, RunState
from coat_ray.tenancy.runs import Run, get_run, list_runs
from serve.access import Asking, Caller
from serve.arms import arms_of
from serve.confine import check_confined, check_corpus, check_plain
from serve.printed import Follower, check_started_here, last_lines, printed
from serve.streams import Stream

router = APIRouter(prefix="/runs", tags=["runs"])

MAX_PRIORITY = 1000


class RunRequest(BaseModel):
    """A run that somebody wants."""

    model_config = ConfigDict(extra="forbid")

    config: dict[str, Any] = Field(description="a run's configuration, as in jobs/configs/*.yaml")
    priority: int = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="within the tenant; higher goes first")


Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
Tenant = Annotated[str | None, Query(description="whose; only an owner may name another than its own")]


@router.post("", status_code=201)
def submit(asked: RunRequest, asking: Asking, key: Key = None, tenant: Tenant = None) -> dict[str, Any]:
    """Queue a run. Sent again with the same Idempotency-Key, it is the same run."""
    with asking.recorded("run"):
        check_plain(asked.config, "config")
        config = validate(asked.config, RunConfig, origin="config")
        check_confined(config)
        whose = asking.acting_in(tenant)
        with asking.platform.database.read() as session:
            check_corpus(session, whose, config)
        what = Submission(
            kind=RunKind.RUN,
            name=config.name,
            config=config.model_dump(mode="json"),
            resources=resources_of(config),
            priority=asked.priority,
            idempotency_key=key,
        )
        return asking.platform.ledger.submit(what, actor=asking.principal, tenant=whose).to_json()


@router.get("")
def listed(
    asking: Asking,
    state: RunState | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    before: Annotated[str | None, Query(pattern=r"^[a-z0-9_-]{1,200}$", description="a page's ``next_before``")] = None,
) -> dict[str, Any]:
    """Runs, newest first."""
    with asking.recorded("run"), asking.platform.database.read() as session:
        found = list_runs(session, actor=asking.principal, state=state, limit=limit + 1, before=before)
    runs = found[:limit]
    return {"data": [run.to_json() for run in runs], "next_before": runs[-1].id if len(found) > limit else None}


@router.get("/{run_id}")
def shown(run_id: str, asking: Asking) -> dict[str, Any]:
    """One run."""
    return _found(run_id, asking).to_json()


@router.post("/{run_id}/stop")
def stopped(run_id: str, asking: Asking) -> dict[str, Any]:
    """End a waiting run; ask a running one to checkpoint and end."""
    with asking.recorded(f"run/{run_id}"):
        return asking.platform.ledger.stop(run_id, actor=asking.principal).to_json()


Step = Annotated[str, StringConstraints(pattern=r"^([a-z]{1,16}:)?-?[0-9]{1,12}$")]


@router.get("/{run_id}/metrics")
def metrics(
    run_id: str, asking: Asking, after: Annotated[list[Step] | None, Query(max_length=8)] = None
) -> dict[str, Any]:
    """Metrics of every arm that has begun, in the order of training; *after* a step, ``STEP`` or ``ARM:STEP``."""
    run = _found(run_id, asking)
    storage = asking.platform.storage.tenant(run.tenant)
    seen = {arm: int(step) for arm, _, step in (text.rpartition(":") for text in after or ())}
    data = {}
    for arm, record in arms_of(run, storage).items():
        start = seen.get(arm, seen.get("", -1))
        file = RunRegistry(storage).metrics(record.id)
        rows = read_metrics(file) if storage.holds(file) else []  # what lies behind a link may be another tenant's
        data[arm] = [row for row in rows if row["step"] > start]
    return {"data": data}


@router.get("/{run_id}/arms")
def arms(run_id: str, asking: Asking) -> dict[str, Any]:
    """Every arm that has begun, in the order of training: its record's state and result, and its checkpoints' steps."""
    run = _found(run_id, asking)
    storage = asking.platform.storage.tenant(run.tenant)
    registry, data = RunRegistry(storage), {}
    for arm, record in arms_of(run, storage).items():
        folder = registry.folder(record.id) / "checkpoints"
        steps = sorted(int(path.name[5:]) for path in folder.glob("step-[0-9]*")) if storage.holds(folder) else []
        data[arm] = {"record": record.id, "state": record.state, "created": record.created, "checkpoints": steps}
    return {"data": data}


@router.get("/{run_id}/logs", response_class=PlainTextResponse)
def logs(
    run_id: str, asking: Asking, tail: Annotated[int, Query(ge=1, le=100_000)] = 1000, follow: bool = False
) -> Response:
    """The last lines of what the run's job printed; with *follow*, then every further one until the run has ended."""
    run = _found(run_id, asking)
    check_started_here(run)
    if follow:
        streams, tenant = asking.platform.streams, asking.principal.tenant
        lines = Follower(asking.platform, asking.principal, run_id, tail).lines()
        streams.begin(tenant)
        return Stream(lines, partial(streams.end, tenant))
    return PlainTextResponse(last_lines(printed(asking.platform, run), tail))


def _found(run_id: str, asking: Caller) -> Run:
    with asking.recorded(f"run/{run_id}"), asking.platform.database.read() as session:
        return get_run(session, run_id, actor=asking.principal, shared=True)
