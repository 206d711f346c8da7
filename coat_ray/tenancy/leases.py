"""One lease's life, in steps of the ledger's transaction: granted, asked to yield, counted, ended."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from coat_ray.tenancy import audit
from coat_ray.tenancy.ledger_tables import LeaseRow, RunRow, RunState
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.runs import ENDED, Run, to_run
from coat_ray.tenancy.scheduling.demand import Resources
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.trials import leads, trial_leases, waiting_trials
from coat_ray.tenancy.usage import counted_until, record_interval

MAX_DEATHS = 5
"""A run is given up when so many attempts in a row have ended without a word."""

LONG_LIFE = timedelta(minutes=10)
"""An attempt that lived for so long begins that row anew: its training got further, or says itself that it did not."""

WITHOUT_JSON = (defer(RunRow.config), defer(RunRow.result))
"""How runs are read for a decision: 10,000 configurations are long to parse, and it needs none."""


class LeaseLost(RuntimeError):
    """A lease that is no longer this process's: it must stop, as another attempt may be running."""


@dataclass(frozen=True)
class Lease:
    """What a run holds, and a sweep for further ``trials``. The token is its process's proof; it stands in no log."""

    run: Run
    resources: Resources
    yield_asked: bool
    token: str = field(repr=False)
    trials: tuple[Lease, ...] = ()


def grant(session: Session, row: RunRow, now: datetime) -> None:
    """Let a queued run begin."""
    row.state, row.reason, row.ticket = RunState.STARTING, "", None
    row.attempts += 1
    session.add(
        LeaseRow(
            run=row.id,
            tenant=row.tenant,
            cpus=row.cpus,
            gpus=row.gpus,
            granted_at=now,
            heartbeat_at=now,
            yield_asked_at=None,
            token=secrets.token_hex(32),
        )
    )
    audit.record(session, PLATFORM, "lease.grant", f"run/{row.id}", tenant=row.tenant, now=now)


def ask(session: Session, run: str, outcome: RunState, reason: str, now: datetime) -> None:
    """Ask a run to give its lease back; one that has not begun has nothing to keep, and ends so at once."""
    lease, row = session.get_one(LeaseRow, run), session.get_one(RunRow, run)
    if row.state is RunState.STARTING:
        end(session, lease, row, outcome, reason=reason, now=now)
        return
    lease.yield_asked_at = lease.yield_asked_at or now
    row.state, row.reason = RunState.YIELDING, reason
    audit.record(session, PLATFORM, "lease.ask", f"run/{run}", tenant=row.tenant, reason=reason, now=now)


def end(session: Session, lease: LeaseRow, row: RunRow, outcome: RunState, *, reason: str, now: datetime) -> None:
    """Count what a lease used, take it away, and say where its run stands; the trials of a sweep end with it."""
    count(session, lease, now)
    if outcome is RunState.QUEUED and row.stop:
        outcome, reason = RunState.STOPPED, "stopped by request"
    row.state, row.reason = outcome, reason
    row.ended_at = now if outcome in ENDED else None
    session.delete(lease)
    session.flush()
    audit.record(
        session,
        PLATFORM,
        "lease.end",
        f"run/{row.id}",
        tenant=row.tenant,
        reason=f"{outcome.value}: {reason}",
        now=now,
    )
    if leads(row):
        gone = "its sweep runs no longer"
        for trial, its_row in trial_leases(session, row):
            end(session, trial, its_row, RunState.STOPPED, reason=gone, now=now)
        for its_row in waiting_trials(session, row):
            its_row.state, its_row.reason, its_row.ended_at = RunState.STOPPED, gone, now


def end_of_dead_driver(session: Session, lease: LeaseRow, row: RunRow, reason: str, *, counts: bool = True) -> None:
    """A driver that is gone: its run waits again where the platform can start it, else it has failed.

    What it used ends with its last sign of life. *counts*: whether its death speaks against the run.
    """
    if lease.heartbeat_at - lease.granted_at >= LONG_LIFE:
        row.deaths = 0
    row.deaths += counts
    outcome = RunState.QUEUED if row.again and row.deaths < MAX_DEATHS else RunState.FAILED
    end(session, lease, row, outcome, reason=reason, now=lease.heartbeat_at)


def all_leases(session: Session) -> Sequence[tuple[LeaseRow, RunRow]]:
    """Every lease with its run."""
    joined = select(LeaseRow, RunRow).join(RunRow, RunRow.id == LeaseRow.run).options(*WITHOUT_JSON)
    return [(lease, row) for lease, row in session.execute(joined)]


def held_lease(session: Session, run: str, token: str) -> tuple[LeaseRow, RunRow]:
    """The lease that the token proves.

    Raises:
        LeaseLost: it was taken back, or is another process's.
    """
    lease = session.get(LeaseRow, run)
    if lease is None or not secrets.compare_digest(lease.token, token):
        raise LeaseLost(f"run {run!r} no longer holds this lease: it was taken back; stop")
    return lease, session.get_one(RunRow, run)


def lives(session: Session, lease: LeaseRow, row: RunRow, now: datetime) -> None:
    """Note a sign of life, and count what was used until now."""
    lease.heartbeat_at = now
    if row.state is RunState.STARTING:
        row.state, row.started_at = RunState.RUNNING, row.started_at or now
    count(session, lease, now)


def count(session: Session, lease: LeaseRow, until: datetime) -> None:
    """Meter a lease from its beginning; what was counted before is not counted again."""
    for kind, devices in ((UsageKind.ACCELERATOR_SECONDS, lease.gpus), (UsageKind.CPU_SECONDS, lease.cpus)):
        if devices:
            begin = max(lease.granted_at, counted_until(session, kind, lease.run) or lease.granted_at)
            record_interval(
                session, lease.tenant, kind, run=lease.run, start=begin, end=max(begin, until), per_second=devices
            )


def to_lease(lease: LeaseRow, row: RunRow, trials: tuple[Lease, ...] = ()) -> Lease:
    """For who is outside."""
    asked = lease.yield_asked_at is not None
    return Lease(to_run(row), Resources(lease.cpus, lease.gpus), asked, lease.token, trials)
