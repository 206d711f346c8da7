"""From marked answers to scores per task group and skill, and the difference between two models.

Intervals: Wilson for proportions, percentile bootstrap over clips for WER, means over groups and differences; for
proportions too where several questions are about one clip, unless all answers are right, or all wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coat_ray.evaluation.asking.answers import Answer
from coat_ray.evaluation.marking.marks import SCORERS, Mark, Metric
from coat_ray.evaluation.marking.metrics import Interval, percentile_interval, resampled_ratios, wilson


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval, as fractions; n questions, of which some could not be parsed."""

    metric: Metric
    value: float
    interval: Interval
    n: int
    unparsed: int = 0


@dataclass(frozen=True)
class Difference:
    """A minus B on the same questions, with its paired 95 % interval, as fractions."""

    metric: Metric
    value: float
    interval: Interval
    n: int


@dataclass(frozen=True)
class Evaluation:
    """One model's marked answers to one benchmark; every list is in the same order.

    ``by_clip``: questions about the same signal are drawn together, whatever its file is called, for proportions too.
    """

    model: str
    benchmark: str
    answers: list[Answer]
    marks: list[Mark]
    metrics: Mapping[str, Metric]  # task -> metric, in the order of the report
    by_clip: bool = False

    def scores(self) -> dict[str, Score]:
        """Score of each task group, in the benchmark's order."""
        return {task: self._score(self._where(task), metric) for task, metric in self._present()}

    def skills(self, task: str) -> dict[str, Score]:
        """Score of each skill within a task group."""
        where = self._where(task)
        names = sorted({self.answers[i].skill for i in where} - {""})
        return {s: self._score([i for i in where if self.answers[i].skill == s], self.metrics[task]) for s in names}

    def mean_accuracy(self) -> Score | None:
        """Unweighted mean over the accuracy groups, bootstrapped over clips; None without such a group."""
        tasks = self.accuracy_tasks()
        return self._mean(tasks) if tasks else None

    def accuracy_tasks(self) -> list[str]:
        """Task groups that are scored by accuracy."""
        return [task for task, metric in self._present() if metric == "accuracy"]

    def ratios(self, tasks: Sequence[str]) -> tuple[float, np.ndarray]:
        """(mean score over task groups, the same in every bootstrap resample (R,))."""
        where = [i for task in tasks for i in self._where(task)]
        groups = [self.answers[i].task for i in where]
        marks = [self.marks[i] for i in where]
        resampled_RG = resampled_ratios(
            [m.numerator for m in marks],
            [m.denominator for m in marks],
            groups,
            [self._cluster(i) for i in where],
        )
        value = math.fsum(_ratio([self.marks[i] for i in self._where(task)]) for task in tasks) / len(tasks)
        return value, resampled_RG.mean(axis=1)

    def to_json(self) -> dict[str, Any]:
        """Scores, skills and mean as plain data."""
        mean = self.mean_accuracy()
        return {
            "model": self.model,
            "benchmark": self.benchmark,
            "tasks": {
                task: score_json(score) | {"skills": {k: score_json(s) for k, s in self.skills(task).items()}}
                for task, score in self.scores().items()
            },
            "mean_accuracy": score_json(mean) if mean else None,
        }

    def _present(self) -> list[tuple[str, Metric]]:
        tasks = {answer.task for answer in self.answers}
        return [(task, metric) for task, metric in self.metrics.items() if task in tasks]

    def _where(self, task: str) -> list[int]:
        return [i for i, answer in enumerate(self.answers) if answer.task == task]

    def _cluster(self, place: int) -> str:
        answer = self.answers[place]
        return answer.audio if self.by_clip and answer.audio else answer.clip

    def _mean(self, tasks: Sequence[str]) -> Score:
        value, resampled_R = self.ratios(tasks)
        marks = [mark for mark, answer in zip(self.marks, self.answers, strict=True) if answer.task in tasks]
        return Score("accuracy", value, percentile_interval(resampled_R), len(marks), _unparsed(marks))

    def _score(self, where: Sequence[int], metric: Metric) -> Score:
        marks = [self.marks[i] for i in where]
        value = _ratio(marks)
        if metric == "accuracy" and (not self.by_clip or value in (0, 1)):
            interval = wilson(round(sum(m.numerator for m in marks)), len(marks))
        else:
            clips = [self._cluster(i) for i in where]
            ratios_RG = resampled_ratios(
                [m.numerator for m in marks], [m.denominator for m in marks], [metric] * len(marks), clips
            )
            interval = percentile_interval(ratios_RG[:, 0])
        return Score(metric, value, interval, len(marks), _unparsed(marks))


def score(model: str, benchmark: str, answers: Iterable[Answer], tasks: Mapping[str, str]) -> Evaluation:
    """Mark all answers of a model; *tasks* maps each task group to a key of SCORERS.

    Raises:
        ValueError: an answer to a task that the benchmark does not know.
    """
    answers = list(answers)
    for answer in answers:
        if answer.task not in tasks:
            raise ValueError(f"row {answer.id}: {benchmark} has no task {answer.task!r}; it has {sorted(tasks)}")
    marks = [SCORERS[tasks[answer.task]].mark(answer) for answer in answers]
    return Evaluation(model, benchmark, answers, marks, {task: SCORERS[name].metric for task, name in tasks.items()})


def difference(a: Evaluation, b: Evaluation, tasks: Sequence[str]) -> Difference:
    """A's mean score over *tasks* minus B's, resampling the same clips for both.

    Raises:
        ValueError: the two did not answer the same questions.
    """
    require_same_questions([a, b])
    (value_a, resampled_a), (value_b, resampled_b) = a.ratios(tasks), b.ratios(tasks)
    n = sum(answer.task in tasks for answer in a.answers)
    return Difference(a.metrics[tasks[0]], value_a - value_b, percentile_interval(resampled_a - resampled_b), n)


def require_same_questions(evaluations: Sequence[Evaluation]) -> None:
    """Refuse to compare models on different questions."""
    asked = {e.model: [(a.id, a.question, a.reference) for a in e.answers] for e in evaluations}
    first, *others = asked.items()
    for model, questions in others:
        if questions != first[1]:
            raise ValueError(f"{first[0]} and {model} did not answer the same questions in the same order")


def score_json(score: Score | Difference) -> dict[str, Any]:
    """A score as plain data."""
    data = {"metric": score.metric, "value": score.value, "low": score.interval.low, "high": score.interval.high}
    return data | {"n": score.n} | ({"unparsed": score.unparsed} if isinstance(score, Score) else {})


def _ratio(marks: Sequence[Mark]) -> float:
    total = sum(mark.denominator for mark in marks)
    if total == 0:
        raise ValueError("the references of this group hold no words, so its word error rate is undefined")
    return sum(mark.numerator for mark in marks) / total


def _unparsed(marks: Sequence[Mark]) -> int:
    return sum(not mark.parsed for mark in marks)
