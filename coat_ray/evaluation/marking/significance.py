"""Whether two models differ on the same questions: McNemar's exact test for right and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from coat_ray.evaluation.marking.marks import Mark


@dataclass(frozen=True)
class McNemar:
    """Questions that only the first, or only the second model answered rightly, and the two-sided exact p-value."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: Sequence[Mark], second: Sequence[Mark]) -> McNemar:
    """McNemar's exact test (binomial over the discordant pairs).

    Args:
        first: marks of one model, right (1) or wrong (0).
        second: marks of the other on the same questions in the same order.

    Raises:
        ValueError: different numbers of questions.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} marks are not of the same questions")
    pairs = [(a.numerator >= a.denominator, b.numerator >= b.denominator) for a, b in zip(first, second, strict=True)]
    only_first = sum(a and not b for a, b in pairs)
    only_second = sum(b and not a for a, b in pairs)
    total = only_first + only_second
    p_value = float(binomtest(only_first, total, 0.5).pvalue) if total else 1.0
    return McNemar(only_first, only_second, p_value)
