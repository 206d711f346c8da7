"""Checkpoints of what trains, free of topology: any number of workers and any ZeRO stage can go on from one.

A checkpoint is a folder ``step-<n>/`` with ``state.safetensors`` (for each parameter its float32 value and Adam's two
moments, all in full shape) and ``checkpoint.json`` (step, stage, Adam's step counts, the run's fingerprint, size and
sha256 of the state). It is written under a temporary name, flushed to disk, read back, and renamed; a folder without
the temporary name is therefore complete, and one that was damaged later is found by its digest and passed over.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

logger = logging.getLogger(__name__)

STATE, CARD, TEMPORARY = "state.safetensors", "checkpoint.json", ".tmp-"


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written; older ones are as they were."""


@dataclass(frozen=True)
class Progress:
    """Where training stands: *step* optimiser steps are done, the last of them in *stage*.

    ``lines`` are the log lines since the checkpoint before, for the case that the driver died before it wrote them.
    ``left_out`` counts the parts of batches whose loss was not finite.
    """

    step: int
    stage: int
    fingerprint: str
    adam_steps: dict[str, float]
    lines: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk whose digest was found right."""

    folder: Path
    progress: Progress

    @property
    def state(self) -> Path:
        """The safetensors file: ``value/<name>``, ``exp_avg/<name>``, ``exp_avg_sq/<name>``."""
        return self.folder / STATE


def write_checkpoint(folder: Path, tensors: dict[str, Tensor], progress: Progress, keep: int = 2) -> Checkpoint:
    """Write a checkpoint beside its siblings in *folder* and drop all but the newest *keep*.

    Raises:
        CheckpointError: the disk is full, the folder is read-only, or the written bytes differ from the meant ones.
    """
    target = folder / f"step-{progress.step:08d}"
    temporary = folder / f"{TEMPORARY}{target.name}-{uuid.uuid4().hex[:8]}"
    try:
        temporary.mkdir(parents=True)
        save_file(tensors, temporary / STATE)
        _flush(temporary / STATE)
        card = {"progress": asdict(progress), "bytes": (temporary / STATE).stat().st_size}
        (temporary / CARD).write_text(json.dumps(card | {"sha256": _digest(temporary / STATE)}, indent=2))
        _flush(temporary / CARD)
        _flush(temporary)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        _flush(folder)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(f"could not write a checkpoint at {target}: {error}; older ones are intact") from error
    _drop_old(folder, keep)
    return Checkpoint(target, progress)


def newest_checkpoint(folder: Path, fingerprint: str) -> Checkpoint | None:
    """The newest checkpoint of this run whose digest is right; damaged or foreign ones are passed over, aloud."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            checkpoint = read_checkpoint(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("passing over the damaged checkpoint %s: %s", path, error)
            continue
        if checkpoint.progress.fingerprint == fingerprint:
            return checkpoint
        logger.warning("passing over the checkpoint %s: it belongs to another configuration", path)
    return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """One checkpoint, its digest found right.

    Raises:
        OSError, ValueError, KeyError, TypeError: it is damaged.
    """
    card = json.loads((folder / CARD).read_text())
    state = folder / STATE
    if state.stat().st_size != card["bytes"]:
        raise ValueError(f"{STATE} has {state.stat().st_size} bytes, not {card['bytes']}")
    if _digest(state) != card["sha256"]:
        raise ValueError(f"{STATE} does not match its sha256")
    return Checkpoint(folder, Progress(**card["progress"]))


def _drop_old(folder: Path, keep: int) -> None:
    """Remove all but the newest, and what an interrupted write left behind (there is one writer)."""
    for path in [*sorted(folder.glob("step-*"))[:-keep], *folder.glob(f"{TEMPORARY}*")]:
        shutil.rmtree(path, ignore_errors=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Make a file or a folder's entries survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
