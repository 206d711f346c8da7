"""Checkpoints on disk: only whole ones count, and the newest whole one wins."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from coat_ray.training import checkpoint as module
from coat_ray.training.checkpoint import CheckpointError, Progress, newest_checkpoint, write_checkpoint


def write(folder: Path, step: int, fingerprint: str = "run", keep: int = 2) -> Path:
    progress = Progress(step, 0, fingerprint, {"lora": float(step)})
    return write_checkpoint(folder, {"value/w": torch.full((64,), float(step))}, progress, keep).folder


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, 7)
    found = newest_checkpoint(tmp_path, "run")
    assert found is not None
    assert found.progress == Progress(7, 0, "run", {"lora": 7.0})
    assert torch.equal(load_file(found.state)["value/w"], torch.full((64,), 7.0))


def test_nothing_is_found_where_nothing_was_written(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "missing", "run") is None


def test_only_the_newest_are_kept_in_the_order_of_steps(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        write(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000100"]


@pytest.mark.parametrize("damage", ["truncated", "one bit", "no card", "half a card", "no state"])
def test_a_damaged_checkpoint_is_passed_over_aloud(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 1)
    newest = write(tmp_path, 2)
    state, card = newest / "state.safetensors", newest / "checkpoint.json"
    content = state.read_bytes()
    match damage:
        case "truncated":
            state.write_bytes(content[:-10])
        case "one bit":
            state.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "no card":
            card.unlink()
        case "half a card":
            card.write_text(card.read_text()[:40])
        case "no state":
            state.unlink()
    found = newest_checkpoint(tmp_path, "run")
    assert found is not None
    assert found.progress.step == 1
    assert str(newest) in caplog.text


def test_a_checkpoint_of_another_configuration_is_not_loaded(tmp_path: Path) -> None:
    write(tmp_path, 1, fingerprint="other")
    assert newest_checkpoint(tmp_path, "run") is None


def test_a_writer_killed_half_way_leaves_nothing_that_counts(tmp_path: Path) -> None:
    write(tmp_path, 1)
    pid = os.fork()
    if pid == 0:  # the child dies as from kill -9, after the state but before the rename
        module._flush = lambda path: os._exit(9)
        write(tmp_path, 2)
    os.waitpid(pid, 0)
    assert len(list(tmp_path.iterdir())) == 2
    found = newest_checkpoint(tmp_path, "run")
    assert found is not None
    assert found.progress.step == 1
    write(tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000003"]


def test_a_full_disk_is_said_clearly_and_the_older_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "save_file", no_space)
    with pytest.raises(CheckpointError, match=r"step-00000002: .*No space left on device; older ones are intact"):
        write(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
