"""Every family trains through real DeepSpeed, and the ZeRO stage changes nothing but where things lie."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from coat_ray.config import RunConfig
from coat_ray.model.coat import CoatModel
from coat_ray.training.engine import Engine
from tests.model.batches import make_batch
from tests.model.families import TINY

SETTINGS = [(0, "float32"), (3, "float32"), (2, "bfloat16")]


def config(family: str, weights: Path, zero: int, dtype: str) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "tiny",
            "backbone": {"family": family, "weights": str(weights), "dtype": dtype},
            "projector": {"num_heads": 2},
            "stages": [{"name": "only", "steps": 3, "weights": {"recon": 1.0}}],
            "optim": {"lr": 1e-2, "head_lr": 1e-2},
            "deepspeed": {"zero_stage": zero},
        }
    )


def losses(run: RunConfig) -> list[float]:
    """The loss before each of three steps on one batch."""
    model = CoatModel.create(run, block=True, specs={})
    rng = np.random.default_rng(0)
    clips = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (8_000, 40_000)]
    batch, found = make_batch(model, clips, {}), []
    engine = Engine(model.train(), run, 1, torch.device("cpu"))
    engine.set_learning_rates(1.0, ("recon",))
    for _ in range(3):
        output = engine.forward(batch, ("recon",))
        recon = output.expert_sums["recon"]["mse"] / output.num_positions["recon"]
        loss = output.ce_sum / output.num_response_tokens + recon
        found.append(loss.item())
        engine.backward(loss)
        engine.step()
    engine.close()
    return found


def worker(_: int, port: int, root: Path) -> None:
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=0, world_size=1)
    found = {}
    for family, write in TINY.items():
        write(root / family)
        for zero, dtype in SETTINGS:
            found[f"{family} {zero} {dtype}"] = losses(config(family, root / family, zero, dtype))
    (root / "losses.json").write_text(json.dumps(found))
    os._exit(0)  # gloo's threads may abort an orderly exit after ZeRO-3


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """Losses by family and setting, from one process that DeepSpeed has to itself."""
    root = tmp_path_factory.mktemp("families")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (port, root), nprocs=1)
    return json.loads((root / "losses.json").read_text())


@pytest.mark.parametrize("family", TINY)
def test_the_loss_falls_and_is_the_same_at_every_zero_stage(found: dict[str, list[float]], family: str) -> None:
    straight = found[f"{family} 0 float32"]
    assert straight[-1] < straight[0]
    for zero, dtype in SETTINGS[1:]:
        tolerance = 1e-4 if dtype == "float32" else 3e-2
        assert found[f"{family} {zero} {dtype}"] == pytest.approx(straight, rel=tolerance)
