"""Two workers with unlike rows run the same collective operations and learn what one worker learns from all rows.

Small models fit under DeepSpeed's threshold below which ZeRO-3 never partitions a parameter, and would not notice
workers that call unlike modules. The threshold is 0 here, so that every module gathers its own.
"""

from __future__ import annotations

import functools
import os
import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

import coat_ray.model.coat
import coat_ray.training.engine
from coat_ray.audio import clip_id, load_audio
from coat_ray.config import RunConfig
from coat_ray.corpus.manifest import Manifest, Message, Row
from coat_ray.experts.base import ClassifierHead, ExpertSpec
from coat_ray.model.answer_loss import answer_loss
from coat_ray.model.coat import CoatModel
from coat_ray.targets.store import TargetDataset, TargetStore
from coat_ray.training.batches import Collator
from coat_ray.training.engine import Engine, deepspeed_config
from coat_ray.training.step import train_step
from tests.model.families import TINY

RATE, ACTIVE = 16_000, ("recon", "sed")
SED = ExpertSpec("panns", RATE, 50.0, 0.0125, 3, "bce", "MIT", True, "test")
SECONDS = {"short": 0.3, "middle": 0.7, "long": 2.3}
Steps = tuple[tuple[list[str], list[str]], ...]
STEPS: Steps = (
    (["text", "other text"], ["short", "long"]),  # sound on worker 1 only
    (["middle", "text"], []),  # nothing on worker 1
    (["three"], ["other text"]),  # three clips of different lengths
    (["text"], ["other text"]),  # no sound at all
)
PATIENCE = 900
"""Seconds after which workers that wait for one another are taken for stuck."""


class Job(NamedTuple):
    """One way to train a family; ``chunk`` bounds the answers' positions in one piece."""

    family: str
    zero: int
    checkpointing: bool = False
    chunk: int = 256

    @property
    def name(self) -> str:
        return f"{self.family}-{self.zero}-{self.checkpointing}-{self.chunk}"


JOBS = [
    Job("qwen2_audio", 2),
    Job("qwen2_audio", 3, checkpointing=True, chunk=2),
    Job("qwen2_5_omni", 3, checkpointing=True, chunk=2),
    Job("audio_flamingo_3", 3),
]


def row(name: str, *clips: str, answer: str = "a dog") -> Row:
    asked = "<audio>\n" * len(clips) + "what sound is heard"
    turns = (Message(role="user", content=asked), Message(role="assistant", content=answer))
    return Row(id=name, messages=turns, audios=tuple(f"{clip}.wav" for clip in clips))


ROWS = (
    *(row(name, name) for name in SECONDS),
    row("three", "middle", "long", "short", answer="which note comes first"),
    row("text", answer="transcribe the speech"),
    row("other text", answer="c sharp"),
)


def write_corpus(root: Path) -> None:
    """Clips, and targets for all of them but the middle one."""
    rng = np.random.default_rng(0)
    frames = []
    for name, seconds in SECONDS.items():
        soundfile.write(root / f"{name}.wav", rng.uniform(-0.5, 0.5, int(seconds * RATE)), RATE)
        if name != "middle":
            found = clip_id(load_audio(root / f"{name}.wav", RATE))
            frames.append((found, rng.standard_normal((int(50 * seconds), 3)).astype(np.float16)))
    dataset(root).write(frames)


def dataset(root: Path) -> TargetDataset:
    return TargetStore(root / "targets").open_or_create(SED, "expert", None, "native")


def config(job: Job, root: Path) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "ranks",
            "backbone": {"family": job.family, "weights": str(root / job.family)},
            "projector": {"num_heads": 2},
            "experts": {"sed": {"model": "panns"}},
            "stages": [{"name": "only", "steps": len(STEPS), "weights": {"recon": 1.0, "sed": 2.0}}],
            "optim": {"lr": 1e-3, "head_lr": 1e-3},
            "deepspeed": {"zero_stage": job.zero},
        }
    )


def partitioned(*args: Any) -> dict[str, Any]:
    settings = deepspeed_config(*args)
    settings["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    return settings


def train(job: Job, rank: int, world: int, root: Path, steps: Steps = STEPS) -> dict[str, Tensor]:
    """Take the steps; what trains, as this worker sees it when it is gathered."""
    run = config(job, root)
    torch.manual_seed(0)
    model = CoatModel.create(run, block=True, specs={"sed": (SED, ClassifierHead(3, 4))}).train()
    if job.checkpointing:
        model.checkpoint_activations()
    collate = Collator(Manifest(ROWS, root), model.front, {"sed": dataset(root)}, block=True)
    engine = Engine(model, run, world, torch.device("cpu"))
    engine.set_learning_rates(1.0, ACTIVE)
    for shares in steps:
        rows = shares[rank] if world == 2 else [row_id for share in shares for row_id in share]
        train_step(engine, [collate(rows, ACTIVE)], run.stages[0], ACTIVE)
    with engine.gathered():
        weights = {name: parameter.detach().float().clone() for name, parameter in engine.named_parameters()}
    engine.close()
    return weights


def worker(rank: int, port: int, root: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=PATIENCE / 5))
    coat_ray.training.engine.deepspeed_config = partitioned
    for job in JOBS:
        coat_ray.model.coat.answer_loss = functools.partial(answer_loss, chunk=job.chunk)
        torch.save(train(job, rank, 2, root), root / f"{job.name} on {rank}.pt")
        dist.barrier()
    os._exit(0)  # gloo's threads may abort an orderly exit after ZeRO-3


def train_together(root: Path) -> None:
    """All jobs on two workers, which share their processes, because starting them takes the time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = mp.spawn(worker, (port, root), nprocs=2, join=False)
    end = time.monotonic() + PATIENCE
    while not workers.join(timeout=max(0, end - time.monotonic())):
        if time.monotonic() >= end:
            for process in workers.processes:
                process.kill()
            pytest.fail(f"two workers still wait for one another after {PATIENCE} s")


@pytest.fixture(scope="module")
def trained(process_group: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    """What trains, by job and worker; before and after it was trained on one worker, by family."""
    root = tmp_path_factory.mktemp("ranks")
    write_corpus(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_RANK", "0")
        for family, write in TINY.items():
            write(root / family)
            for name, steps in (("before", ()), ("alone", STEPS)):
                torch.save(train(Job(family, 0), 0, 1, root, steps), root / f"{family} {name}.pt")
    train_together(root)
    return {path.stem: torch.load(path) for path in root.glob("*.pt")}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_unlike_rows_on_two_workers_teach_what_they_teach_one(trained: dict[str, dict[str, Tensor]], job: Job) -> None:
    before, alone = trained[f"{job.family} before"], trained[f"{job.family} alone"]
    first, second = (trained[f"{job.name} on {rank}"] for rank in (0, 1))
    assert first.keys() == second.keys() == alone.keys()
    for name, weight in alone.items():
        assert not torch.equal(weight, before[name])
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], weight, rtol=1e-3, atol=2e-5)
