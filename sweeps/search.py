"""Where the trials of a sweep come from: a list of them, or draws that learn from the results before them (TPE).

Every draw is kept in the sweep's folder before its trial begins, and is a function of the seed, its number and the
results that were known then. So a sweep that is started again draws nothing twice, and with one trial at a time it
draws what it would have drawn undisturbed.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from coat_ray.config import SweepConfig
from coat_ray.storage import atomic_write
from sweeps.estimates import score_of
from sweeps.record import read_record
from sweeps.results import TrialResult
from sweeps.spaces import Point, Recorded, apply, examples, points, suggest
from sweeps.trial import Trial

DRAWS = "draws.jsonl"
"""A line for each trial that was drawn: name of the question -> answer."""

TPE_TRIES = 16
"""Where TPE draws only points that were drawn before, so often; after that a point is drawn at random."""


class Search:
    """Chooses what the trials try; this one has nothing to choose."""

    def draw(self, number: int) -> None:
        """Choose trial *number*; the one before it has been chosen."""

    def tell(self, number: int, result: TrialResult) -> None:
        """Say how trial *number* ended."""


class Trials(ABC):
    """The trials of a sweep by their numbers. It travels to the trials' processes; its search does not."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many there will be."""

    @property
    @abstractmethod
    def examples(self) -> Sequence[Trial]:
        """Trials that between them need whatever any of them needs."""

    @abstractmethod
    def trial(self, number: int) -> Trial:
        """One of them, once it was chosen."""

    def search(self) -> Search:
        """Who chooses them."""
        return Search()


@dataclass(frozen=True)
class Listed(Trials):
    """Trials that are known before the sweep begins."""

    trials: Sequence[Trial]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.trials)

    @property
    def examples(self) -> Sequence[Trial]:
        """All of them."""
        return self.trials

    def trial(self, number: int) -> Trial:
        """One of them."""
        return self.trials[number]


@dataclass(frozen=True)
class Drawn(Trials):
    """Trials that TPE draws one after the other."""

    sweep: SweepConfig
    folder: Path

    @property
    def count(self) -> int:
        """How many will be drawn."""
        return self.sweep.search.trials or 0

    @cached_property
    def examples(self) -> Sequence[Trial]:
        """At the ends of the space: none of them is run."""
        return [trial_of(self.sweep, point, self.sweep.seeds[0]) for point in examples(self.sweep)]

    def trial(self, number: int) -> Trial:
        """What was drawn as *number*."""
        return trial_of(self.sweep, self.point(self.kept()[number]), self.sweep.seeds[0])

    def search(self) -> Search:
        """Goes on from what was drawn before."""
        return TpeSearch(self)

    def point(self, answers: Mapping[str, Any]) -> Point:
        """The point of a draw."""
        return suggest(Recorded(answers), self.sweep)

    def kept(self) -> list[dict[str, Any]]:
        """All draws, by number."""
        path = self.folder / DRAWS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def keep(self, draws: Sequence[Mapping[str, Any]]) -> None:
        """Write all draws."""
        atomic_write(self.folder / DRAWS, "".join(f"{json.dumps(draw)}\n" for draw in draws))


class TpeSearch(Search):
    """Asks Optuna's TPE. Its study is made anew from the kept draws, and told again how they ended."""

    def __init__(self, drawn: Drawn) -> None:
        objective = drawn.sweep.objective
        better = StudyDirection.MAXIMIZE if objective.mode == "max" else StudyDirection.MINIMIZE
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(directions=[better, StudyDirection.MINIMIZE] if objective.cost else [better])
        self._drawn, self._draws = drawn, drawn.kept()
        self._asked: dict[int, optuna.Trial] = {}
        for answers in self._draws:
            self._study.enqueue_trial(answers)

    def draw(self, number: int) -> None:
        """Draw a point that was not drawn before, and keep it; what was kept before is only asked for again."""
        if number < len(self._draws):
            self._asked[number] = self._study.ask()
            suggest(self._asked[number], self._drawn.sweep)
            return
        known = {self._drawn.point(answers).id for answers in self._draws}
        for attempt in count():
            self._study.sampler = self._sampler(number, attempt)
            asked = self._study.ask()
            if suggest(asked, self._drawn.sweep).id not in known:
                break
            self._study.tell(asked, state=TrialState.FAIL)  # the sampler takes no notice of it
        self._draws.append(asked.params)
        self._drawn.keep(self._draws)
        self._asked[number] = asked

    def tell(self, number: int, result: TrialResult) -> None:
        """Learn from a trial: its score, and the time of its steps where that is a second objective.

        A trial that was stopped is worse than all that ran to their end and ranked by its last rung, as Optuna's
        pruned trials are; one that failed is the worst.
        """
        asked, score, costs = self._asked.pop(number), score_of(result), self._drawn.sweep.objective.cost
        if result.state == "done" and score is not None and not (costs and result.step_seconds is None):
            values = [score, result.step_seconds] if costs else [score]
            self._study.tell(asked, [float(value) for value in values if value is not None])
            return
        if result.state == "stopped":
            for step, value in result.curve:
                asked.report(value, step)
        self._study.tell(asked, state=TrialState.PRUNED)

    def _sampler(self, number: int, attempt: int) -> BaseSampler:
        """One for each draw, so that a draw does not depend on how many this process made before."""
        text = f"{self._drawn.sweep.search.seed}/{number}/{attempt}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
        return TPESampler(seed=seed) if attempt < TPE_TRIES else RandomSampler(seed=seed)


def trials_of(sweep: SweepConfig, folder: Path) -> Trials:
    """The trials of a sweep whose record lies in *folder*: point by point and seed by seed, or drawn as it goes."""
    if sweep.search.algorithm == "tpe":
        # A draw may come long after the start: it varies the run as it was then, wherever the process works.
        return Drawn(read_record(folder).sweep, folder)
    return Listed([trial_of(sweep, point, seed) for point in points(sweep) for seed in point.seeds(sweep)])


def trial_of(sweep: SweepConfig, point: Point, seed: int) -> Trial:
    """What is trained and asked at a point with a seed."""
    config = apply(sweep, point, seed)
    asked = config.evaluation.model_copy(update={"max_rows_per_task": sweep.objective.rows_per_task})
    config = config.model_copy(update={"evaluation": asked})
    steps = config.total_steps if point.train else 0
    return Trial(
        name=point.trial(seed),
        point=point.id,
        variant=point.variant,
        params=point.params,
        seed=seed,
        config=config,
        rungs=(*sweep.stopping.steps(steps), steps) if point.train else (0,),
        metric=sweep.objective.metric,
        split=sweep.objective.split,
        train=point.train,
    )
