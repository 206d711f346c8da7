"""One step and its log, in one process."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from coat_ray.config import RunConfig
from coat_ray.training.engine import Engine
from coat_ray.training.left_out import LeftOut
from coat_ray.training.progress import progress_line
from coat_ray.training.step import NonFiniteLossError, seed_step, train_step
from coat_ray.training.window import Window
from tests.training.toy import ToyModel, silent_batch, toy_batch

ROLES = ("pitch", "recon")
WEIGHTS = {"recon": 0.5, "pitch": 2.0}
COST = {"rows_per_second": 1.0, "audio_hours_per_hour": 1.0, "peak_rss_mib": 1.0}


pytestmark = pytest.mark.usefixtures("one_worker")


def config(weights: dict[str, float]) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "toy",
            "stages": [{"name": "only", "steps": 4, "weights": weights}],
            "experts": {"pitch": {"model": "basic_pitch"}},
        }
    )


def step(weights: dict[str, float], at: int = 0) -> tuple[dict[str, float], ToyModel]:
    """The log line of one step and the model after it."""
    run, model = config(weights), ToyModel(ROLES)
    engine, window = Engine(model, run, 1, torch.device("cpu")), Window()
    seed_step(0, at, 0)
    stage = run.stages[0]
    window.add(train_step(engine, [toy_batch(["1", "2"], ROLES)], stage, stage.active))
    return window.flush(stage.weights), model


def test_the_line_holds_each_term_per_position_and_their_weighted_total() -> None:
    line, _ = step(WEIGHTS)
    model = ToyModel(ROLES)
    seed_step(0, 0, 0)
    with torch.no_grad():
        output = model(toy_batch(["1", "2"], ROLES), ROLES)
    assert line["ce"] == pytest.approx(float(output.ce_sum) / 8)
    for role in ROLES:
        assert line[f"{role}/mse"] == pytest.approx(float(output.expert_sums[role]["mse"]) / 10)
        assert line[f"{role}/grad"] > 0
    assert line["loss"] == pytest.approx(line["ce"] + 0.5 * line["recon/mse"] + 2.0 * line["pitch/mse"])
    assert (line["rows"], line["steps"]) == (2, 1)


def test_a_weight_that_changes_changes_the_total_and_the_gradient_at_the_block() -> None:
    once, _ = step(WEIGHTS)
    twice, _ = step(WEIGHTS | {"pitch": 4.0})
    assert twice["loss"] - once["loss"] == pytest.approx(2.0 * once["pitch/mse"], rel=1e-4)
    assert twice["pitch/grad"] == pytest.approx(2 * once["pitch/grad"], rel=1e-4)


def test_a_role_without_weight_is_neither_run_nor_trained() -> None:
    line, model = step({"recon": 1.0, "pitch": 0.0})
    assert not any(key.startswith("pitch") for key in line)
    assert torch.equal(model.heads["pitch"].weight, ToyModel(ROLES).heads["pitch"].weight)
    assert not torch.equal(model.heads["recon"].weight, ToyModel(ROLES).heads["recon"].weight)


def test_draws_of_a_step_depend_on_the_step() -> None:
    assert step(WEIGHTS, at=0)[0] == step(WEIGHTS, at=0)[0] != step(WEIGHTS, at=1)[0]


def test_a_loss_that_is_not_finite_leaves_the_weights_alone_and_names_the_rows() -> None:
    run, model = config(WEIGHTS), ToyModel(ROLES)
    engine = Engine(model, run, 1, torch.device("cpu"))
    batch = toy_batch(["1", "2"], ROLES)
    batch.targets["pitch"][3] = float("inf")
    with pytest.raises(NonFiniteLossError, match="among the rows 1, 2"):
        train_step(engine, [batch], run.stages[0], ROLES)
    assert torch.equal(model.lora.weight, ToyModel(ROLES).lora.weight)


def test_rows_left_out_are_named_and_counted() -> None:
    run, model = config(WEIGHTS), ToyModel(ROLES)
    engine, window = Engine(model, run, 1, torch.device("cpu")), Window()
    bad = toy_batch(["1", "2"], ROLES)
    bad.targets["pitch"][3] = float("nan")
    parts = [bad, toy_batch(["3"], ROLES)]
    left_out = LeftOut(allowed=1)
    leave_out = partial(left_out.take, 7, stand_in=lambda: silent_batch(ROLES))
    window.add(train_step(engine, parts, run.stages[0], ROLES, leave_out))
    line = window.flush(WEIGHTS) | left_out.since_last_line()
    assert (line["left_out"], line["rows"], left_out.used) == ([(7, ["1", "2"])], 1, 1)
    assert "1 PARTS LEFT OUT" in progress_line(line | {"step": 1, "stage": "only", "seconds": 1.0} | COST, "coat", 4)
    assert left_out.since_last_line() == {}
    with pytest.raises(NonFiniteLossError, match="among the rows 1, 2"):
        train_step(engine, parts, run.stages[0], ROLES, leave_out)


def test_without_the_bad_rows_the_loss_must_be_finite() -> None:
    run, model = config(WEIGHTS), ToyModel(ROLES)
    engine = Engine(model, run, 1, torch.device("cpu"))
    with torch.no_grad():
        model.lora.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="not without the rows 1 either"):
        train_step(engine, [toy_batch(["1"], ROLES)], run.stages[0], ROLES, lambda rows: silent_batch(ROLES))


def test_a_gradient_that_is_not_finite_names_the_rows() -> None:
    run, model = config(WEIGHTS), ToyModel(ROLES)
    engine = Engine(model, run, 1, torch.device("cpu"))
    model.lora.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NonFiniteLossError, match="the gradient is not finite; it came from among the rows 1, 2"):
        train_step(engine, [toy_batch(["1", "2"], ROLES)], run.stages[0], ROLES)
