"""What may go from a store, without touching what somebody is writing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from coat_ray.targets.parts import UNREADABLE, readable
from coat_ray.targets.store import TargetDataset, TargetStore

MIN_AGE = 3600.0
"""Seconds since its last change before anything counts as left over: a job may be writing it."""

_REMOVED = ".removed"  # ending of folders that are being removed; one that stays was left by a gc that died


@dataclass(frozen=True)
class Garbage:
    """Something that may be removed: ``kind`` is dataset, temporary or unreadable."""

    path: Path
    kind: str
    bytes: int


def find_garbage(store: TargetStore, keep: Collection[str] | None = None, min_age: float = MIN_AGE) -> list[Garbage]:
    """What may be removed: left-over temporary files, unreadable files, and datasets that nobody names.

    Args:
        store: where to look.
        keep: fingerprints of the datasets that stay; None: all do.
        min_age: seconds since its last change before something counts.
    """
    before = time.time() - min_age
    half_removed = [folder for folder in sorted(store.folder.glob(f".*{_REMOVED}")) if _newest(folder) < before]
    garbage = [Garbage(folder, "temporary", _size(folder)) for folder in half_removed]
    for folder in store.folders():
        if keep is None or _fingerprint(folder) in keep:
            garbage += _left_over(folder, before)
        elif _newest(folder) < before:
            garbage.append(Garbage(folder, "dataset", _size(folder)))
    return garbage + _left_over(store.clips.folder, before)


def remove(garbage: Collection[Garbage], min_age: float = MIN_AGE) -> list[Garbage]:
    """Remove it, unless it has changed since it was found; what is gone now."""
    before = time.time() - min_age
    removed = []
    for item in garbage:
        if not item.path.exists() or _newest(item.path) >= before:
            continue
        if item.path.is_dir():
            # Hidden first, so that readers see all of a dataset or none.
            hidden = item.path.with_name(f".{item.path.name.strip('.')}.{time.time_ns()}{_REMOVED}")
            item.path.rename(hidden)
            shutil.rmtree(hidden)
        else:
            item.path.unlink()
        removed.append(item)
    return removed


def _left_over(folder: Path, before: float) -> list[Garbage]:
    """Files of a folder that no reader can use; none where the folder is missing."""
    garbage = []
    for file in sorted(folder.glob("*")):
        if not file.is_file() or file.stat().st_mtime >= before:
            continue
        if file.name.startswith(".") and file.suffix == ".tmp":
            garbage.append(Garbage(file, "temporary", file.stat().st_size))
        elif file.suffix == ".parquet" and not readable(file):
            garbage.append(Garbage(file, "unreadable", file.stat().st_size))
    return garbage


def _fingerprint(folder: Path) -> str | None:
    try:
        return TargetDataset(folder).fingerprint
    except UNREADABLE:
        return None


def _newest(path: Path) -> float:
    files = [path, *path.iterdir()] if path.is_dir() else [path]
    return max(file.stat().st_mtime for file in files)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
