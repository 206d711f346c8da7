"""How much each parameter of a sweep mattered: a share of the variance in ranks, beside what chance would give.

Points are ranked by score, and parted by the value of one parameter: by choice, or for numbers with many values into
thirds. The share is the variance of ranks between these parts over all of it, eta squared on ranks, which is
H / (n - 1) of Kruskal and Wallis (1952). Ranks, because stopped trials and weights over decades make scores crooked;
parts rather than a line, because the best weight often lies in the middle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from sweeps.estimates import PointResult
from sweeps.record import Objective

FEW_VALUES = 5
"""Numbers with at most so many values are parted by value."""
PARTS = 3
SHUFFLES = 1000
POINTS_PER_PARAMETER = 10
"""Below this, the shares are hints."""


@dataclass(frozen=True)
class Importance:
    """One parameter's share of the variance in ranks, 0 to 1."""

    param: str
    share: float
    chance: float
    """What 95 % of shuffled scores stay below or reach."""
    trend: float | None
    """Spearman's correlation with a better score, for numbers."""

    @property
    def readable(self) -> bool:
        """Whether the share is more than chance would give."""
        return self.share > self.chance + 1e-9


def varied(points: Sequence[PointResult]) -> dict[str, list[Any]]:
    """Parameters that every point has and that are not the same in all, with their value at each point."""
    keys = [key for key in (points[0].params if points else ()) if all(key in point.params for point in points)]
    values = {key: [point.params[key] for point in points] for key in keys}
    return {key: column for key, column in values.items() if len({choice(value) for value in column}) > 1}


def importances(points: Sequence[PointResult], objective: Objective, *, seed: int = 0) -> list[Importance]:
    """The share of every parameter that was varied among the points with a score, the largest first.

    Empty for fewer than three points. Stopped points count with the score at which they were stopped.
    """
    scored = [point for point in points if point.estimate]
    if len(scored) < 3:
        return []
    ranks_N = rankdata([-objective.rank(point.estimate.mean) for point in scored if point.estimate])
    rng = np.random.default_rng(seed)
    shuffled_RN = rng.permuted(np.tile(ranks_N, (SHUFFLES, 1)), axis=1)
    found = []
    for param, values in varied(scored).items():
        parts_N = parts(values)
        chance = np.quantile(explained(shuffled_RN, parts_N), 0.95, method="inverted_cdf")
        trend = _correlation(rankdata(values), ranks_N) if numeric(values) else None
        found.append(Importance(param, float(explained(ranks_N[None], parts_N)[0]), float(chance), trend))
    return sorted(found, key=lambda importance: (-importance.share, importance.param))


def parts(values: Sequence[Any]) -> np.ndarray:
    """The part that each value belongs to, (N,): its choice, or its third where numbers have many values."""
    choices = [choice(value) for value in values]
    if numeric(values) and len(set(choices)) > FEW_VALUES:
        return ((rankdata(values) - 0.5) * PARTS / len(values)).astype(int)
    return np.unique(choices, return_inverse=True)[1]


def explained(ranks_RN: np.ndarray, parts_N: np.ndarray) -> np.ndarray:
    """Share of the variance that lies between the parts, for each row, (R,); 0 where all ranks are equal."""
    member_NG = np.eye(parts_N.max() + 1)[parts_N]
    member_NG = member_NG[:, member_NG.any(axis=0)]
    centred_RN = ranks_RN - ranks_RN.mean(axis=1, keepdims=True)
    between_R = ((centred_RN @ member_NG) ** 2 / member_NG.sum(axis=0)).sum(axis=1)
    total_R = (centred_RN**2).sum(axis=1)
    return np.divide(between_R, total_R, out=np.zeros_like(total_R), where=total_R > 0)


def numeric(values: Sequence[Any]) -> bool:
    """Whether all values are numbers; true and false are choices."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def choice(value: Any) -> str:
    """A value of a parameter as text, the same for equal values."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, Mapping | list | tuple) else str(value)


def _correlation(a_N: np.ndarray, b_N: np.ndarray) -> float | None:
    return None if np.ptp(a_N) == 0 or np.ptp(b_N) == 0 else float(np.corrcoef(a_N, b_N)[0, 1])
