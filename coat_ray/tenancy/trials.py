"""The trials of a sweep in the ledger: items beside the sweep's own run, each with a lease, that end with it.

A sweep's run carries its first trial. It says with every heartbeat how many further trials it could run now; each of
them waits, is granted and asked back like any run, so that a sweep is as broad as there is room. All of them are one
group, which counts as one run against the tenant's limits.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from coat_ray.tenancy.errors import BadRequest
from coat_ray.tenancy.ledger_tables import LeaseRow, RunKind, RunRow, RunState

MAX_TRIALS = 1000


def leads(row: RunRow) -> bool:
    """Whether it is the run of a sweep, which the others of its group end with."""
    return row.group == row.id


def want(session: Session, leader: RunRow, number: int, now: datetime) -> None:
    """Have as many further trials of a sweep wait or run as it could run now; those that run stay.

    Raises:
        BadRequest: it is no sweep.
    """
    if not leads(leader):
        raise BadRequest(f"run {leader.id} is no sweep, and has no trials")
    waiting = waiting_trials(session, leader)
    holding = len(trial_leases(session, leader))
    for row in waiting[max(number - holding, 0) :]:
        row.state, row.reason, row.ended_at = RunState.STOPPED, "not needed any more", now
    for _ in range(number - holding - len(waiting)):
        session.add(_trial(leader, now))
    session.flush()


def waiting_trials(session: Session, leader: RunRow) -> list[RunRow]:
    """A sweep's further trials that have no lease yet, the oldest first."""
    mine = (RunRow.group == leader.id, RunRow.id != leader.id, RunRow.state == RunState.QUEUED)
    return list(session.scalars(select(RunRow).where(*mine).order_by(RunRow.submitted_at, RunRow.id)))


def trial_leases(session: Session, leader: RunRow) -> list[tuple[LeaseRow, RunRow]]:
    """What a sweep's further trials hold, the oldest first."""
    joined = select(LeaseRow, RunRow).join(RunRow, RunRow.id == LeaseRow.run)
    mine = joined.where(RunRow.group == leader.id, RunRow.id != leader.id)
    return [(lease, row) for lease, row in session.execute(mine.order_by(LeaseRow.granted_at, LeaseRow.run))]


def _trial(leader: RunRow, now: datetime) -> RunRow:
    """One that asks for what the sweep's own lease grants. Whoever runs the sweep runs it, too."""
    return RunRow(
        id=f"{leader.id}-t{secrets.token_hex(4)}",
        tenant=leader.tenant,
        kind=RunKind.SWEEP,
        name=leader.name,
        config={},
        state=RunState.QUEUED,
        reason="",
        priority=leader.priority,
        group=leader.id,
        cpus=leader.cpus,
        gpus=leader.gpus,
        submitted_by=leader.submitted_by,
        submitted_at=now,
        attempts=0,
        again=False,
    )
