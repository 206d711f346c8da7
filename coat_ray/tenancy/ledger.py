"""The ledger: queued work waits in the database, and whoever looks at it moves it on.

There is no process that must live. Every call decides anew from what the database holds, inside one write transaction,
so that any number of callers, killed at any point and started again, come to the same state: nothing is granted twice,
and nothing is lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from coat_ray.tenancy import audit
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.errors import Denied, IdempotencyConflict
from coat_ray.tenancy.leases import (
    WITHOUT_JSON,
    Lease,
    all_leases,
    ask,
    end,
    end_of_dead_driver,
    grant,
    held_lease,
    lives,
    to_lease,
)
from coat_ray.tenancy.ledger_tables import LeaseRow, RunKind, RunRow, RunState
from coat_ray.tenancy.limits import check_month, check_queue
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.runs import ENDED, HOLDING, Run, RunNotFound, to_run
from coat_ray.tenancy.scheduling.demand import Decision, Resources
from coat_ray.tenancy.scheduling.fairness import PATIENCE, decide
from coat_ray.tenancy.situation import running, tenant_shares, waiting
from coat_ray.tenancy.times import utc_now
from coat_ray.tenancy.trials import leads, trial_leases, want

DEAD_AFTER = timedelta(seconds=60)
"""A lease without a heartbeat for so long, while a ledger was there to hear it, is taken back."""

START_WITHIN = timedelta(minutes=10)
"""The same for one whose job the platform has yet to see begin."""


@dataclass(frozen=True)
class Submission:
    """What is asked for. *again*: the platform can start it again by itself after its driver died or yielded.

    ``idempotency_key``: a request with a key that the tenant used before gives the run of then.
    """

    kind: RunKind
    name: str
    config: Mapping[str, Any]
    resources: Resources
    priority: int = 0
    again: bool = True
    idempotency_key: str | None = None


class Ledger:
    """Runs and leases of all tenants on one cluster."""

    def __init__(
        self,
        database: Database,
        capacity: Callable[[], Resources],
        *,
        clock: Callable[[], datetime] = utc_now,
        dead_after: timedelta = DEAD_AFTER,
        start_within: timedelta = START_WITHIN,
        patience: float = PATIENCE,
    ) -> None:
        """Look at a database.

        Args:
            database: where everything is kept.
            capacity: what the cluster has now.
            clock: gives the instant.
            dead_after: how long a lease lives without a heartbeat.
            start_within: how long it lives before the first.
            patience: seconds after which nothing more may pass a waiting run (see ``fairness.py``).
        """
        self.database, self._capacity, self._clock = database, capacity, clock
        self._dead_after, self._start_within, self._patience = dead_after, start_within, patience
        self._began = clock()

    def submit(self, what: Submission, *, actor: Principal, tenant: str) -> Run:
        """Queue a run.

        Raises:
            Forbidden: the actor may not start work in that tenant.
            Denied: too many of the tenant's runs wait, or its hours of this month are used up.
            IdempotencyConflict: the key came with another request before.
        """
        actor.require(Role.MEMBER, tenant, "start runs")
        with self.database.begin() as session:
            if (known := _known(session, tenant, what)) is not None:
                return to_run(known)
            if (denial := check_month(session, tenant, now=self._clock())) is not None and what.resources.gpus:
                raise Denied(denial)
            if (denial := check_queue(session, tenant)) is not None:
                raise Denied(denial)
            run_id = f"{what.name}-{secrets.token_hex(4)}"
            row = RunRow(
                id=run_id,
                tenant=tenant,
                kind=what.kind,
                name=what.name,
                config=dict(what.config),
                state=RunState.QUEUED,
                reason="",
                priority=what.priority,
                group=run_id if what.kind is RunKind.SWEEP else None,
                cpus=what.resources.cpus,
                gpus=what.resources.gpus,
                submitted_by=actor.key_id,
                submitted_at=self._clock(),
                idempotency_key=what.idempotency_key,
                attempts=0,
                again=what.again,
            )
            session.add(row)
            audit.record(session, actor, "run.submit", f"run/{row.id}", tenant=tenant, now=self._clock())
            return to_run(row)

    def tick(self) -> Decision:
        """Take dead leases back, then grant and ask to yield as `decide` says. Anybody may call it at any time."""
        with self.database.begin() as session:
            return self._tick(session)

    def _tick(self, session: Session) -> Decision:
        now = self._clock()
        for lease, row in all_leases(session):
            if row.group is not None and not leads(row):
                continue  # a trial lives and dies with its sweep
            alive = self._start_within if row.state is RunState.STARTING and row.again else self._dead_after
            if max(lease.heartbeat_at, self._began) < now - alive:  # nobody heard what came while nobody listened
                silent = f"no sign of life since {lease.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC"
                end_of_dead_driver(session, lease, row, silent)
        session.flush()
        queued = session.scalars(select(RunRow).where(RunRow.state == RunState.QUEUED).options(*WITHOUT_JSON)).all()
        leases = all_leases(session)
        by_id = {row.id: row for row in queued}
        decision = decide(
            now.timestamp(),
            [waiting(row) for row in queued],
            [running(lease, row) for lease, row in leases],
            tenant_shares(session, {row.tenant for row in queued} | {row.tenant for _, row in leases}, now),
            self._capacity(),
            patience=self._patience,
        )
        for run, ticket in decision.tickets.items():
            by_id[run].ticket = ticket
        for run in decision.admit:
            grant(session, by_id[run], now)
        for wanted in decision.yields:
            ask(session, wanted.run, RunState.QUEUED, f"asked to make room for {wanted.makes_room_for}", now)
        for run, reason in decision.reasons.items():
            by_id[run].reason = reason.text
        return decision

    def lease_of(self, run: str) -> Lease | None:
        """What a run holds now, None while it waits or when it has ended. For the platform itself."""
        with self.database.read() as session:
            lease = session.get(LeaseRow, run)
            return to_lease(lease, session.get_one(RunRow, run)) if lease else None

    def started(self, run: str, ray_job_id: str) -> None:
        """Note which Ray job carries a run's present attempt."""
        with self.database.begin() as session:
            session.get_one(RunRow, run).ray_job_id = ray_job_id

    def heartbeat(self, run: str, token: str, *, trials: int | None = None) -> Lease:
        """Say that the run's process lives, and hear whether it is asked to yield. Counts what it used.

        Args:
            run: whose lease it is.
            token: the lease's.
            trials: a sweep could run so many trials now beside its first; what they hold comes back with the lease.

        Raises:
            LeaseLost: the lease was taken back, or is another process's.
            BadRequest: trials of what is no sweep.
        """
        with self.database.begin() as session:
            lease, row = held_lease(session, run, token)
            now = self._clock()
            lives(session, lease, row, now)
            if trials is None:
                return to_lease(lease, row)
            want(session, row, trials, now)
            beside = trial_leases(session, row)
            for pair in beside:
                lives(session, *pair, now)
            return to_lease(lease, row, tuple(to_lease(*pair) for pair in beside))

    def release(
        self, run: str, token: str, outcome: RunState, *, reason: str = "", result: Mapping[str, Any] | None = None
    ) -> Run:
        """Give a lease back and decide who is next.

        *outcome* is ``done``, ``failed`` or ``stopped``, or ``queued`` for a run that yielded and waits again in its
        old place.

        Raises:
            LeaseLost: the lease was taken back, or is another process's.
            ValueError: any other outcome.
        """
        if outcome not in (*ENDED, RunState.QUEUED):
            raise ValueError(f"a lease ends with done, failed, stopped or queued, not {outcome.value}")
        with self.database.begin() as session:
            lease, row = held_lease(session, run, token)
            end(session, lease, row, outcome, reason=reason, now=self._clock())
            row.result = dict(result) if result is not None else row.result
            self._tick(session)
            return to_run(row)

    def died(self, run: str, attempt: int, reason: str, *, counts: bool = True) -> None:
        """Take a lease back whose job is known to be gone; nothing where that attempt holds none any more.

        *counts*: whether it speaks against the run, as the end of a whole cluster does not.
        """
        with self.database.begin() as session:
            lease, row = session.get(LeaseRow, run), session.get(RunRow, run)
            if lease is not None and row is not None and row.attempts == attempt:
                end_of_dead_driver(session, lease, row, reason, counts=counts)
                self._tick(session)

    def stop(self, run: str, *, actor: Principal) -> Run:
        """End a waiting run at once; ask a running one to checkpoint and end.

        Raises:
            RunNotFound: no such run, or one of another tenant.
            Forbidden: the actor may only look.
        """
        with self.database.begin() as session:
            row = session.get(RunRow, run)
            if row is None or not actor.may(Role.VIEWER, row.tenant):
                raise RunNotFound(run)
            actor.require(Role.MEMBER, row.tenant, "stop runs")
            now = self._clock()
            if row.state is RunState.QUEUED:
                row.state, row.reason, row.ended_at = RunState.STOPPED, "stopped before it began", now
            elif row.state in HOLDING:
                row.stop = True
                ask(session, run, RunState.STOPPED, "asked to stop", now)
            audit.record(session, actor, "run.stop", f"run/{run}", tenant=row.tenant, now=now)
            return to_run(row)


def _known(session: Session, tenant: str, what: Submission) -> RunRow | None:
    """The run that the same request made before."""
    key = what.idempotency_key
    if key is None:
        return None
    row = session.scalar(select(RunRow).where(RunRow.tenant == tenant, RunRow.idempotency_key == key))
    if row is not None and (row.kind, row.again, row.config) != (what.kind, what.again, dict(what.config)):
        raise IdempotencyConflict(f"the Idempotency-Key {key!r} came with another request before: {row.id}")
    return row
