"""A sweep is known again by what it asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from coat_ray.config import SweepConfig, load_config
from sweeps import driver

ROOT = Path(__file__).parents[2]


def sweep(name: str, *overrides: str) -> SweepConfig:
    return load_config(ROOT / f"sweeps/configs/{name}.yaml", SweepConfig, list(overrides))


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_same_sweep_is_found_again_whatever_runs_at_a_time() -> None:
    one, other = sweep("ablation_projector"), sweep("ablation_projector", "resources.concurrency=4")
    base = driver.check(one)
    assert driver._identity(one, base) == driver._identity(other, base)
    assert driver._identity(sweep("ablation_projector", "seeds=[7]"), base) != driver._identity(one, base)
