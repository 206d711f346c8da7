"""Fair shares: weighted dominant-resource fairness (Ghodsi et al., NSDI 2011), bounded by what each tenant wants.

A tenant's *dominant share* is its largest share of any one resource. Fair shares are what comes out when all dominant
shares rise together, in proportion to the weights, as though capacity could be divided at will: a tenant stops where
it has all that it wants, or where a resource that it needs is used up.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import mul

from coat_ray.tenancy.scheduling.demand import Item, TenantShare


def per_unit(capacity: Sequence[int]) -> list[float]:
    """The share that one unit of each resource is; 0 for a resource that the cluster does not (any longer) have."""
    return [1 / total if total > 0 else 0.0 for total in capacity]


def dominant_share(amounts: Iterable[float], parts: Iterable[float]) -> float:
    """Largest share of any one resource, 0 to 1, or above where capacity was lost; *parts* are of `per_unit`."""
    return max(map(mul, amounts, parts))


def fair_shares(
    demands: Mapping[str, Sequence[float]], weights: Mapping[str, float], capacity: Sequence[int]
) -> dict[str, float]:
    """The dominant share that each tenant is due, never above that of its demand.

    Amounts are in any one unit per resource. Takes O(n log n) for n tenants.
    """
    shares = dict.fromkeys(demands, 0.0)
    parts = per_unit(capacity)
    rising = []
    for name, demand in demands.items():
        dominant = dominant_share(demand, parts)
        if dominant > 0:
            met = dominant / weights[name]
            rising.append((met, name, [amount / met for amount in demand]))
    rising.sort()
    tide = _Tide(capacity, [slope for _, _, slope in rising])
    stopped: set[str] = set()
    for met, name, slope in rising:
        while name not in stopped and tide.rise(met) < met:
            for _, other, other_slope in rising:
                if other not in stopped and any(other_slope[r] for r in tide.used_up):
                    tide.stop(other_slope)
                    stopped.add(other)
                    shares[other] = tide.level * weights[other]
        if name not in stopped:
            tide.stop(slope)
            stopped.add(name)
            shares[name] = met * weights[name]
    return shares


class _Tide:
    """The common level, what is left of each resource, and how fast it goes."""

    def __init__(self, capacity: Sequence[int], slopes: Iterable[Sequence[float]]) -> None:
        self.level = 0.0
        self.used_up: set[int] = set()
        self._left = [float(total) for total in capacity]
        self._rate = [0.0] * len(capacity)
        for slope in slopes:
            self._rate = [a + b for a, b in zip(self._rate, slope, strict=True)]
        self._open = {r for r, total in enumerate(capacity) if total > 0}  # what is gone cannot be divided

    def rise(self, level: float) -> float:
        """Go up to *level*, or to where the next resource is used up; the level reached."""
        reached, first = level, None
        for r in self._open:
            if self._rate[r] > 0 and self.level + self._left[r] / self._rate[r] < reached:
                reached, first = self.level + self._left[r] / self._rate[r], r
        self._left = [max(a - b * (reached - self.level), 0.0) for a, b in zip(self._left, self._rate, strict=True)]
        self.level = reached
        if first is not None:
            self.used_up.add(first)
            self._open.remove(first)
        return reached

    def stop(self, slope: Sequence[float]) -> None:
        """One tenant rises no further."""
        self._rate = [a - b for a, b in zip(self._rate, slope, strict=True)]


def total_demand(items: Sequence[Item], tenant: TenantShare) -> list[float]:
    """The most that a tenant could use of each resource at once, of all that it runs and waits for.

    It counts running and waiting alike, so admitting an item does not change it. Where a limit on runs or trials
    binds, each resource counts the largest ones, which may be more than any allowed choice of items uses.
    """
    if not items:
        return [0.0] * len(tenant.limits)
    units = [item.resources.units for item in items]
    if {item.group for item in items} != {None}:
        units = _runs(items, tenant)
    if tenant.max_runs is not None and tenant.max_runs < len(units):
        sums = [float(sum(heapq.nlargest(tenant.max_runs, column))) for column in zip(*units, strict=True)]
    else:
        sums = [float(sum(column)) for column in zip(*units, strict=True)]
    return list(map(min, sums, tenant.limits))


def _runs(items: Sequence[Item], tenant: TenantShare) -> list[tuple[int, ...]]:
    """One entry per run: an item of its own, or a group as a whole under its limit of trials."""
    groups = defaultdict(list)
    for item in items:
        groups[item.group].append(item)
    runs = [item.resources.units for item in groups.pop(None, [])]
    for trials in groups.values():
        limits = {trial.group_limit for trial in trials} | {tenant.max_trials, len(trials)}
        most = min(limit for limit in limits if limit is not None)
        columns = zip(*[trial.resources.units for trial in trials], strict=True)
        runs.append(tuple(sum(column if most == len(trials) else heapq.nlargest(most, column)) for column in columns))
    return runs
