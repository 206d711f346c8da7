"""Trials under Ray Tune: so many at a time, the worse ones ended at their rungs, the ones that crash marked.

What a trial did lies in its own folder (`trial.py`), so a sweep that was killed is simply run again: what has ended
ends at once, what was under way continues. A crowd of trials decides about each other at a rung in the order in which
they come there (ASHA), so with early stopping another order may stop another trial.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from coat_ray.config.sweep import ObjectiveConfig, StoppingConfig
from coat_ray.storage import Storage
from sweeps.places import SharedPlaces
from sweeps.results import TrialResult
from sweeps.search import Search, Trials
from sweeps.targets import Targets
from sweeps.trial import Setting, Tell, Trial, crashed, ended_early, keep_result, read_result, run_trial

OBJECTIVE, RUNG = "objective", "rung_time"
MAX_CRASHES = 2
"""A trial's process may die so often (killed for memory, say) before the trial is marked as failed."""

NO_CPU = {"CPU": 0.01}
"""A trial's own process waits for the workers that it starts."""


@dataclass(frozen=True)
class Work:
    """What every trial needs besides itself."""

    trials: Trials
    targets: Targets
    storage: Storage
    folder: Path
    places: SharedPlaces
    """Where those work that may."""
    run: Callable[[Trial, Setting, Tell], None] = run_trial

    def home(self, trial: Trial) -> Path:
        """A trial's folder."""
        return self.folder / "trials" / trial.name


def tune_trials(
    work: Work,
    concurrency: int,
    objective: ObjectiveConfig,
    stopping: StoppingConfig,
    ended: Callable[[TrialResult], None],
) -> list[TrialResult]:
    """Run all trials, at most *concurrency* at a time; gives their results in the order of the trials.

    Ray must be running, with its dashboard: without it, Tune does not free what a trial held that was ended early.
    """
    search, name = work.trials.search(), functools.partial(_name, work.trials)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_run, work=work, reduction=stopping.reduction), NO_CPU),
        tune_config=tune.TuneConfig(
            search_alg=_Numbers(search),
            num_samples=work.trials.count,
            max_concurrent_trials=concurrency,
            scheduler=_scheduler(work.trials.examples, objective, stopping),
            trial_name_creator=name,
            trial_dirname_creator=name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(work.folder),
            failure_config=tune.FailureConfig(max_failures=MAX_CRASHES),
            callbacks=[_Told(work, search, ended)],
            verbose=0,
        ),
    )
    with _interrupts_raised():
        tuner.fit()
    trials = map(work.trials.trial, range(work.trials.count))
    return [read_result(work.home(trial)) or crashed(trial, work.home(trial), "") for trial in trials]


@contextmanager
def _interrupts_raised() -> Iterator[None]:
    """Tune takes an interrupt for a wish to end with what there is; here it ends the sweep, which goes on later."""
    name = "TUNE_DISABLE_SIGINT_HANDLER"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _run(config: Mapping[str, int], *, work: Work, reduction: int) -> None:
    """What Tune runs for a trial."""
    trial = work.trials.trial(config["number"])

    def tell(step: int, value: float) -> None:
        rung = list(trial.rungs).index(step)
        tune.report({OBJECTIVE: value, "step": step, RUNG: reduction**rung})

    place = functools.partial(work.places.held, trial.name)
    work.run(trial, Setting(work.targets.of(trial), work.storage, work.home(trial), place), tell)


def _scheduler(trials: Sequence[Trial], objective: ObjectiveConfig, stopping: StoppingConfig) -> TrialScheduler:
    """ASHA at any rungs: its own are powers of the reduction, so the k-th rung is reported as that power."""
    if stopping.kind == "none":
        return FIFOScheduler()
    last = max(len(trial.rungs) for trial in trials) - 1
    return ASHAScheduler(
        time_attr=RUNG,
        metric=OBJECTIVE,
        mode=objective.mode,
        grace_period=1,
        reduction_factor=stopping.reduction,
        max_t=stopping.reduction**last,
    )


def _name(trials: Trials, trial: Any) -> str:
    return trials.trial(trial.config["number"]).name


class _Numbers(Searcher):
    """Gives Tune the numbers of the trials, each when the search has chosen what it tries."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search, self.begun = search, 0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as below."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, int]:  # noqa: ARG002
        """The next trial."""
        self.search.draw(self.begun)
        self.begun += 1
        return {"number": self.begun - 1}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the search is told what the trial wrote down."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the search keeps what it chose."""


class _Told(tune.Callback):
    """Says when a trial has ended, and writes down how where the trial itself could not."""

    def __init__(self, work: Work, search: Search, ended: Callable[[TrialResult], None]) -> None:
        self.work, self.search, self.ended = work, search, ended

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune keeps a copy for a restart of its own, and ours begins anew."""
        return {}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """It ended by itself, or was ended because others were better."""
        self._told(trial.config["number"], ended_early)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """It raised an error, or its process died, more often than it may."""
        self._told(trial.config["number"], functools.partial(crashed, reason=_last_line(trial)))

    def _told(self, number: int, otherwise: Callable[[Trial, Path], TrialResult]) -> None:
        trial = self.work.trials.trial(number)
        home = self.work.home(trial)
        result = read_result(home) or otherwise(trial, home)
        self.work.places.leave(trial.name)
        keep_result(home, result)
        self.search.tell(number, result)
        self.ended(result)


def _last_line(trial: Any) -> str:
    error = trial.get_error()
    return str(error).strip().splitlines()[-1] if error else "its process ended without a word"
