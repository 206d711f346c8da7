"""Two teams with weights 1 and 3 on a full cluster: ``python -m benchmarks.sharing [--runs 12 --steps 60 --slots 4]``.

A platform of its own is started (`coat up`) with room for so many runs at once. Both teams submit so many real
trainings at the same moment. From the first moment at which every slot is taken to the last at which both teams have
runs that wait, the CPUs that each team's leases hold are summed over time.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Line, show
from benchmarks.own_platform import RUN_CPUS, OwnPlatform, small_run
from coat_ray.client import Client

WEIGHTS = {"light": 1, "heavy": 3}
LOOK_EVERY_S = 0.5
HOLDING = ("starting", "running", "yielding")


def shares(folder: Path, runs: int, steps: int, slots: int) -> list[Line]:
    """Each team's part of the CPU-time that was held, and how much of the cluster was held."""
    platform = OwnPlatform(folder / "home", slots * RUN_CPUS)
    platform.up()
    try:
        teams = [platform.team(name, "--weight", str(weight)) for name, weight in WEIGHTS.items()]
        owner = platform.owner()
        for seed in range(runs):
            for name, team in zip(WEIGHTS, teams, strict=True):
                team.post("/runs", {"config": small_run(name, seed, steps)})
        held, passed = _held(owner, slots)
    finally:
        platform.coat("down")
    whole = sum(held.values())
    weights = sum(WEIGHTS.values())
    lines = [
        Line(f"share of {name}, weight {weight}", f"{held[name] / whole:.3f}", f"{weight / weights:.3f}")
        for name, weight in WEIGHTS.items()
    ]
    used = f"{whole / (passed * slots):.3f} of {slots} slots in {passed:.0f} s"
    return [*lines, Line("slots that were held while both teams had runs that waited", used, "-")]


def _held(owner: Client, slots: int) -> tuple[dict[str, float], float]:
    """Slot-seconds by team, and the seconds that they were looked at."""
    held: dict[str, float] = defaultdict(float)
    began = last = time.monotonic()
    full = False
    for holding, waiting in _looks(owner):
        now = time.monotonic()
        if full:
            for name, number in holding.items():
                held[name] += number * (now - last)
        elif sum(holding.values()) == slots:
            full, began = True, now
        last = now
        if full and not all(waiting[name] for name in WEIGHTS):
            break
    return held, last - began


def _looks(owner: Client) -> Iterator[tuple[Counter[str], Counter[str]]]:
    """How many runs of each team hold a slot, and how many wait, again and again."""
    while True:
        runs = owner.get("/runs", limit=1000)["data"]
        yield (
            Counter(run["tenant"] for run in runs if run["state"] in HOLDING),
            Counter(run["tenant"] for run in runs if run["state"] == "queued"),
        )
        time.sleep(LOOK_EVERY_S)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=12, help="of each team")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--slots", type=int, default=4)
    arguments = parser.parse_args()
    show("Weights 1 and 3", ["shares"], {"shares": shares}, arguments.runs, arguments.steps, arguments.slots)


if __name__ == "__main__":
    main()
