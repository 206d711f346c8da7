"""Checkpoints and resumes through real DeepSpeed, in one process and in two."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from coat_ray.config import RunConfig, StageConfig
from coat_ray.training.balance import balanced
from coat_ray.training.checkpoint import Progress, newest_checkpoint, write_checkpoint
from coat_ray.training.engine import Engine, trainable
from coat_ray.training.left_out import LeftOut
from coat_ray.training.state import gather_state, load_moments, load_values
from coat_ray.training.step import seed_step, train_step
from tests.training.toy import ToyModel, silent_batch, toy_batch

ROLES = ("pitch", "recon")
STEPS, SWITCH = 8, 3  # the second stage, which adds "pitch", begins at step 3


STAGES = (
    StageConfig(name="first", steps=SWITCH, weights={"recon": 0.5}),
    StageConfig(name="second", steps=STEPS - SWITCH, weights={"recon": 0.5, "pitch": 2.0}),
)


def config(zero: int, dtype: str = "float32", balance: str = "fixed") -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "toy",
            "stages": [stage.model_dump() for stage in STAGES],
            "experts": {"pitch": {"model": "basic_pitch"}},
            "deepspeed": {"zero_stage": zero},
            "balance": {"kind": balance},
            "backbone": {"dtype": dtype},
            "optim": {"lr": 1e-2, "head_lr": 1e-2, "weight_decay": 0.1},
        }
    )


def train(job: Job, world: int, rank: int, folder: Path | None) -> dict[str, Tensor]:
    """Train to the job's last step, from the newest checkpoint in *folder* if there is one; the full state after it."""
    run = config(job.zero, job.dtype, job.balance)
    toy = ToyModel(ROLES, width=5, expert_width=3, dropout=job.dropout).to(getattr(torch, job.dtype))
    model = balanced(toy, run, ROLES)
    checkpoint = newest_checkpoint(folder, "toy") if folder else None
    if checkpoint:
        load_values(trainable(model), checkpoint.state)
    engine = Engine(model, run, world, torch.device("cpu"))
    if checkpoint:
        load_moments(engine, checkpoint.state)
        engine.set_adam_steps(checkpoint.progress.adam_steps)
    for step in range(checkpoint.progress.step if checkpoint else 0, job.stop):
        stage = STAGES[step >= SWITCH]
        if step == SWITCH:
            engine.forget_moments(["pitch"])
        seed_step(0, step, rank)
        engine.set_learning_rates(1.0, stage.active)
        rows = [str(10 * step + i) for i in range(4)][rank::world]
        size = len(rows) // job.parts
        parts = [toy_batch(rows[i : i + size], ROLES, expert_width=3) for i in range(0, len(rows), size)]
        if step == job.bad and rank == 1:
            parts[0].targets["recon"][0] = float("inf")
        elif step == job.silent:
            parts = [silent_batch(ROLES, expert_width=3)]
        for part in parts:
            part.targets = {role: target.to(toy.embed.weight.dtype) for role, target in part.targets.items()}
        allowed = LeftOut(allowed=1 if job.bad is not None else 0)
        leave_out = partial(allowed.take, step, stand_in=partial(silent_batch, ROLES, expert_width=3))
        train_step(engine, parts, stage, stage.active, leave_out)
    state = gather_state(engine, keep=rank == 0)
    if folder and rank == 0:
        write_checkpoint(folder, state, Progress(job.stop, 0, "toy", engine.adam_steps()))
    state["adam_steps"] = torch.tensor(sorted(engine.adam_steps().values()))
    engine.close()
    return state


class Job(NamedTuple):
    """Train to *stop* from the newest checkpoint in *folder* (None: from the start) and remember the state."""

    name: str
    stop: int
    folder: str | None = None
    zero: int = 2
    dtype: str = "float32"
    dropout: float = 0.1
    balance: str = "fixed"
    parts: int = 1
    bad: int | None = None  # the step in which worker 1 has a target that is not finite
    silent: int | None = None  # the step in which there is nothing to learn


def worker(rank: int, world: int, port: int, root: Path, jobs: list[Job]) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    for job in jobs:
        where = root / job.folder if job.folder else None
        state = train(job, world, rank, where)
        if rank == 0:
            torch.save(state, root / f"{job.name}.pt")
        dist.barrier()
    os._exit(0)  # gloo's threads may abort an orderly exit after ZeRO-3


