"""Scheduling policies on one load: ``python -m benchmarks.scheduler [--tenants 1000 --runs 10000 --gpus 4000]``.

The load (`benchmarks.cluster_load`) is played event by event with a decision every ``--tick`` seconds, under ours, FIFO
and strict priority. The latter two admit in their order and stop at the first run that does not fit; "first fit" goes
on past it. All keep to the tenants' limits; only ours asks runs to yield, which costs each a tick and 120 s.

- *decision*: CPU time of one decision: median / 99th percentile / longest.
- *used*: GPU-seconds of work done until the last submission, restarts left out, over those offered.
- *Jain*: Jain's index (Σx)² / (n Σx²) of x = GPU or CPU share used / fair share due, each summed over the hours in
  which somebody waits; dominant shares, due as in `fair_shares`, so bounded by what the tenant wants. 1 is fairest.
- *wait*: all time of a run in the queue, also after a yield: median, 95th percentile, longest.
- *queue*: most runs that waited at once.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.cluster_load import Load, make_load
from coat_ray.tenancy.scheduling.accounts import Account
from coat_ray.tenancy.scheduling.demand import Decision, Item, Resources, Running, TenantShare, Waiting, fits
from coat_ray.tenancy.scheduling.fairness import decide
from coat_ray.tenancy.scheduling.shares import dominant_share, fair_shares, per_unit, total_demand

RESTART_SECONDS = 120.0
HOUR = 3600.0
Policy = Callable[[float, Sequence[Waiting], Sequence[Running], Sequence[TenantShare], Resources], Decision]


@dataclass
class Outcome:
    """What one policy made of a load; seconds throughout."""

    decisions: list[float] = field(default_factory=list)
    waits: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    gpu_seconds: float = 0.0
    yields: int = 0
    longest_queue: int = 0
    got: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    due: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    in_use: list[tuple[float, float]] = field(default_factory=list)
    """Hour and GPUs in use."""

    @property
    def jain(self) -> float:
        """Jain's index of what tenants got over what they were due."""
        return jain([self.got[name] / due for name, due in self.due.items() if due > 0])


def jain(values: Sequence[float]) -> float:
    """Jain's fairness index: 1 when all are equal, 1/n when one has everything."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def in_order(key: Callable[[Waiting], tuple[float, ...]], past: bool) -> Policy:
    """A policy that admits in the order of *key*, and goes *past* what does not fit or stops at it."""

    def policy(
        now: float,  # noqa: ARG001 - one signature for all
        queue: Sequence[Waiting],
        leases: Sequence[Running],
        tenants: Sequence[TenantShare],
        capacity: Resources,
    ) -> Decision:
        active = {item.tenant for item in queue}
        accounts = {tenant.name: Account(tenant, capacity.units) for tenant in tenants if tenant.name in active}
        free = list(capacity.units)
        for lease in leases:
            free = [a - b for a, b in zip(free, lease.resources.units, strict=True)]
            if lease.tenant in accounts:
                accounts[lease.tenant].start(lease)
        admit = []
        for item in sorted(queue, key=key):
            if not accounts[item.tenant].allows(item):
                continue
            if fits(item.resources.units, free):
                free = [a - b for a, b in zip(free, item.resources.units, strict=True)]
                accounts[item.tenant].start(item)
                admit.append(item.run)
            elif not past:
                break
        return Decision(tuple(admit), (), {}, {})

    return policy


POLICIES: dict[str, Policy] = {
    "ours": decide,
    "FIFO": in_order(lambda item: (item.submitted,), past=False),
    "FIFO, first fit": in_order(lambda item: (item.submitted,), past=True),
    "strict priority": in_order(lambda item: (-item.priority, item.submitted), past=False),
}


def simulate(load: Load, policy: Policy, tick: float) -> Outcome:
    """Play the whole load, until the last run has ended."""
    outcome, left = Outcome(), dict(load.seconds)
    queue: dict[str, Waiting] = {}
    leases: dict[str, Running] = {}
    ends: list[tuple[float, str]] = []
    queued = {item.run: item.submitted for item in load.arrivals}
    now, arrived, next_sample = 0.0, 0, 0.0
    while arrived < len(load.arrivals) or queue or leases:
        now += tick
        while ends and ends[0][0] <= now:
            end, run = heapq.heappop(ends)
            lease = leases.pop(run)
            outcome.gpu_seconds += lease.resources.gpus * max(min(end, load.window) - min(lease.since, load.window), 0)
            if lease.asked:
                left[run] += RESTART_SECONDS
                outcome.gpu_seconds -= lease.resources.gpus * RESTART_SECONDS * (end < load.window)
                queue[run], queued[run] = _waiting(lease), end
        while arrived < len(load.arrivals) and load.arrivals[arrived].submitted <= now:
            queue[load.arrivals[arrived].run] = load.arrivals[arrived]
            arrived += 1
        outcome.longest_queue = max(outcome.longest_queue, len(queue))
        start = time.thread_time()
        decision = policy(now, list(queue.values()), list(leases.values()), load.tenants, load.capacity)
        outcome.decisions.append(time.thread_time() - start)
        for each in decision.yields:
            lease = leases[each.run]
            end = next(end for end, run in ends if run == each.run)
            if end > now + tick:
                ends[ends.index((end, each.run))] = (now + tick, each.run)
                left[each.run] = end - (now + tick)
                leases[each.run] = replace(lease, asked=True)
                outcome.yields += 1
        heapq.heapify(ends)
        for run, ticket in decision.tickets.items():
            queue[run] = replace(queue[run], ticket=ticket)
        for run in decision.admit:
            leases[run] = _running(queue.pop(run), now)
            outcome.waits[run] += now - queued[run]
            heapq.heappush(ends, (now + left[run], run))
        if now >= next_sample:
            next_sample += HOUR
            _sample(outcome, now, list(queue.values()), list(leases.values()), load)
    return outcome


def _waiting(lease: Running) -> Waiting:
    return Waiting(**_shared(lease))


def _running(item: Waiting, now: float) -> Running:
    return Running(**_shared(item), since=now)


def _shared(item: Item) -> dict:
    return {name: getattr(item, name) for name in Item.__dataclass_fields__}


def _sample(outcome: Outcome, now: float, queue: list[Waiting], leases: list[Running], load: Load) -> None:
    """Add what each tenant has now to what it got, and its fair share to what it was due."""
    outcome.in_use.append((now / HOUR, sum(lease.resources.gpus for lease in leases)))
    if not queue:
        return
    items: dict[str, list[Item]] = defaultdict(list)
    used: dict[str, list[int]] = defaultdict(lambda: [0] * len(load.capacity.units))
    for item in [*queue, *leases]:
        items[item.tenant].append(item)
    for lease in leases:
        used[lease.tenant] = [a + b for a, b in zip(used[lease.tenant], lease.resources.units, strict=True)]
    active = {tenant.name: tenant for tenant in load.tenants if tenant.name in items}
    demands = {name: total_demand(items[name], tenant) for name, tenant in active.items()}
    weights = {name: tenant.weight for name, tenant in active.items()}
    parts = per_unit(load.capacity.units)
    for name, share in fair_shares(demands, weights, load.capacity.units).items():
        outcome.due[name] += share
        outcome.got[name] += dominant_share(used[name], parts)


def full_queue(load: Load, repeats: int = 20) -> list[float]:
    """CPU seconds of a decision with every run of the load submitted, on the full cluster that a first one left."""
    queue = [replace(item, submitted=0.0) for item in load.arrivals]
    first = decide(0.0, queue, [], load.tenants, load.capacity)
    by_run = {item.run: item for item in queue}
    leases = [_running(by_run.pop(run), 0.0) for run in first.admit]
    seconds = []
    for number in range(repeats):
        start = time.thread_time()
        decide(10.0 + number, list(by_run.values()), leases, load.tenants, load.capacity)
        seconds.append(time.thread_time() - start)
    return seconds


def million_additions(repeats: int = 5) -> float:
    """CPU seconds of a loop that says how fast this core runs Python."""

    def once() -> float:
        start, total = time.thread_time(), 0
        for number in range(1_000_000):
            total += number
        return time.thread_time() - start

    return min(once() for _ in range(repeats))


def row(name: str, outcome: Outcome, load: Load) -> list[str]:
    """One policy's row of the table."""
    waits = sorted(outcome.waits.values())
    times = sorted(1000 * seconds for seconds in outcome.decisions)
    return [
        name,
        f"{statistics.median(times):.1f} / {times[int(0.99 * len(times))]:.1f} / {times[-1]:.1f}",
        f"{outcome.gpu_seconds / (load.capacity.gpus * load.window):.1%}",
        f"{outcome.jain:.3f}",
        f"{statistics.median(waits) / 60:.0f}",
        f"{waits[int(0.95 * len(waits))] / 60:.0f}",
        f"{waits[-1] / 60:.0f}",
        str(outcome.yields),
        str(outcome.longest_queue),
    ]


