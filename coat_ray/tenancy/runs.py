"""Runs as the ledger knows them: what was asked for, where it stands, why it waits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from coat_ray.tenancy.ledger_tables import RunKind, RunRow, RunState, ShareKind
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.scheduling.demand import Resources
from coat_ray.tenancy.sharing import is_shared

ENDED = (RunState.DONE, RunState.FAILED, RunState.STOPPED)
HOLDING = (RunState.STARTING, RunState.RUNNING, RunState.YIELDING)
"""States in which a run has a lease."""


class RunNotFound(LookupError):
    """No run of that id that the asker may see."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no run {run_id!r}; `coat runs list` shows what there is")


@dataclass(frozen=True)
class Run:
    """One run. ``reason`` says why it waits, failed or was stopped; ``attempts`` counts its leases."""

    id: str
    tenant: str
    kind: RunKind
    name: str
    config: dict[str, Any]
    state: RunState
    reason: str
    priority: int
    resources: Resources
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    attempts: int
    result: dict[str, Any] | None
    ray_job_id: str | None
    again: bool
    """Whether the platform starts it, and starts it again."""

    def to_json(self) -> dict[str, Any]:
        """Plain data for an API's answer."""
        times = {name: getattr(self, name) for name in ("submitted_at", "started_at", "ended_at")}
        plain = asdict(self) | {name: time and time.isoformat() for name, time in times.items()}
        plain |= {"kind": self.kind.value, "state": self.state.value}
        return plain | {"resources": {"cpus": self.resources.cpus, "gpus": self.resources.gpus}}


def get_run(session: Session, run_id: str, *, actor: Principal, shared: bool = False) -> Run:
    """One run of the actor's tenant, or any for the platform's owner; with *shared* (to read) also what others share.

    Raises:
        RunNotFound: no such run, or one of another tenant, which the actor must not learn about.
    """
    row = session.get(RunRow, run_id)
    if row is None or not (actor.may(Role.VIEWER, row.tenant) or (shared and _shared(session, row, actor))):
        raise RunNotFound(run_id)
    return to_run(row)


def list_runs(
    session: Session,
    *,
    actor: Principal,
    state: RunState | None = None,
    limit: int = 200,
    before: str | None = None,
) -> list[Run]:
    """Runs of the actor's tenant (an owner: of all), newest first, a sweep with all its trials as one.

    *before*: those that come after this run's id.

    Raises:
        RunNotFound: *before* is no run that the actor may see.
    """
    wanted = select(RunRow).order_by(RunRow.submitted_at.desc(), RunRow.id).limit(limit)
    wanted = wanted.where(or_(RunRow.group.is_(None), RunRow.group == RunRow.id))
    if actor.role is not Role.OWNER:
        wanted = wanted.where(RunRow.tenant == actor.tenant)
    if state is not None:
        wanted = wanted.where(RunRow.state == state)
    if before is not None:
        at = get_run(session, before, actor=actor).submitted_at
        wanted = wanted.where(or_(RunRow.submitted_at < at, and_(RunRow.submitted_at == at, RunRow.id > before)))
    return [to_run(row) for row in session.scalars(wanted)]


def _shared(session: Session, row: RunRow, actor: Principal) -> bool:
    return actor.tenant is not None and is_shared(session, row.tenant, ShareKind.RUN, row.id, actor.tenant)


def to_run(row: RunRow) -> Run:
    """The record of a row."""
    return Run(
        id=row.id,
        tenant=row.tenant,
        kind=row.kind,
        name=row.name,
        config=row.config,
        state=row.state,
        reason=row.reason,
        priority=row.priority,
        resources=Resources(row.cpus, row.gpus),
        submitted_at=row.submitted_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        attempts=row.attempts,
        result=row.result,
        ray_job_id=row.ray_job_id,
        again=row.again,
    )