def run_jobs(root: Path, world: int, jobs: list[Job]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(worker, (world, port, root, jobs), nprocs=world)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    """States by job name; all jobs of a world size share two processes, because starting them takes the time."""
    root = tmp_path_factory.mktemp("engine")
    jobs = []
    for zero, dtype in [(0, "float32"), (1, "float32"), (2, "float32"), (3, "float32"), (2, "bfloat16")]:
        folder = f"{zero}-{dtype}"
        jobs += [
            Job(f"straight {folder}", STEPS, None, zero, dtype),
            Job(f"early {folder}", 5, folder, zero, dtype),
            Job(f"resumed {folder}", STEPS, folder, zero, dtype),
        ]
    for zero, dtype in [(0, "float32"), (2, "float32"), (3, "float32"), (2, "bfloat16")]:
        folder = f"balanced {zero}-{dtype}"
        same = {"zero": zero, "dtype": dtype, "balance": "uncertainty"}
        jobs += [
            Job(f"straight {folder}", STEPS, **same),
            Job(f"early {folder}", 5, folder, **same),
            Job(f"resumed {folder}", STEPS, folder, **same),
        ]
    jobs += [Job("balanced before the switch", SWITCH, balance="uncertainty")]
    jobs += [Job("balanced together", STEPS, dropout=0.0, balance="uncertainty")]
    jobs += [Job("first step", 1), Job("before the switch", SWITCH), Job("together", STEPS, dropout=0.0)]
    jobs += [Job(f"in parts {zero}", STEPS, zero=zero, dropout=0.0, parts=2) for zero in range(4)]
    jobs += [Job("balanced in parts", STEPS, dropout=0.0, balance="uncertainty", parts=2)]
    for zero in range(4):
        jobs += [Job(f"left out {zero}", STEPS, zero=zero, bad=4), Job(f"silent {zero}", STEPS, zero=zero, silent=4)]
    run_jobs(root, 2, [*jobs, Job("two workers", 5, "shared")])
    alone = [Job("alone", STEPS, dropout=0.0), Job("balanced alone", STEPS, dropout=0.0, balance="uncertainty")]
    run_jobs(root, 1, [Job("one worker", 5, "shared", 3), *alone])
    return {path.stem: torch.load(path) for path in root.glob("*.pt")}


def differing(left: dict[str, Tensor], right: dict[str, Tensor]) -> list[str]:
    assert left.keys() == right.keys()
    return [key for key in left if not torch.equal(left[key], right[key])]


ENGINES = ["0-float32", "1-float32", "2-float32", "3-float32", "2-bfloat16"]
BALANCED = ["balanced 0-float32", "balanced 2-float32", "balanced 3-float32", "balanced 2-bfloat16"]


@pytest.mark.parametrize("engine", ENGINES + BALANCED)
def test_a_resume_on_two_workers_is_bit_identical(states: dict[str, dict[str, Tensor]], engine: str) -> None:
    assert differing(states[f"early {engine}"], states[f"resumed {engine}"]) != []
    assert differing(states[f"straight {engine}"], states[f"resumed {engine}"]) == []


def test_zero_stages_compute_the_same_to_rounding(states: dict[str, dict[str, Tensor]]) -> None:
    plain = states["straight 0-float32"]
    for zero in (1, 2, 3):
        for key, value in states[f"straight {zero}-float32"].items():
            torch.testing.assert_close(value, plain[key], rtol=1e-3, atol=1e-5)


def test_a_head_that_wakes_up_later_counts_its_own_adam_steps(states: dict[str, dict[str, Tensor]]) -> None:
    assert states["straight 2-float32"]["adam_steps"].tolist() == [STEPS - SWITCH, STEPS, STEPS, STEPS]


def test_a_sleeping_head_stays_as_it_was(states: dict[str, dict[str, Tensor]]) -> None:
    early, later = states["first step"], states["before the switch"]
    assert torch.equal(early["value/heads.pitch.weight"], later["value/heads.pitch.weight"])
    assert not torch.equal(early["value/heads.recon.weight"], later["value/heads.recon.weight"])


def test_a_checkpoint_of_two_workers_goes_on_at_one_and_at_another_zero_stage(
    states: dict[str, dict[str, Tensor]],
) -> None:
    assert differing(states["two workers"], states["one worker"]) == []


@pytest.mark.parametrize("kind", ["", "balanced "])
def test_one_worker_and_two_train_the_same_to_rounding(states: dict[str, dict[str, Tensor]], kind: str) -> None:
    for key, value in states[f"{kind}alone"].items():
        torch.testing.assert_close(states[f"{kind}together"][key], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [*(f"in parts {zero}" for zero in range(4)), "balanced in parts"])
def test_a_batch_in_parts_trains_the_same_to_rounding(states: dict[str, dict[str, Tensor]], kind: str) -> None:
    whole = states["balanced together" if kind.startswith("balanced") else "together"]
    for key, value in states[kind].items():
        torch.testing.assert_close(value, whole[key], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("zero", range(4))
def test_a_part_that_is_left_out_teaches_nothing(states: dict[str, dict[str, Tensor]], zero: int) -> None:
    assert differing(states[f"left out {zero}"], states[f"silent {zero}"]) == []
    assert differing(states[f"left out {zero}"], states[f"straight {zero}-float32"]) != []


def test_zero_stages_learn_the_same_balance(states: dict[str, dict[str, Tensor]]) -> None:
    plain = states["straight balanced 0-float32"]
    for role in ROLES:
        key = f"value/balance.{role}.value"
        assert plain[key].abs() > 1e-3
        for zero in (2, 3):
            torch.testing.assert_close(
                states[f"straight balanced {zero}-float32"][key], plain[key], rtol=1e-3, atol=1e-5
            )


def test_the_log_variance_of_a_sleeping_expert_stays_zero(states: dict[str, dict[str, Tensor]]) -> None:
    state = states["balanced before the switch"]
    assert state["value/balance.pitch.value"] == 0
    assert state["value/balance.recon.value"] != 0
