"""Searches without a training: every draw is answered at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from coat_ray.config import SweepConfig, validate
from sweeps.record import SweepRecord, write_record
from sweeps.search import Drawn, trials_of
from sweeps.spaces import Point, base_config

from . import objects

RUN = """
name: whole
arms: [coat]
experts: {pitch: {model: basic_pitch}, sed: {model: panns}}
stages:
  - {name: one, steps: 4, weights: {recon: 1.0}}
  - {name: two, steps: 6, weights: {pitch: 2.0, sed: 1.0}}
"""
TINY = {"lora.rank": {"choice": [2, 4, 8]}, "projector.kind": {"choice": ["transformer", "linear"]}}
"""Six points."""

Answer = Callable[[Point], dict[str, Any]]
"""How the trial of a point ends."""


def sweep(run: str, space: dict[str, Any], trials: int = 30, seed: int = 0, **data: Any) -> SweepConfig:
    """A sweep that TPE searches."""
    search = {"algorithm": "tpe", "trials": trials, "seed": seed}
    return validate({"name": "trial", "run": run, "space": space, "search": search} | data, SweepConfig, "sweep.yaml")


def drawn(config: SweepConfig, folder: Path) -> Drawn:
    """Its trials, with its record in the folder."""
    write_record(folder, SweepRecord(command="x", sweep=config), base_config(config))
    found = trials_of(config, folder)
    assert isinstance(found, Drawn)
    return found


def searched(trials: Drawn, answer: Answer, until: int | None = None) -> list[Point]:
    """Draw one trial after the other, each told how it ended before the next; gives the points."""
    search = trials.search()
    for number in range(trials.count if until is None else until):
        search.draw(number)
        point = trials.point(trials.kept()[number])
        search.tell(number, objects.trial(point.id, **answer(point)))
    return [trials.point(answers) for answers in trials.kept()]
