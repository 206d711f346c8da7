"""The same training on a GPU: losses as on the CPU, and every setting that only a GPU has."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from coat_ray.config import RunConfig
from coat_ray.training.checkpoint import newest_checkpoint
from coat_ray.training.journal import Worker
from coat_ray.training.loop import train
from coat_ray.training.task import WorkerTask, build_coat
from tests.training.killable import CONFIG, make_task

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SHORT = {
    "stages": [
        {"name": "first", "steps": 3, "weights": {"recon": 1.0}},
        {"name": "second", "steps": 5, "weights": {"recon": 1.0, "speech": 0.5}},
    ],
    "lora": {"dropout": 0.0, "rank": 4},
    "training": {"batch_rows": 4, "checkpoint_every": 4, "log_every": 1},
}
GPU = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    join("nccl")
    yield
    dist.destroy_process_group()


def join(backend: str) -> None:
    """This process as the only worker."""
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dist.init_process_group(backend, init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)


def losses(root: Path, device: torch.device = GPU, **changes: Any) -> list[float]:
    """The loss of every step."""
    task = make_task(root)
    config = RunConfig.model_validate(CONFIG | SHORT | {"backbone": task.config.backbone.model_dump()} | changes)
    lines: list[dict[str, Any]] = []
    train(WorkerTask(**{**vars(task), "config": config}), Worker(0, 1, device, lines.append))
    assert all(line["peak_gpu_mib"] > 0 for line in lines if device.type == "cuda")
    found = newest_checkpoint(task.checkpoints, task.fingerprint)
    assert found is not None
    assert found.progress.step == config.total_steps
    return [line["loss"] for line in lines]


def test_losses_are_those_of_the_cpu(tmp_path: Path) -> None:
    """The CPU's in a process that knows no GPU: DeepSpeed decides once, when it is imported, where it computes."""
    program = (
        "import sys, json, torch; from pathlib import Path; from tests.gpu import test_training as t; t.join('gloo'); "
        "print(json.dumps(t.losses(Path(sys.argv[1]), torch.device('cpu'))))"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", program, str(tmp_path / "cpu")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    on_cpu = json.loads(done.stdout.splitlines()[-1])
    assert losses(tmp_path / "gpu") == pytest.approx(on_cpu, rel=1e-2)  # the convolutions of a GPU round to TF32


def test_compiled_layers_give_the_same_losses(tmp_path: Path) -> None:
    training = {**SHORT["training"], "compile_layers": True}  # type: ignore[dict-item]
    plain = losses(tmp_path / "plain")
    assert losses(tmp_path / "compiled", training=training) == pytest.approx(plain, rel=1e-3)


def test_zero_stages_and_offload_give_the_same_losses(tmp_path: Path) -> None:
    plain = losses(tmp_path / "0", deepspeed={"zero_stage": 0})
    for number, settings in enumerate(
        [
            {"zero_stage": 2},
            {"zero_stage": 2, "offload_optimizer": True},
            {"zero_stage": 3},
            {"zero_stage": 3, "offload_optimizer": True, "offload_parameters": True},
        ],
        1,
    ):
        assert losses(tmp_path / str(number), deepspeed=settings) == pytest.approx(plain, rel=1e-3)


def test_bfloat16_follows_float32(tmp_path: Path) -> None:
    plain = losses(tmp_path / "float32")
    base = {"family": "qwen2_audio", "weights": str(tmp_path / "bfloat16" / "base"), "dtype": "bfloat16"}
    assert losses(tmp_path / "bfloat16", backbone=base) == pytest.approx(plain, rel=5e-2)


def test_activation_checkpointing_changes_no_loss_and_takes_less_memory(tmp_path: Path) -> None:
    peaks = []
    found = []
    for on in (False, True):
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        training = {**SHORT["training"], "activation_checkpointing": on}  # type: ignore[dict-item]
        found.append(losses(tmp_path / str(on), training=training, deepspeed={"zero_stage": 0}))
        peaks.append(torch.cuda.max_memory_allocated() - held)
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert peaks[1] < peaks[0]


def test_a_batch_is_copied_from_page_locked_memory(tmp_path: Path) -> None:

    parts = build_coat(make_task(tmp_path))
    batch = parts.collate(parts.plan.batch(0), ("recon",), 0).pinned()
    assert batch.features_NMF.is_pinned()
    assert batch.to(GPU).features_NMF.device == GPU
