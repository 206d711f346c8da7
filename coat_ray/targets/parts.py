"""Part files of a target dataset: Parquet that any tool reads, written whole or not at all, read one row at a time.

Columns: ``clip_id`` string, ``frames`` list<halffloat> (L * E values, frame by frame), ``length`` int32 (L), ``width``
int32 (E). Row groups are small, so that reading one clip does not decode its neighbours' frames.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from coat_ray.storage import atomic_write

Rows = Sequence[tuple[str, np.ndarray]]
"""(clip id, frames (L, E)) pairs."""

_GROUP_BYTES = 128 * 1024
_OPEN_FILES = 64
_SETTLED_NS = 1_000_000_000
_INDEX = "index.parquet"
_REINDEX_AFTER = 32  # parts whose ids are read one by one before the index is written again


def write_part(folder: Path, rows: Rows) -> Path:
    """Write rows as one part file, named after its clip ids so that a repeated write replaces itself.

    Raises:
        ValueError: no rows, or frames that are not finite as float16.
    """
    if not rows:
        raise ValueError("a part file needs at least one row")
    arrays = [_as_half(clip_id, frames) for clip_id, frames in rows]
    ids = [clip_id for clip_id, _ in rows]
    offsets = pa.array(np.cumsum([0, *(array.size for array in arrays)]), pa.int32())
    values = pa.array(np.concatenate([array.ravel() for array in arrays]))
    table = pa.table(
        {
            "clip_id": pa.array(ids, pa.string()),
            "frames": pa.ListArray.from_arrays(offsets, values),
            "length": pa.array([array.shape[0] for array in arrays], pa.int32()),
            "width": pa.array([array.shape[1] for array in arrays], pa.int32()),
        }
    )
    largest = max(array.nbytes for array in arrays)
    path = folder / f"part-{hashlib.sha256(''.join(ids).encode()).hexdigest()[:16]}.parquet"
    atomic_write(path, parquet_bytes(table, row_group_size=max(1, _GROUP_BYTES // max(1, largest))))
    return path


def parquet_bytes(table: pa.Table, row_group_size: int | None = None) -> bytes:
    """The table as a zstd Parquet file in memory, ready to be written in one atomic step."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", row_group_size=row_group_size, use_dictionary=False, write_statistics=False
    )
    return sink.getvalue().to_pybytes()


def _as_half(clip_id: str, frames: np.ndarray) -> np.ndarray:
    if frames.ndim != 2:
        raise ValueError(f"clip {clip_id}: expected frames of shape (L, E), found {frames.shape}")
    with np.errstate(over="ignore"):
        half = frames.astype(np.float16)
    if not np.isfinite(half).all():
        raise ValueError(f"clip {clip_id}: frames hold values that are not finite in float16")
    return half


class PartIndex:
    """Which part and row holds each clip of a folder; a file ``index.parquet`` spares opening every part."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()
        self._seen_mtime = -1
        self.rows: dict[str, tuple[str, int]] = {}

    def refresh(self) -> None:
        """Take in parts that other processes have written since; costs one ``stat`` when there are none."""
        mtime = self._folder.stat().st_mtime_ns
        if mtime == self._seen_mtime:
            return
        present = {path.name for path in self._folder.glob("part-*.parquet")}
        if not self._known:
            self._read_index(present)
        unindexed = sorted(present - self._known)
        for part in unindexed:
            ids = pq.read_table(self._folder / part, columns=["clip_id"]).column(0).to_pylist()
            self._add(part, ids, range(len(ids)))
        if len(unindexed) >= _REINDEX_AFTER:
            self._write_index()
        # A folder's time is coarse: a part that lands right after this look may leave it unchanged.
        self._seen_mtime = mtime if time.time_ns() - mtime > _SETTLED_NS else -1

    def _add(self, part: str, ids: Sequence[str], rows: Sequence[int]) -> None:
        self._known.add(part)
        for clip_id, row in zip(ids, rows, strict=True):
            self.rows.setdefault(clip_id, (part, row))

    def _read_index(self, present: set[str]) -> None:
        path = self._folder / _INDEX
        if not path.is_file():
            return
        columns = pq.read_table(path).to_pydict()
        for part, clip_id, row in zip(columns["part"], columns["clip_id"], columns["row"], strict=True):
            if part in present:
                self._add(part, [clip_id], [row])

    def _write_index(self) -> None:
        parts, rows = zip(*self.rows.values(), strict=True)
        table = pa.table(
            {"part": pa.array(parts), "clip_id": pa.array(list(self.rows)), "row": pa.array(rows, pa.int32())}
        )
        atomic_write(self._folder / _INDEX, parquet_bytes(table))


class PartReader:
    """Reads single rows; keeps the part files that were used last open. Not for use over a fork."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[str, pq.ParquetFile] = OrderedDict()

    def read(self, part: str, row: int) -> np.ndarray:
        """Frames float16 (L, E) of one row, an array of its own."""
        with self._lock:
            return self._read(part, row)

    def _read(self, part: str, row: int) -> np.ndarray:
        file = self._file(part)
        group_rows = file.metadata.row_group(0).num_rows
        group = file.read_row_group(row // group_rows, columns=["frames", "width"], use_threads=False)
        frames = group.column("frames").chunk(0)[row % group_rows].values.to_numpy()
        return frames.reshape(-1, group.column("width")[row % group_rows].as_py()).copy()

    def _file(self, part: str) -> pq.ParquetFile:
        file = self._open.pop(part, None) or pq.ParquetFile(self._folder / part, memory_map=True)
        self._open[part] = file
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return file
