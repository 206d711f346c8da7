"""A tenant while a decision is made: what it uses, what its limits leave, and which of its items come next."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from operator import add, attrgetter, sub

from coat_ray.tenancy.scheduling.demand import Running, TenantShare, Waiting, fits
from coat_ray.tenancy.scheduling.shares import dominant_share, per_unit, total_demand

TOLERANCE = 1e-9
"""Shares that differ by less are equal."""


class Account:
    """The books of one tenant. Amounts are in steps of 1/10,000 (`Resources.units`)."""

    def __init__(self, share: TenantShare, capacity: Sequence[int]) -> None:
        self.share, self.name, self.weight = share, share.name, share.weight
        self.limits = share.limits
        self.most = tuple(map(min, capacity, self.limits))
        """What a single item may ask for."""
        self._parts = per_unit(capacity)
        self.queue: list[Waiting] = []
        self.leases: list[Running] = []
        self.used = [0] * len(capacity)
        self.asked = [0] * len(capacity)
        """Part of *used* that has been asked to yield."""
        self.left: list[float] = list(self.limits)
        """What its limits leave. A kept item counts as though it ran, so that nothing takes its place."""
        self.runs_left = math.inf if share.max_runs is None else share.max_runs
        self.trials_left = math.inf if share.max_trials is None else share.max_trials
        self.trials: dict[str, int] = {}
        """Trials per group that run or are kept; ``running_trials`` are those that run."""
        self.running_trials: Counter[str] = Counter()
        self.running_alone = 0
        self.fair = 0.0
        self.shapes: set[tuple[int, ...]] = set()
        """The different amounts that its waiting items ask for."""
        self.cursor = 0
        self.first_blocked: Waiting | None = None
        """First item that only lacks capacity."""
        self.over_limit: Waiting | None = None
        """First item that has waited long for its tenant's own limits."""
        self.closed = False
        """Nothing may pass *first_blocked*."""
        self.has_ticket = False

    def prepare(self) -> None:
        """Count the leases, leave out what can never run, and put the queue in order."""
        if self.leases:
            self._count_leases()
        if self.share.suspended:
            self.queue = []
        self.shapes = {item.resources.units for item in self.queue}
        if any(not fits(shape, self.most) for shape in self.shapes):
            self.queue = [item for item in self.queue if fits(item.resources.units, self.most)]
            self.shapes = {item.resources.units for item in self.queue}
        self.queue.sort(key=attrgetter("submitted", "run"))
        self.queue.sort(key=attrgetter("priority"), reverse=True)  # reversed sorting keeps the order of equals
        self.has_ticket = {item.ticket for item in self.queue} - {None} != set()

    def _count_leases(self) -> None:
        """The same as `start` for each lease, in one go."""
        self.used = list(map(sum, zip(*[lease.resources.units for lease in self.leases], strict=True)))
        self.left = [max(limit - used, 0) for limit, used in zip(self.limits, self.used, strict=True)]
        self.running_trials = Counter(lease.group for lease in self.leases if lease.group is not None)
        self.trials = dict(self.running_trials)
        self.running_alone = len(self.leases) - self.running_trials.total()
        self.runs_left -= self.running_runs
        self.trials_left -= self.running_trials.total()
        for lease in self.leases:
            if lease.asked:
                self.ask(lease)

    def demand(self) -> list[float]:
        """The most of each resource that it could use at once."""
        return total_demand([*self.leases, *self.queue], self.share)

    @property
    def share_now(self) -> float:
        """Its dominant share of the capacity."""
        return dominant_share(self.used, self._parts)

    def level(self, extra: Sequence[int] | None = None) -> float:
        """Its dominant share over its weight, with *extra* on top."""
        used = self.used if extra is None else map(add, self.used, extra)
        return dominant_share(used, self._parts) / self.weight

    def lasting(self, less: Sequence[int] | None = None) -> float:
        """Its dominant share once what was asked to yield, and *less*, is gone."""
        kept = map(sub, self.used, self.asked)
        return dominant_share(kept if less is None else map(sub, kept, less), self._parts)

    @property
    def entitled(self) -> bool:
        """Whether it is below its fair share."""
        return self.share_now < self.fair - TOLERANCE

    def allows(self, item: Waiting) -> bool:
        """Whether the tenant's own limits let the item run."""
        if not fits(item.resources.units, self.left):
            return False
        if item.group is None:
            return self.runs_left >= 1
        trials = self.trials.get(item.group, 0)
        return bool(trials or self.runs_left >= 1) and not self.at_trial_limit(item)

    def at_trial_limit(self, item: Waiting) -> bool:
        """Whether as many trials run as may, of the item's group or of the tenant."""
        if item.group is None:
            return False
        full = item.group_limit is not None and self.trials.get(item.group, 0) >= item.group_limit
        return full or self.trials_left < 1

    @property
    def running_runs(self) -> int:
        """Runs that hold a lease, a group of trials being one."""
        return self.running_alone + len(self.running_trials)

    def start(self, item: Waiting | Running) -> None:
        """Count the item as running."""
        self.used = list(map(add, self.used, item.resources.units))
        self.occupy(item)
        if item.group is None:
            self.running_alone += 1
        else:
            self.running_trials[item.group] += 1

    def occupy(self, item: Waiting | Running) -> None:
        """Count the item against the tenant's limits."""
        self._take(item)
        if item.group is None:
            self.runs_left -= 1
            return
        self.trials_left -= 1
        self.runs_left -= not self.trials.get(item.group, 0)
        self.trials[item.group] = self.trials.get(item.group, 0) + 1

    def hold_place(self, item: Waiting) -> None:
        """Let nothing take the place of an item that the limits stop. A run slot that is not there cannot be held."""
        if self.runs_left >= 1 or self.trials.get(item.group or "", 0):
            self.occupy(item)
        else:
            self._take(item)

    def ask(self, lease: Running) -> None:
        """Count a lease as asked to yield."""
        self.asked = list(map(add, self.asked, lease.resources.units))

    def take_back(self, lease: Running) -> None:
        """Undo `ask`."""
        self.asked = list(map(sub, self.asked, lease.resources.units))

    def _take(self, item: Waiting | Running) -> None:
        self.left = [max(a - b, 0) for a, b in zip(self.left, item.resources.units, strict=True)]
