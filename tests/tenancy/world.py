"""A ledger with a clock, for tests of queued work."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import create_key
from coat_ray.tenancy.leases import Lease
from coat_ray.tenancy.ledger import Ledger, Submission
from coat_ray.tenancy.ledger_tables import RunKind
from coat_ray.tenancy.quotas import Quota, set_quota
from coat_ray.tenancy.roles import PLATFORM, Principal, Role
from coat_ray.tenancy.runs import Run, get_run, list_runs
from coat_ray.tenancy.scheduling.demand import Resources

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class World:
    """A ledger with a clock of its own, and a member of each of two tenants."""

    def __init__(self, database: Database, gpus: float = 4, **quota: float) -> None:
        self.database, self.now = database, START
        self.ledger = Ledger(database, lambda: Resources(64, gpus), clock=lambda: self.now)
        self.members: dict[str, Principal] = {}
        for name in ("speech", "music"):
            with database.begin() as session:
                if name == "speech":
                    set_quota(session, name, Quota.model_validate(quota), actor=PLATFORM, now=START)
                key = create_key(session, role=Role.MEMBER, tenant=name, actor=PLATFORM, now=START).key
            self.members[name] = Principal(name, Role.MEMBER, key.id)

    def submit(self, tenant: str = "speech", gpus: float = 1, kind: RunKind = RunKind.RUN, **options: object) -> Run:
        what = Submission(kind, "trial", {"a": 1}, Resources(1, gpus), **options)  # type: ignore[arg-type]
        return self.ledger.submit(what, actor=self.members[tenant], tenant=tenant)

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    def states(self) -> Counter[str]:
        with self.database.read() as session:
            return Counter(run.state.value for run in list_runs(session, actor=PLATFORM, limit=1000))

    def run(self, run_id: str) -> Run:
        with self.database.read() as session:
            return get_run(session, run_id, actor=PLATFORM)

    def begin(self, run: Run) -> Lease:
        lease = self.ledger.lease_of(run.id)
        assert lease is not None
        return self.ledger.heartbeat(run.id, lease.token)
