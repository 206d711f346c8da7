"""Run a sweep and report it: ``python sweeps/run.py --config sweeps/configs/loss_weights.yaml [key.sub=value …]``.

Everything that is done is kept: the same command again goes on where it was.
"""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from coat_ray.cluster import connect
from coat_ray.config import RunConfig, SweepConfig, load_config
from coat_ray.entry import as_job
from coat_ray.leasing.footprint import largest
from coat_ray.leasing.keeper import Held, giving_way
from coat_ray.leasing.turns import in_turn
from coat_ray.provenance import fingerprint, git_label
from coat_ray.storage import Storage
from sweeps.breadth import follow_leases
from sweeps.estimates import points_of
from sweeps.record import TRIALS, Objective, SweepRecord, read_record, write_record
from sweeps.report import write_report
from sweeps.results import TrialResult, write_results
from sweeps.spaces import check
from sweeps.tables import terminal_table

if TYPE_CHECKING:
    from sweeps.search import Trials


def main() -> None:
    """Parse and run; errors that a person can act on end in one sentence and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the sweep")
    parser.add_argument("overrides", nargs="*", help="key.sub=value")
    arguments = parser.parse_args()
    with as_job() as console:
        sweep = load_config(arguments.config, SweepConfig, arguments.overrides)
        run(sweep, Storage.default(), console, command=shlex.join(["python", *sys.argv]))


def run(sweep: SweepConfig, storage: Storage, console: Console, *, command: str) -> Path:
    """Try every point on the configuration, make the targets, train all trials, report; gives the report's page."""
    from sweeps.search import trials_of  # noqa: PLC0415 - brings torch

    base = check(sweep)
    folder = storage.root / "sweeps" / f"{sweep.name}-{fingerprint(_identity(sweep, base))[:8]}"
    write_record(folder, SweepRecord(command=command, commit=git_label(), sweep=sweep), base)
    trials = trials_of(sweep, folder)
    console.print(f"sweep {sweep.name}: {trials.count} trials, {sweep.resources.concurrency} at a time, in {folder}")

    def work(held: Held) -> Path:
        results = _tuned(sweep, trials, storage, folder, console, held=held)
        held.result["folder"] = folder.name
        return _reported(folder, results, console)

    show = functools.partial(console.print, markup=False)
    page = in_turn(largest(trial.config for trial in trials.examples), show, work, sweep=True)
    console.print(f"report: {page}")
    return page


def _reported(folder: Path, results: list[TrialResult], console: Console) -> Path:
    """Keep the results, print the best points, write the page."""
    write_results(folder / TRIALS, results)
    record = read_record(folder)
    console.print(terminal_table(points_of(results, record.variants), Objective.of(record.sweep.objective)))
    return write_report(folder, record, results)


def _tuned(
    sweep: SweepConfig, trials: Trials, storage: Storage, folder: Path, console: Console, *, held: Held
) -> list[TrialResult]:
    # Ray reads its environment when it is imported, and connect() sets it: nothing above may import Ray.
    with connect(dashboard=True):
        from sweeps.places import SharedPlaces  # noqa: PLC0415
        from sweeps.targets import make_targets  # noqa: PLC0415
        from sweeps.tuning import Work, tune_trials  # noqa: PLC0415

        with giving_way(held.give_way):
            targets = make_targets(trials.examples, storage, console)
        told = _Progress(trials.count, Objective.of(sweep.objective), console)
        most, places = sweep.resources.concurrency, SharedPlaces(1)
        work = Work(trials, targets, storage, folder, places)
        with follow_leases(held, most, told.unfinished, places.resize) as leave, giving_way(leave):
            return tune_trials(work, most, sweep.objective, sweep.stopping, told.ended)


class _Progress:
    """A line for each trial that has ended."""

    def __init__(self, trials: int, objective: Objective, console: Console) -> None:
        self.trials, self.objective, self.console = trials, objective, console
        self.results: list[TrialResult] = []

    def unfinished(self) -> int:
        """How many trials have not ended."""
        return self.trials - len(self.results)

    def ended(self, result: TrialResult) -> None:
        """Say how it ended, and what is best now."""
        self.results.append(result)
        score = "-" if result.score is None else f"{result.score:.4g}"
        scored = [known for known in self.results if known.score is not None and known.state == "done"]
        best = min(scored, key=lambda known: self.objective.rank(known.score or 0.0), default=None)
        line = f"{len(self.results)}/{self.trials}  {result.trial}  {result.state}  {self.objective.name} {score}"
        if best is not None:
            line += f"  best {best.score:.4g} ({best.trial})"
        self.console.print(f"{line}  {result.reason}".rstrip(), markup=False)


def _identity(sweep: SweepConfig, base: RunConfig) -> dict[str, Any]:
    """What makes it the same sweep: not how many trials run at a time."""
    return {"sweep": sweep.model_dump(mode="json", exclude={"resources"}), "run": base.model_dump(mode="json")}
