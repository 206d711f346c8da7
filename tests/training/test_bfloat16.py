"""Every family trains in bfloat16 with every kind of loss: weights and matrix products are bfloat16, losses float32."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from coat_ray.config import RunConfig
from coat_ray.model.batch import Batch
from coat_ray.model.coat import CoatModel
from coat_ray.model.reading import read_block
from coat_ray.training.engine import Engine
from coat_ray.training.step import train_step
from coat_ray.training.window import Window
from tests.model.batches import make_batch
from tests.model.conftest import make_clips, make_specs
from tests.model.families import TINY

pytestmark = pytest.mark.usefixtures("one_worker")

STEPS = 6


@pytest.fixture(scope="module", params=TINY)
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A family and the folder of a small untrained model."""
    folder = tmp_path_factory.mktemp(request.param)
    TINY[request.param](folder)
    return request.param, folder


def config(weights: tuple[str, Path], dtype: str, zero: int) -> RunConfig:
    roles = ["recon", *make_specs()]
    return RunConfig.model_validate(
        {
            "name": "half",
            "backbone": {"family": weights[0], "weights": str(weights[1]), "dtype": dtype},
            "projector": {"num_heads": 2},
            "experts": {role: {"model": "any"} for role in roles[1:]},
            "stages": [{"name": "only", "steps": STEPS, "weights": dict.fromkeys(roles, 1.0)}],
            "optim": {"lr": 1e-3, "head_lr": 3e-3},
            "deepspeed": {"zero_stage": zero},
        }
    )


def all_known(model: CoatModel) -> Batch:
    batch = make_batch(model, make_clips(), make_specs())
    batch.target_masks["recon"] = torch.ones(int(batch.lengths_N.sum()), dtype=torch.bool)
    return batch


def train(run: RunConfig) -> tuple[list[dict[str, float]], CoatModel]:
    """The log's line of each step on one batch, and the trained model."""
    torch.manual_seed(0)
    model = CoatModel.create(run, block=True, specs=make_specs()).train()
    engine, stage, lines = Engine(model, run, 1, torch.device("cpu")), run.stages[0], []
    engine.set_learning_rates(1.0, stage.active)
    for _ in range(STEPS):
        window = Window()
        window.add(train_step(engine, [all_known(model)], stage, stage.active))
        lines.append(window.flush(stage.weights))
    engine.close()
    return lines, model


@pytest.mark.parametrize("zero", [1, 2])
def test_every_loss_falls_and_starts_where_it_starts_in_float32(weights: tuple[str, Path], zero: int) -> None:
    (exact, *_), _ = train(config(weights, "float32", zero))
    lines, _ = train(config(weights, "bfloat16", zero))
    losses = ["loss", "ce", *(key for key in exact if "/" in key and not key.endswith("/grad"))]
    assert len(losses) == 2 + len(make_specs()) + 2  # recon, and the second term of pitch
    for key in losses:
        assert lines[0][key] == pytest.approx(exact[key], rel=5e-3)
        assert lines[-1][key] < lines[0][key]
    assert all(math.isfinite(value) for line in lines for value in line.values())


def test_weights_are_bfloat16_and_losses_and_teachers_float32(weights: tuple[str, Path]) -> None:
    _, model = train(config(weights, "bfloat16", 2))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in model.frozen.state_dict().values()} == {torch.float32}
    output = model(all_known(model), ("recon", *make_specs()))
    assert output.h_think is not None
    assert output.h_think.dtype == torch.bfloat16
    terms: list[Tensor] = [term for named in output.expert_sums.values() for term in named.values()]
    assert {term.dtype for term in (output.ce_sum, *terms)} == {torch.float32}


def test_a_trained_model_is_read_with_heads_in_float32(weights: tuple[str, Path], tmp_path: Path) -> None:
    run = config(weights, "bfloat16", 1)
    _, model = train(run)
    model.save_adapter(tmp_path)
    loaded = CoatModel.load(run.backbone, tmp_path)
    batch, roles = all_known(loaded), ("recon", *make_specs())
    with torch.inference_mode():
        found, trained = loaded(batch, roles), model.eval()(batch, roles)
    assert {p.dtype for p in loaded.heads.parameters()} == {torch.float32}
    assert found.h_think is not None
    assert set(read_block(loaded, found.h_think, 10)) == set(make_specs())
    for role in roles:
        for term, value in found.expert_sums[role].items():
            assert float(value) == pytest.approx(float(trained.expert_sums[role][term]), rel=0.02)
