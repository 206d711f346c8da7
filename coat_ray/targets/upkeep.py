"""Looking after a store: what it holds, whether all of it can be read, and what may go."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from coat_ray.targets.frames import CODECS, FrameCodec
from coat_ray.targets.parts import INDEX, part_files
from coat_ray.targets.store import TargetDataset, TargetStore

MIN_AGE = 3600.0
"""Seconds since its last change before anything counts as left over: a job may be writing it."""

_FOLDER = re.compile(r".+-[0-9a-f]{16}")
_UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException)


@dataclass(frozen=True)
class Summary:
    """One dataset. ``error``: mean relative error of its clips against float16, where the precision loses any."""

    name: str
    expert: str
    fingerprint: str
    alignment: str
    rate: float
    width: int
    dtype: str
    clips: int
    bytes: int
    parts: int
    quarantined: int
    error: float | None


@dataclass(frozen=True)
class Damage:
    """A file that is not as it should be."""

    path: Path
    problem: str


@dataclass
class Verified:
    """What reading a whole dataset found. ``repeated``: rows of a clip that another row holds with the same frames."""

    name: str
    parts: int = 0
    clips: int = 0
    repeated: int = 0
    damage: list[Damage] = field(default_factory=list)


@dataclass(frozen=True)
class Garbage:
    """Something that may be removed: ``kind`` is dataset, temporary or unreadable."""

    path: Path
    kind: str
    bytes: int


def summarise(dataset: TargetDataset) -> Summary:
    """Count what one dataset holds."""
    files = part_files(dataset.folder)
    errors: list[float] = []
    if dataset.meta.dtype != "float16":
        errors = [e for file in files for e in pq.read_table(file, columns=["error"]).column(0).to_pylist()]
    held = dataset.clip_ids()
    return Summary(
        name=dataset.folder.name,
        expert=dataset.spec.name,
        fingerprint=dataset.fingerprint,
        alignment=dataset.meta.alignment,
        rate=dataset.meta.rate,
        width=dataset.spec.width,
        dtype=dataset.meta.dtype,
        clips=len(held),
        bytes=sum(file.stat().st_size for file in files),
        parts=len(files),
        quarantined=len({row.clip_id or row.uri for row in dataset.quarantine.rows()} - held),
        error=float(np.mean(errors)) if errors else None,
    )


def verify(store: TargetStore) -> list[Verified]:
    """Read everything that the store holds, dataset by dataset."""
    return [_verify_dataset(folder) for folder in _dataset_folders(store)]


def _verify_dataset(folder: Path) -> Verified:
    found = Verified(folder.name)
    try:
        dataset = TargetDataset(folder)
        dataset.load_head()
    except (*_UNREADABLE, ValidationError) as error:
        found.damage.append(Damage(folder, f"the dataset cannot be opened: {error}"))
        return found
    codec, width = CODECS[dataset.meta.dtype], dataset.spec.width
    places: dict[str, tuple[str, int]] = {}
    digests: dict[str, bytes] = {}
    for file in part_files(folder):
        found.parts += 1
        try:
            for row, (clip_id, digest) in enumerate(_read_part(file, codec, width)):
                if digests.setdefault(clip_id, digest) != digest:
                    found.damage.append(Damage(file, f"clip {clip_id[:16]} is also in another part, with other frames"))
                found.repeated += clip_id in places
                places.setdefault(clip_id, (file.name, row))
        except _UNREADABLE as error:
            found.damage.append(Damage(file, str(error)))
    found.clips = len(places)
    found.damage += _index_damage(folder, places)
    found.damage += [
        Damage(file, "not readable") for file in folder.glob("quarantine-*.parquet") if not _readable(file)
    ]
    return found


def _read_part(file: Path, codec: FrameCodec, width: int) -> Iterator[tuple[str, bytes]]:
    """Id and digest of the frames of every row.

    Raises:
        ValueError: a row whose frames do not fit its length and the expert's width, or are not finite.
    """
    names = ["clip_id", *codec.columns, "length", "width"]
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.metadata.num_row_groups):
            table = parquet.read_row_group(group, columns=names)
            for row in range(table.num_rows):
                values = {name: table.column(name)[row] for name in names}
                clip_id, stated = values["clip_id"].as_py(), (values["length"].as_py(), values["width"].as_py())
                frames = codec.decode(values, width)
                if stated != frames.shape:
                    raise ValueError(f"clip {clip_id[:16]}: frames {frames.shape}, stated {stated}")
                if not np.isfinite(frames).all():
                    raise ValueError(f"clip {clip_id[:16]}: frames are not finite")
                yield clip_id, hashlib.sha256(frames.tobytes()).digest()


def _index_damage(folder: Path, places: dict[str, tuple[str, int]]) -> list[Damage]:
    path = folder / INDEX
    if not path.is_file():
        return []
    try:
        rows = pq.read_table(path).to_pylist()
    except _UNREADABLE as error:
        return [Damage(path, f"the index cannot be read: {error}")]
    wrong = [row for row in rows if places.get(row["clip_id"]) != (row["part"], row["row"])]
    gone = [row for row in wrong if (folder / row["part"]).is_file()]  # an index may lag behind parts that were removed
    return [Damage(path, f"the index points wrong for {len(gone)} clips")] if gone else []


def find_garbage(store: TargetStore, keep: Collection[str] | None = None, min_age: float = MIN_AGE) -> list[Garbage]:
    """What may be removed: left-over temporary files, unreadable files, and datasets that nobody names.

    Args:
        store: where to look.
        keep: fingerprints of the datasets that stay; None: all do.
        min_age: seconds since its last change before something counts.
    """
    before = time.time() - min_age
    garbage: list[Garbage] = []
    for folder in (*_dataset_folders(store), store.clips.folder):
        if not folder.is_dir():
            continue
        if keep is not None and folder != store.clips.folder and _fingerprint(folder) not in keep:
            if _newest(folder) < before:
                garbage.append(Garbage(folder, "dataset", _size(folder)))
            continue
        old = [file for file in sorted(folder.iterdir()) if file.is_file() and file.stat().st_mtime < before]
        for file in old:
            if file.name.startswith(".") and file.suffix == ".tmp":
                garbage.append(Garbage(file, "temporary", file.stat().st_size))
            elif file.suffix == ".parquet" and not _readable(file):
                garbage.append(Garbage(file, "unreadable", file.stat().st_size))
    return garbage


def remove(garbage: Collection[Garbage], min_age: float = MIN_AGE) -> list[Garbage]:
    """Remove it, unless it has changed since it was found; what is gone now."""
    before = time.time() - min_age
    removed = []
    for item in garbage:
        if not item.path.exists() or _newest(item.path) >= before:
            continue
        if item.path.is_dir():
            hidden = item.path.with_name(f".{item.path.name}.removed")  # readers see all of a dataset or none
            item.path.rename(hidden)
            shutil.rmtree(hidden)
        else:
            item.path.unlink()
        removed.append(item)
    return removed


def _dataset_folders(store: TargetStore) -> list[Path]:
    """Folders with the name of a dataset, whatever is inside."""
    found = store.folder.iterdir() if store.folder.is_dir() else ()
    return sorted(path for path in found if path.is_dir() and _FOLDER.fullmatch(path.name) and path.name[0] != ".")


def _fingerprint(folder: Path) -> str | None:
    try:
        return TargetDataset(folder).fingerprint
    except (*_UNREADABLE, ValidationError):
        return None


def _readable(file: Path) -> bool:
    try:
        pq.read_table(file)
    except _UNREADABLE:
        return False
    return True


def _newest(path: Path) -> float:
    files = [path, *path.iterdir()] if path.is_dir() else [path]
    return max(file.stat().st_mtime for file in files)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
