"""Checkpoints on disk: only whole ones count, and the newest whole one wins."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

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


def killed_before_line(folder: Path, count: int, action: Callable[[], object]) -> bool:
    """Run *action* in a fork, killed before the count-th line that it runs in checkpoint.py; False: it ended."""

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal count
        if frame.f_code.co_filename != module.__file__:
            return None
        if event == "line":
            count -= 1
            if count == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    pid = os.fork()
    if pid == 0:
        sys.settrace(trace)
        action()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("again", [False, True])
def test_a_writer_killed_at_any_line_leaves_the_newest_whole_checkpoint(tmp_path: Path, again: bool) -> None:
    """*again*: a damaged checkpoint of the same step lies there already, as when a run repeats its steps."""
    found_steps, line = set(), 1
    while True:
        folder = tmp_path / str(line)
        for step in (1, 2):
            write(folder, step)
        if again:
            (write(folder, 3, keep=3) / "state.safetensors").write_bytes(b"half")
        killed = killed_before_line(folder, line, lambda folder=folder: write(folder, 3))  # type: ignore[misc]
        found = newest_checkpoint(folder, "run")
        assert found is not None
        assert torch.equal(load_file(found.state)["value/w"], torch.full((64,), float(found.progress.step)))
        found_steps.add(found.progress.step)
        write(folder, 4)
        left = sorted(path.name for path in folder.iterdir())
        assert len(left) == 2
        assert left[-1] == "step-00000004"
        if not killed:
            break
        line += 1
    assert line > 30
    assert found_steps == {2, 3}


def test_a_state_cut_at_any_length_is_never_taken_for_whole(tmp_path: Path) -> None:
    write(tmp_path, 1)
    newest = write(tmp_path, 2)
    content = (newest / "state.safetensors").read_bytes()
    for length in range(0, len(content), 7):
        (newest / "state.safetensors").write_bytes(content[:length])
        found = newest_checkpoint(tmp_path, "run")
        assert found is not None
        assert found.progress.step == 1


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
