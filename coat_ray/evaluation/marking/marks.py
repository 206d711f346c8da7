"""Marking one answer: right or wrong, or how many words are wrong.

``SCORERS`` holds one entry per way of marking; a benchmark maps each of its tasks to one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from coat_ray.evaluation.asking.answers import Answer
from coat_ray.evaluation.marking.choices import parse_choice, parse_options
from coat_ray.evaluation.marking.metrics import exact_match, word_errors

Metric = Literal["accuracy", "wer", "mean_wer", "judged", "weighted_f1"]


@dataclass(frozen=True)
class Mark:
    """What one answer adds to its group's ratio: (right, 1) for accuracy, (word errors, words) for WER."""

    numerator: float
    denominator: float
    parsed: bool = True


@dataclass(frozen=True)
class Scorer:
    """A way of marking answers and the metric that its marks add up to."""

    metric: Metric
    mark: Callable[[Answer], Mark]


def _exact(answer: Answer) -> Mark:
    return Mark(exact_match(answer.reference, answer.answer), 1, parsed=bool(answer.answer.strip()))


def _words(answer: Answer) -> Mark:
    return Mark(*word_errors(answer.reference, answer.answer), parsed=bool(answer.answer.strip()))


def _choice(answer: Answer) -> Mark:
    options = parse_options(answer.question)
    correct = parse_choice(answer.reference, options)
    if correct is None:
        raise ValueError(f"row {answer.id}: the reference {answer.reference!r} names none of the options")
    chosen = parse_choice(answer.answer, options)
    return Mark(chosen == correct, 1, parsed=chosen is not None)


SCORERS: dict[str, Scorer] = {
    "exact": Scorer("accuracy", _exact),
    "words": Scorer("wer", _words),
    "choice": Scorer("accuracy", _choice),
}
