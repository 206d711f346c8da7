"""From trials to points: means over seeds with intervals, the best point, and the steps between declared variants.

Intervals are Student's t over seeds. A seed changes the initial weights and the order of rows, so an interval says
where the mean over all seeds may lie on the same questions, and nothing about other questions.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from scipy.special import stdtrit

from coat_ray.evaluation.marking.metrics import Interval
from sweeps.record import Objective
from sweeps.results import TrialResult, TrialState

STATES: tuple[TrialState, ...] = ("done", "stopped", "failed")


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds with its 95 % interval; one seed has none."""

    mean: float
    interval: Interval | None
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero; never true for a single seed."""
        return self.interval is not None and (self.interval.low > 0 or self.interval.high < 0)


@dataclass(frozen=True)
class PointResult:
    """A point of the space with the trials of all its seeds."""

    name: str
    variant: str | None
    params: Mapping[str, Any]
    trials: tuple[TrialResult, ...]
    finished: Mapping[int, float]
    """Seed -> score of the trials that were trained to their end."""
    estimate: Estimate | None
    """Over the finished seeds; where there are none, over the stopped ones."""

    @property
    def label(self) -> str:
        """What people call it."""
        return self.variant or self.name

    @property
    def state(self) -> TrialState:
        """Done where at least one seed was trained to its end; failed where none has a score."""
        return "done" if self.finished else "stopped" if self.estimate else "failed"

    @property
    def untrained(self) -> bool:
        """The base model as it is: it took no step, and would answer alike whatever the seed."""
        return bool(self.finished) and all(trial.steps == 0 for trial in self.trials)

    @property
    def step_seconds(self) -> float | None:
        """Time of a step, the mean over the seeds that measured it."""
        measured = [trial.step_seconds for trial in self.trials if trial.step_seconds is not None]
        return statistics.fmean(measured) if measured else None

    @property
    def tasks(self) -> list[str]:
        """Task groups that a finished trial has a score of, in their order."""
        finished = (trial.scores for trial in self.trials if trial.seed in self.finished)
        return list(dict.fromkeys(task for scores in finished for task in scores))

    def in_task(self, task: str) -> PointResult:
        """The same point with the scores of one task group."""
        scores = {t.seed: t.scores[task] for t in self.trials if t.seed in self.finished and task in t.scores}
        return replace(self, finished=scores, estimate=estimate([*scores.values()]) if scores else None)

    def count(self, state: TrialState) -> int:
        """How many of its trials ended in this way."""
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True)
class Step:
    """A variant minus an earlier one, paired by seed; no estimate where no seed finished in both."""

    variant: str
    against: str
    change: Estimate | None


def score_of(trial: TrialResult) -> float | None:
    """The score, where it is a number; a failed trial has none, whatever it reached."""
    known = trial.state != "failed" and trial.score is not None and math.isfinite(trial.score)
    return trial.score if known else None


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95 % interval of Student's t with n - 1 degrees of freedom; no interval for a single value.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    mean, n = statistics.fmean(values), len(values)
    if n == 1:
        return Estimate(mean, None, n)
    half = float(stdtrit(n - 1, 0.975)) * statistics.stdev(values) / math.sqrt(n)
    return Estimate(mean, Interval(mean - half, mean + half), n)


def points_of(results: Iterable[TrialResult], variants: Sequence[str] = ()) -> list[PointResult]:
    """All points: declared variants first and in their order, others in the order in which they appear.

    Raises:
        ValueError: a point with two trials of one seed, or whose trials changed different parameters.
    """
    groups: dict[str, list[TrialResult]] = {}
    for result in results:
        groups.setdefault(result.point, []).append(result)
    found = [_point(name, trials) for name, trials in groups.items()]
    place = {variant: number for number, variant in enumerate(variants)}
    return sorted(found, key=lambda point: place.get(point.variant or "", len(place)))


def _point(name: str, trials: Sequence[TrialResult]) -> PointResult:
    trials = tuple(sorted(trials, key=lambda trial: trial.seed))
    if len({trial.seed for trial in trials}) < len(trials):
        raise ValueError(f"point {name!r} has two trials of one seed; each seed counts once in a mean")
    first = trials[0]
    if any(trial.params != first.params or trial.variant != first.variant for trial in trials):
        raise ValueError(f"the trials of point {name!r} differ in more than their seed")
    scores = {s: {t.seed: v for t in trials if t.state == s and (v := score_of(t)) is not None} for s in STATES}
    counted = scores["done"] or scores["stopped"]
    return PointResult(
        name, first.variant, first.params, trials, scores["done"], estimate([*counted.values()]) if counted else None
    )


def ranking(points: Iterable[PointResult], objective: Objective) -> list[PointResult]:
    """Best first.

    Points with more finished seeds go before those with fewer, whatever their scores, because a mean over fewer seeds
    is luckier; a point without a finished trial comes after all that have one. Ties go to the shorter step, then to
    the name.
    """

    def key(point: PointResult) -> tuple[int, int, float, float, str]:
        score = objective.rank(point.estimate.mean) if point.estimate else math.inf
        cost = point.step_seconds if point.step_seconds is not None else math.inf
        return STATES.index(point.state), -len(point.finished), score, cost, point.name

    return sorted(points, key=key)


def best_point(points: Iterable[PointResult], objective: Objective) -> PointResult | None:
    """The first of :func:`ranking` that was trained; None where no such trial has a score."""
    scored = [point for point in points if point.estimate and not point.untrained]
    return ranking(scored, objective)[0] if scored else None


def luckier(points: Iterable[PointResult], best: PointResult, objective: Objective) -> list[PointResult]:
    """Finished points whose mean is better than the best one's: over fewer seeds, or not trained."""
    found = [point for point in points if point.finished and point.estimate and best.finished and best.estimate]
    return [p for p in found if p.estimate and best.estimate and objective.better(p.estimate.mean - best.estimate.mean)]


def pareto_front(points: Iterable[PointResult], objective: Objective) -> list[PointResult]:
    """Finished points that no other beats in score without a longer step; the shortest step first."""
    placed = [
        (objective.rank(point.estimate.mean), point.step_seconds, point)
        for point in points
        if point.finished and point.estimate and point.step_seconds is not None
    ]
    front = [
        (cost, point.name, point)
        for score, cost, point in placed
        if not any(s <= score and c <= cost and (s, c) != (score, cost) for s, c, _ in placed)
    ]
    return [point for _, _, point in sorted(front, key=lambda entry: entry[:2])]


def difference(point: PointResult, against: PointResult) -> Step:
    """One point minus another over the seeds that finished in both; what is not trained is the same for every seed."""
    a, b = _for_seeds_of(point, against), _for_seeds_of(against, point)
    changes = [a[seed] - b[seed] for seed in a if seed in b]
    return Step(point.label, against.label, estimate(changes) if changes else None)


def _for_seeds_of(point: PointResult, other: PointResult) -> Mapping[int, float]:
    if not point.untrained or other.untrained:
        return point.finished
    return dict.fromkeys(other.finished, statistics.fmean(point.finished.values()))


def ladder(points: Sequence[PointResult]) -> list[tuple[Step, Step]]:
    """Each variant from the second on: minus the one before it, and minus the first."""
    return [(difference(point, before), difference(point, points[0])) for before, point in pairwise(points)]