def draw(outcomes: dict[str, Outcome], gpus: float, path: Path) -> None:
    """Waits as the part of runs that wait longer, and GPUs in use over time."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - of the extra `draw`

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    for name, outcome in outcomes.items():
        waits = sorted(max(wait, 1) / 60 for wait in outcome.waits.values())
        left.loglog(waits, [1 - rank / len(waits) for rank in range(len(waits))], label=name)
        right.plot(*zip(*outcome.in_use, strict=True), label=name)
    left.set(xlabel="wait (minutes)", ylabel="part of the runs that wait longer")
    right.set(xlabel="hours", ylabel=f"GPUs in use, of {gpus:.0f}")
    left.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Play the load under every policy and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--gpus", type=int, default=4000)
    parser.add_argument("--load", type=float, default=1.0, help="GPU-time asked for over GPU-time offered")
    parser.add_argument("--tick", type=float, default=300.0, help="seconds between decisions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    arguments = parser.parse_args()
    load = make_load(arguments.tenants, arguments.runs, arguments.gpus, arguments.load, arguments.seed)
    console = Console(width=110)
    columns = ["policy", "decision, ms", "used", "Jain", "wait, min", "P95", "longest", "yields", "queue"]
    table = Table(*columns, title=f"{arguments.runs} runs over {load.window / HOUR:.0f} h")
    times = sorted(1000 * seconds for seconds in full_queue(load))
    loop = 1000 * million_additions()
    console.print(
        f"all {arguments.runs} runs queued, cluster full: a decision takes {times[0]:.0f} to {times[-1]:.0f} ms, "
        f"at best {times[0] / loop:.2f} of a million additions in a Python loop ({loop:.0f} ms)"
    )
    outcomes = {}
    for name, policy in POLICIES.items():
        outcomes[name] = simulate(load, policy, arguments.tick)
        table.add_row(*row(name, outcomes[name], load))
        console.print(f"{name}: {len(outcomes[name].decisions)} decisions")
    console.print(table)
    if arguments.plot:
        draw(outcomes, load.capacity.gpus, arguments.plot)
        console.print(f"drawn to {arguments.plot}")


if __name__ == "__main__":
    main()
