"""Normalisation, word errors and confidence intervals: pure functions on strings and numbers.

Every score is a ratio of sums, sum(numerators) / sum(denominators) over questions: right answers over questions for
accuracy, word errors over reference words for corpus WER. One bootstrap therefore serves both.

Shapes: Q questions, C clusters (questions about the same clip), R resamples, G groups of questions.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

Z_95 = 1.959963984540054
RESAMPLES = 2000

_SPOKEN = str.maketrans({"#": " sharp ", "♯": " sharp ", "♭": " flat ", "&": " and ", "%": " percent ", "+": " plus "})
_APOSTROPHES = frozenset("'\u2019\u02bc`\u00b4")
_PUNCTUATION = frozenset("PZCS")
"""First letters of the Unicode categories that become a space: punctuation, separators, controls, symbols."""


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


def normalise(text: str) -> str:
    """Lower case, compatible characters unified, punctuation removed, single spaces.

    Signs that are spoken become words ("c#" -> "c sharp"), so that two different answers never become equal by losing
    a sign. Apostrophes vanish ("don't" -> "dont"); other punctuation separates words ("well-known" -> "well known").
    Nothing else is forgiven: articles, numerals and spelling count.
    """
    previous, current = None, text
    while current != previous:  # unfolding one character can bring up another, such as a capital inside a ligature
        previous, current = current, _normalise_once(current)
    return current


def _normalise_once(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text.translate(_SPOKEN)).casefold()
    kept = (c for c in plain if c not in _APOSTROPHES)
    return " ".join("".join(" " if unicodedata.category(c)[0] in _PUNCTUATION else c for c in kept).split())


def exact_match(reference: str, answer: str) -> bool:
    """True when both say the same after normalisation; an empty answer is never right."""
    said = normalise(answer)
    return bool(said) and said == normalise(reference)


def word_errors(reference: str, answer: str) -> tuple[int, int]:
    """(substitutions + deletions + insertions, reference words) of one normalised transcription, by jiwer."""
    words = jiwer.process_words(normalise(reference), normalise(answer))
    return words.substitutions + words.deletions + words.insertions, len(words.references[0])


def wilson(right: int, n: int, z: float = Z_95) -> Interval:
    """Score interval of a proportion (Wilson 1927): holds at 0 and 1 and for few questions.

    Raises:
        ValueError: no questions, or more right answers than questions.
    """
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"a proportion needs 0 <= right <= n and n > 0, not {right} of {n}")
    share, shrink = right / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if right == 0 else max(0.0, middle - half)
    high = 1.0 if right == n else min(1.0, middle + half)
    return Interval(low, high)


def resampled_ratios(
    numerators_Q: Sequence[float],
    denominators_Q: Sequence[float],
    groups_Q: Sequence[Hashable],
    clusters_Q: Sequence[Hashable],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> np.ndarray:
    """Each group's score in each bootstrap resample, (R, G); groups in the order in which they first appear.

    Whole clusters are drawn with replacement, because questions about one clip are not independent. The draw depends
    only on the seed and the number of clusters, so two models on the same questions are resampled alike: subtract
    their ratios for a paired difference. A group that a resample misses altogether is NaN there.
    """
    groups, clusters = _codes(groups_Q), _codes(clusters_Q)
    num_groups, num_clusters = groups.max(initial=-1) + 1, clusters.max(initial=-1) + 1
    if num_clusters == 0:
        raise ValueError("a bootstrap needs at least one question")
    cells_Q, num_cells = clusters * num_groups + groups, num_clusters * num_groups
    sums = [np.bincount(cells_Q, np.asarray(x, float), num_cells) for x in (numerators_Q, denominators_Q)]
    sums_2CG = np.stack(sums).reshape(2, num_clusters, num_groups)
    draws_RC = np.random.default_rng(seed).multinomial(num_clusters, [1 / num_clusters] * num_clusters, size=resamples)
    totals_2RG = draws_RC @ sums_2CG
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios_RG = totals_2RG[0] / totals_2RG[1]
    return np.where(totals_2RG[1] > 0, ratios_RG, np.nan)


def percentile_interval(values_R: np.ndarray) -> Interval:
    """The middle 95 % of bootstrap values (percentile method); NaN resamples are left out."""
    low, high = np.nanpercentile(values_R, [2.5, 97.5])
    return Interval(float(low), float(high))


def _codes(keys: Sequence[Hashable]) -> np.ndarray:
    """Number the distinct keys in order of first appearance."""
    order: dict[Hashable, int] = {}
    return np.array([order.setdefault(key, len(order)) for key in keys], dtype=np.int64)
