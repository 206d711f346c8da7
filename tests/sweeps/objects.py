"""Trials as a sweep would leave them behind."""

from typing import Any

from sweeps.results import TrialResult


def trial(point: str, seed: int = 0, score: float | None = 0.5, **other: Any) -> TrialResult:
    """A trial that was trained to its end, unless *other* says otherwise."""
    known = {"trial": f"{point}-s{seed}", "point": point, "params": {}, "seed": seed, "state": "done", "score": score}
    return TrialResult.model_validate(known | {"steps": 100} | other)


def seeds(point: str, *scores: float, **other: Any) -> list[TrialResult]:
    """A trial per score, with seeds from 0 on."""
    return [trial(point, seed, score, **other) for seed, score in enumerate(scores)]
