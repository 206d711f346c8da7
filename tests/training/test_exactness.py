"""Killed at every step of 40, a run with shuffling, augmentation and dropout ends as if nothing had happened."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.killable import EVERY, PLACES, STEPS

Runs = tuple[Path, Path]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Folders of an undisturbed run and of one that was killed at every step, from two processes at once."""
    root = tmp_path_factory.mktemp("exact")
    environment = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-m", "tests.training.killable", str(root / name), *how], env=environment)
        for name, how in (("straight", []), ("killed", ["killed"]))
    ]
    assert [process.wait() for process in processes] == [0, 0]
    return root / "straight", root / "killed"


def trace(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "run" / "trace.jsonl").read_text().splitlines()]


def test_it_died_at_every_step_and_in_every_place(runs: Runs) -> None:
    died = json.loads((runs[1] / "died.json").read_text())
    assert [step for step, _, _ in died] == list(range(STEPS))
    assert {place for _, place, _ in died} == set(PLACES)
    for _, _, ended_by in died:
        assert ended_by == signal.SIGKILL


def test_weights_moments_and_step_counts_are_the_same_bits(runs: Runs) -> None:
    straight, killed = (root / "run" / "checkpoints" / f"step-{STEPS:08d}" for root in runs)
    one, other = load_file(straight / "state.safetensors"), load_file(killed / "state.safetensors")
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []
    assert any(key.startswith("exp_avg_sq/") for key in one)
    cards = [json.loads((folder / "checkpoint.json").read_text())["progress"] for folder in (straight, killed)]
    assert cards[0]["adam_steps"] == cards[1]["adam_steps"]
    for name in ("adapter_model.safetensors", "heads.safetensors"):
        assert (runs[0] / "run" / "adapter" / name).read_bytes() == (runs[1] / "run" / "adapter" / name).read_bytes()


def test_every_repeated_step_saw_the_same_rows_sounds_and_random_numbers(runs: Runs) -> None:
    straight = {entry["step"]: entry for entry in trace(runs[0])}
    assert sorted(straight) == list(range(STEPS))
    assert any(len(entry["rows"]) > 1 for entry in straight.values())
    repeated = trace(runs[1])
    assert len(repeated) > STEPS
    for entry in repeated:
        assert entry == straight[entry["step"]]


def test_a_kill_costs_no_more_than_the_steps_since_the_last_checkpoint(runs: Runs) -> None:
    executed = [entry["step"] for entry in trace(runs[1])]
    going_back = [before + 1 - after for before, after in itertools.pairwise(executed) if after <= before]
    assert going_back
    assert max(going_back) <= EVERY + 1
