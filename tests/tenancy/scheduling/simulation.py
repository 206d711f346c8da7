"""A cluster in a few lines: applies decisions, ends runs when their time is up, queues what yielded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from coat_ray.tenancy.scheduling.demand import Decision, Resources, Running, TenantShare, Waiting
from coat_ray.tenancy.scheduling.fairness import decide


def waiting(run: str, tenant: str, gpus: float = 0, cpus: float = 0, submitted: float = 0, **more) -> Waiting:
    return Waiting(run=run, tenant=tenant, resources=Resources(cpus, gpus), submitted=submitted, **more)


def running(run: str, tenant: str, gpus: float = 0, cpus: float = 0, since: float = 0, **more) -> Running:
    resources = Resources(cpus, gpus)
    return Running(run=run, tenant=tenant, resources=resources, submitted=more.pop("submitted", 0), since=since, **more)


def started(item: Waiting, now: float) -> Running:
    return Running(
        run=item.run,
        tenant=item.tenant,
        resources=item.resources,
        submitted=item.submitted,
        priority=item.priority,
        group=item.group,
        group_limit=item.group_limit,
        since=now,
    )


def applied(
    decision: Decision, now: float, queue: Sequence[Waiting], leases: Sequence[Running]
) -> tuple[list[Waiting], list[Running]]:
    """Queue and leases once the decision is carried out, nobody having yielded yet."""
    admit, asked = set(decision.admit), {each.run for each in decision.yields}
    left = [
        replace(item, ticket=decision.tickets.get(item.run, item.ticket)) for item in queue if item.run not in admit
    ]
    held = [replace(lease, asked=lease.asked or lease.run in asked) for lease in leases]
    return left, held + [started(item, now) for item in queue if item.run in admit]


def used(leases: Sequence[Running]) -> Resources:
    return sum((lease.resources for lease in leases), Resources())


@dataclass
class Cluster:
    """Runs last *seconds*[run]; what is asked to yield is queued again after *grace*, with the rest of its time."""

    tenants: list[TenantShare]
    capacity: Resources
    seconds: dict[str, float]
    patience: float = 100.0
    grace: float = 1.0
    now: float = 0.0
    queue: list[Waiting] = field(default_factory=list)
    leases: list[Running] = field(default_factory=list)
    ends: dict[str, float] = field(default_factory=dict)
    started_at: dict[str, float] = field(default_factory=dict)
    first_since: dict[str, float] = field(default_factory=dict)
    yielded: list[str] = field(default_factory=list)

    def decide(self) -> Decision:
        decision = decide(self.now, self.queue, self.leases, self.tenants, self.capacity, patience=self.patience)
        before = {lease.run for lease in self.leases if not lease.asked}
        self.queue, self.leases = applied(decision, self.now, self.queue, self.leases)
        for run in decision.admit:
            self.started_at.setdefault(run, self.now)
            self.ends[run] = self.now + self.seconds[run]
        for each in decision.yields:
            assert each.run in before
            self.ends[each.run] = min(self.ends[each.run], self.now + self.grace)
            self.seconds[each.run] = self.seconds[each.run] - (self.ends[each.run] - self._since(each.run))
            self.yielded.append(each.run)
        self._note_first()
        return decision

    def _since(self, run: str) -> float:
        return next(lease.since for lease in self.leases if lease.run == run)

    def _note_first(self) -> None:
        """Since when each waiting item has been the first of its tenant."""
        queues = defaultdict(list)
        for item in self.queue:
            queues[item.tenant].append((-item.priority, item.submitted, item.run))
        first = {min(items)[-1] for items in queues.values()}
        self.first_since = {run: self.first_since.get(run, self.now) for run in first}

    def end(self, until: float) -> None:
        """Go to *until*, ending what ends by then; decisions are the caller's."""
        self.now = until
        done = [lease for lease in self.leases if self.ends[lease.run] <= until]
        self.leases = [lease for lease in self.leases if self.ends[lease.run] > until]
        for lease in done:
            if lease.asked and self.seconds[lease.run] > 0:
                self.queue.append(
                    Waiting(
                        run=lease.run,
                        tenant=lease.tenant,
                        resources=lease.resources,
                        submitted=lease.submitted,
                        priority=lease.priority,
                        group=lease.group,
                        group_limit=lease.group_limit,
                    )
                )

    def next_event(self, arrivals: Sequence[Waiting]) -> float | None:
        """When the next run ends, arrives or becomes overdue."""
        times = [self.ends[lease.run] for lease in self.leases]
        times += [item.submitted for item in arrivals]
        times += [item.submitted + self.patience for item in self.queue]
        return min((time for time in times if time > self.now), default=None)

    def run(self, arrivals: Sequence[Waiting], check=None, until: float = float("inf")) -> None:
        """Play all *arrivals*, deciding at every event; *check* sees the cluster after each decision."""
        left = sorted(arrivals, key=lambda item: item.submitted)
        while True:
            self.queue += [item for item in left if item.submitted <= self.now]
            left = [item for item in left if item.submitted > self.now]
            decision = self.decide()
            if check is not None:
                check(self, decision)
            event = self.next_event(left)
            if event is None or event > until:
                return
            self.end(event)
