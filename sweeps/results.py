"""What a sweep leaves behind: one line per trial in ``trials.jsonl``, which the report is made from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from coat_ray.storage import atomic_write

TrialState = Literal["done", "stopped", "failed"]


class TrialResult(BaseModel):
    """One training: a point of the space with one seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trial: str = Field(description="names point and seed; the same sweep started again makes the same names")
    point: str = Field(description="names the point; the same for all seeds")
    variant: str | None = Field(None, description="the point's name, where it was declared and not drawn")
    params: dict[str, Any] = Field(description="dotted key of the configuration -> value, what the sweep changed")
    seed: int
    state: TrialState = Field(description="stopped: early, because others were better at the same step")
    reason: str = Field("", description="why it failed")
    score: float | None = Field(None, description="the objective at the last step it reached")
    scores: dict[str, float] = Field(default_factory=dict, description="the score of each task group")
    curve: tuple[tuple[int, float], ...] = Field((), description="(step, objective) wherever it was measured")
    losses: tuple[tuple[int, float], ...] = Field((), description="(step, training loss) of the log")
    steps: int = Field(0, ge=0, description="optimiser steps that were computed")
    step_seconds: float | None = Field(None, description="median time of a step: the cost of the objective's rival")
    seconds: float = Field(0.0, ge=0, description="wall time that the trial held its resources")
    cpus: float = Field(0.0, ge=0)
    gpus: float = Field(0.0, ge=0)
    model: str | None = Field(None, description="name@version of the model, where it was trained to its end")

    @property
    def core_hours(self) -> float:
        """CPU-hours that it held."""
        return self.cpus * self.seconds / 3600

    @property
    def gpu_hours(self) -> float:
        """GPU-hours that it held."""
        return self.gpus * self.seconds / 3600


def write_results(path: Path, results: Iterable[TrialResult]) -> None:
    """Write all trials, in the order of their names, in one piece."""
    lines = [result.model_dump_json() for result in sorted(results, key=lambda result: result.trial)]
    atomic_write(path, "".join(f"{line}\n" for line in lines))


def read_results(path: Path) -> list[TrialResult]:
    """What :func:`write_results` wrote.

    Raises:
        ValueError: a line that is no result, with its number.
    """
    found = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            found.append(TrialResult.model_validate(json.loads(line)))
        except ValueError as error:
            raise ValueError(f"{path}, line {number} is no result of a trial: {error}") from error
    return found
