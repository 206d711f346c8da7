"""The learning rate as a function of the step."""

from __future__ import annotations

import pytest

from coat_ray.config import OptimConfig
from coat_ray.training.schedule import lr_factor


def test_warm_up_rises_in_equal_steps_to_one() -> None:
    optim = OptimConfig(warmup_fraction=0.1)
    assert [lr_factor(step, 40, optim) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_decay_is_a_cosine_from_one_to_the_floor() -> None:
    optim = OptimConfig(warmup_fraction=0.0, min_lr_fraction=0.2)
    assert lr_factor(0, 100, optim) == 1.0
    assert lr_factor(50, 100, optim) == pytest.approx(0.6)
    assert lr_factor(100, 100, optim) == pytest.approx(0.2)


def test_a_run_of_one_step_moves() -> None:
    assert lr_factor(0, 1, OptimConfig()) == 1.0
