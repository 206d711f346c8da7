"""Learned loss weights: the formula, the direction in which they go, and what they leave alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from coat_ray.config import ConfigError, RunConfig, validate
from coat_ray.registry.runs import identity
from coat_ray.training.balance import BalancedModel, balanced
from coat_ray.training.engine import Engine, parameter_groups
from coat_ray.training.step import seed_step, train_step
from coat_ray.training.window import Window
from tests.training.toy import ToyModel, toy_batch

pytestmark = pytest.mark.usefixtures("one_worker")

ROLES = ("pitch", "recon")
WEIGHTS = {"recon": 0.5, "pitch": 2.0}


def config(kind: str = "uncertainty", **balance: float) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "toy",
            "stages": [{"name": "only", "steps": 4, "weights": WEIGHTS}],
            "experts": {"pitch": {"model": "basic_pitch"}},
            "balance": {"kind": kind, **balance},
            "optim": {"lr": 1e-4, "head_lr": 1e-4, "weight_decay": 0.5},
        }
    )


def train(run: RunConfig, steps: int, scale: float = 1.0) -> Iterator[dict[str, float]]:
    """Log lines of single steps on one batch; *scale* makes the pitch targets, and so their loss, larger."""
    engine, window = Engine(balanced(ToyModel(ROLES), run, ROLES), run, 1, torch.device("cpu")), Window()
    stage = run.stages[0]
    for step in range(steps):
        seed_step(0, step, 0)
        batch = toy_batch(["1", "2"], ROLES)
        batch.targets["pitch"] = batch.targets["pitch"] * scale
        window.add(train_step(engine, [batch], stage, stage.active))
        yield window.flush(stage.weights)


def test_the_first_step_is_that_of_fixed_weights() -> None:
    [fixed], [learned] = train(config("fixed"), 1), train(config(), 1)
    for key in ("loss", "ce", "recon/mse", "pitch/mse"):
        assert learned[key] == pytest.approx(fixed[key])
    for role in ROLES:
        assert learned[f"{role}/grad"] == pytest.approx(fixed[f"{role}/grad"], rel=1e-5)
        assert (learned[f"{role}/log_variance"], learned[f"{role}/weight"]) == (0.0, WEIGHTS[role])


def test_a_large_loss_gets_less_weight_and_a_small_one_more() -> None:
    large = list(train(config(lr=0.05), 60, scale=5.0))[-1]
    small = list(train(config(lr=0.05), 60, scale=0.0))[-1]
    assert large["pitch/mse"] > 1 > small["pitch/mse"]
    assert large["pitch/weight"] < WEIGHTS["pitch"] < small["pitch/weight"]


def test_the_weight_settles_where_every_loss_counts_by_its_own_size() -> None:
    last = list(train(config(lr=0.05), 300, scale=2.0))[-1]
    for role in ROLES:
        assert last[f"{role}/weight"] * last[f"{role}/mse"] == pytest.approx(WEIGHTS[role], rel=0.15)


def test_the_logged_total_is_the_one_that_is_trained() -> None:
    line = list(train(config(lr=0.05), 3))[-1]
    total = line["ce"]
    for role, weight in WEIGHTS.items():
        s = line[f"{role}/log_variance"]
        assert s != 0
        assert line[f"{role}/weight"] == pytest.approx(weight * math.exp(-s))
        total += weight * (math.exp(-s) * line[f"{role}/mse"] + s)
    assert line["loss"] == pytest.approx(total)


def test_a_batch_without_targets_teaches_an_expert_no_weight() -> None:
    run = config(lr=0.05)
    model = balanced(ToyModel(ROLES), run, ROLES)
    batch = toy_batch(["1", "2"], ROLES)
    batch.target_masks["pitch"][:] = False
    train_step(Engine(model, run, 1, torch.device("cpu")), [batch], run.stages[0], ROLES)
    assert float(model.balance["pitch"]().detach()) == 0.0
    assert float(model.balance["recon"]().detach()) != 0.0


def test_log_variances_train_at_the_heads_rate_or_their_own_and_never_decay() -> None:
    for run, lr in ((config(), 1e-4), (config(lr=0.2), 0.2)):
        groups = {group.name: group for group in parameter_groups(balanced(ToyModel(ROLES), run, ROLES), run)}
        assert (groups["balance.pitch"].lr, groups["balance.pitch"].weight_decay) == (lr, 0.0)
        assert (groups["heads.pitch"].lr, groups["heads.pitch"].weight_decay) == (1e-4, 0.5)


def test_without_experts_or_with_fixed_weights_the_model_is_left_as_it_is() -> None:
    model = ToyModel(ROLES)
    assert balanced(model, config("fixed"), ROLES) is model
    assert balanced(model, config(), ()) is model
    assert isinstance(balanced(model, config(), ROLES), BalancedModel)


def test_a_learning_rate_without_effect_is_refused() -> None:
    data = config().model_dump() | {"balance": {"lr": 0.1}}
    with pytest.raises(ConfigError, match="lr has no effect with kind=fixed"):
        validate(data, RunConfig, "x.yaml")
    with pytest.raises(ConfigError, match=r"balance\.kind"):
        validate(data | {"balance": {"kind": "gradnorm"}}, RunConfig, "x.yaml")


def test_the_choice_makes_another_run() -> None:
    assert identity(config(), "coat") != identity(config("fixed"), "coat")
    assert identity(config(lr=0.2), "coat") != identity(config(), "coat")
