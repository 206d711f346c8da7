"""Leases: the door for jobs that were started with ``ray job submit`` and for those that the platform started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from coat_ray.config import RunConfig, validate
from coat_ray.leasing.footprint import resources_of
from coat_ray.tenancy.leases import LeaseLost
from coat_ray.tenancy.ledger import Ledger, Submission
from coat_ray.tenancy.ledger_tables import RunKind, RunState
from coat_ray.tenancy.roles import Role
from coat_ray.tenancy.runs import get_run
from coat_ray.tenancy.trials import MAX_TRIALS
from serve.access import Asking, Platform
from serve.confine import HUB_ID, check_corpus, check_plain

router = APIRouter(prefix="/leases", tags=["leases"])


class LeaseRequest(BaseModel):
    """A job that is there already and waits for its turn."""

    model_config = ConfigDict(extra="forbid")

    config: dict[str, Any]
    ray_job_id: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,200}$")
    sweep: bool = Field(False, description="it runs trials, each with what ``config`` asks for")


class Proof(BaseModel):
    """What only the holder of a lease knows."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(pattern=r"^[!-~]{1,64}$")


class Sign(Proof):
    """A sign of life. A sweep says how many trials it could run now beside its first."""

    trials: int | None = Field(None, ge=0, le=MAX_TRIALS)


class Ending(Proof):
    """How a lease ends. ``queued``: the run gave way and wants to go on later."""

    outcome: Literal[RunState.DONE, RunState.FAILED, RunState.STOPPED, RunState.QUEUED]
    reason: str = Field("", max_length=2000)
    result: dict[str, Any] | None = None


@router.post("", status_code=201)
def wanted(
    asked: LeaseRequest,
    asking: Asking,
    key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)] = None,
) -> dict[str, Any]:
    """Queue a job that waits for its lease; ask ``GET /leases/{run}`` until it has one."""
    with asking.recorded("lease"):
        check_plain(asked.config, "config")
        config = validate(asked.config, RunConfig, origin="config")
        if HUB_ID.fullmatch(config.corpus.name):  # another tenant's
            with asking.platform.database.read() as session:
                check_corpus(session, asking.tenant, config)
        what = Submission(
            kind=RunKind.SWEEP if asked.sweep else RunKind.RUN,
            name=config.name,
            config=config.model_dump(mode="json"),
            resources=resources_of(config),
            again=False,
            idempotency_key=key,
        )
        run = asking.platform.ledger.submit(what, actor=asking.principal, tenant=asking.tenant)
    if asked.ray_job_id:
        asking.platform.ledger.started(run.id, asked.ray_job_id)
    return run.to_json()


@router.get("/{run_id}")
def granted(run_id: str, asking: Asking) -> dict[str, Any]:
    """The lease of a waiting job, with its token once it is granted."""
    with asking.recorded(f"run/{run_id}"):
        with asking.platform.database.read() as session:
            get_run(session, run_id, actor=asking.principal)
        asking.principal.require(Role.MEMBER, asking.principal.tenant, "hold leases")
    asking.platform.ledger.tick()
    lease = asking.platform.ledger.lease_of(run_id)
    with asking.platform.database.read() as session:
        run = get_run(session, run_id, actor=asking.principal)
    return {"run": run.to_json(), "token": lease.token if lease else None}


@router.post("/{run_id}/heartbeat")
def lives(run_id: str, sign: Sign, request: Request) -> dict[str, Any]:
    """Say that the job lives; hear whether it, or a trial of a sweep, is asked to give way. The token is the key."""
    with _recorded(request, run_id) as ledger:
        lease = ledger.heartbeat(run_id, sign.token, trials=sign.trials)
    beside = [{"run": trial.run.id, "token": trial.token, "give_way": trial.yield_asked} for trial in lease.trials]
    return {"run": lease.run.to_json(), "give_way": lease.yield_asked, "trials": beside}


@router.post("/{run_id}/release")
def ended(run_id: str, ending: Ending, request: Request) -> dict[str, Any]:
    """Give the lease back. The token is the key."""
    check_plain(ending.result, "result")
    with _recorded(request, run_id) as ledger:
        run = ledger.release(run_id, ending.token, ending.outcome, reason=ending.reason, result=ending.result)
    return run.to_json()


@contextmanager
def _recorded(request: Request, run_id: str) -> Iterator[Ledger]:
    """The ledger; a token that it does not accept stands in the audit log."""
    platform: Platform = request.app.state.platform
    try:
        yield platform.ledger
    except LeaseLost as lost:
        action = f"{request.method} {request.scope['route'].path}"
        platform.unknown.record(platform.database, action, f"run/{run_id}", str(lost))
        raise
