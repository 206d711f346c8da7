"""A made-up but lifelike load for the scheduler: heavy tails, sweeps, bursts, and nights."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from coat_ray.tenancy.scheduling.demand import Resources, TenantShare, Waiting

DAY = 86_400.0
CPUS_PER_GPU = 12
GPUS = {0: 20, 1: 20, 2: 10, 4: 10, 8: 20, 16: 8, 32: 6, 64: 4, 128: 2, 256: 0.7, 512: 0.3}
"""How often each size is asked for; 0 is a run on CPUs alone."""
MEDIAN_SECONDS, SIGMA, LONGEST_SECONDS = 5400.0, 1.2, DAY / 2
"""Run lengths are log-normal, cut off."""


@dataclass(frozen=True)
class Load:
    """What is submitted, how long each run takes (seconds), and when the last one is submitted."""

    tenants: list[TenantShare]
    arrivals: list[Waiting]
    seconds: dict[str, float]
    capacity: Resources
    window: float


def make_load(num_tenants: int, num_runs: int, gpus: int, load: float, seed: int) -> Load:
    """Runs whose GPU-time is *load* times what *gpus* offer until the last one is submitted.

    A third of the submissions are bursts of one tenant, those above ten runs a sweep of at most 32 trials at once.
    """
    rng = random.Random(seed)
    tenants = [
        TenantShare(name=f"t{n}", weight=rng.choice([1, 1, 1, 2, 4]), max_gpus=rng.choice([None, None, gpus / 4]))
        for n in range(num_tenants)
    ]
    popular = [1 / (rank + 1) ** 0.8 for rank in range(num_tenants)]
    arrivals: list[Waiting] = []
    seconds: dict[str, float] = {}
    sizes = [size for size in GPUS if size <= gpus / 8]
    while len(arrivals) < num_runs:
        (tenant,) = rng.choices(tenants, popular)
        (size,) = rng.choices(sizes, [GPUS[size] for size in sizes])
        count = 1 if rng.random() < 2 / 3 or size > 8 else min(math.ceil(3 * rng.paretovariate(1.2)), 64)
        median, at, priority = (
            rng.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA),
            _moment(rng),
            rng.choice([0, 0, 0, 1]),
        )
        cpus = size * CPUS_PER_GPU / 2 or rng.choice([2, 8, 32])
        for _ in range(min(count, num_runs - len(arrivals))):
            run = f"r{len(arrivals)}"
            seconds[run] = min(max(median * rng.lognormvariate(0, 0.3), 60.0), LONGEST_SECONDS)
            group = f"sweep-{at}" if count > 10 else None
            arrivals.append(
                Waiting(
                    run=run,
                    tenant=tenant.name,
                    resources=Resources(cpus, size),
                    submitted=at,
                    priority=priority,
                    group=group,
                    group_limit=32 if group else None,
                )
            )
    work = sum(item.resources.gpus * seconds[item.run] for item in arrivals)
    days = max(math.ceil(work / gpus / load / DAY), 1)
    stretch = work / gpus / load / (days * DAY)
    arrivals = [
        replace(item, submitted=(item.submitted % 1 + rng.randrange(days)) * DAY * stretch) for item in arrivals
    ]
    arrivals = _together(arrivals)
    return Load(tenants, arrivals, seconds, Resources(gpus * CPUS_PER_GPU, gpus), days * DAY * stretch)


def _moment(rng: random.Random) -> float:
    """A time of day, 0 to 1: five times as many at the busiest hour as at the quietest."""
    while True:
        moment = rng.random()
        if rng.random() < 0.6 - 0.4 * math.cos(2 * math.pi * moment):
            return moment


def _together(arrivals: list[Waiting]) -> list[Waiting]:
    """Give the trials of one sweep one moment, and put all in order."""
    first: dict[str, float] = {}
    for item in arrivals:
        if item.group is not None:
            first.setdefault(item.group, item.submitted)
    moved = [replace(item, submitted=first.get(item.group or "", item.submitted)) for item in arrivals]
    return sorted(moved, key=lambda item: (item.submitted, item.run))
