"""Part files of a target dataset: Parquet that any tool reads, written whole or not at all, read one row at a time.

Columns: ``clip_id`` string, ``frames`` (and what else the codec of the dataset needs, see frames.py), ``length`` int32
(L), ``width`` int32 (E). Row groups are small, so that reading one clip does not decode its neighbours' frames.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from coat_ray.storage import atomic_write, locked
from coat_ray.targets.frames import FrameCodec, checked

Rows = Sequence[tuple[str, np.ndarray]]
"""(clip id, frames (L, E)) pairs."""

INDEX = "index.parquet"
"""Where each clip is; a cache that may be deleted."""

UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException)
"""What reading a damaged Parquet file, or one with other columns, raises."""

_GROUP_BYTES = 128 * 1024
_OPEN_FILES = 64
_SETTLED_NS = 1_000_000_000
_LOCK = ".lock"
_REINDEX_AFTER, _REINDEX_SHARE = 32, 4  # parts outside the index before it is written again: so many, and 1 in so many


def write_part(folder: Path, rows: Rows, codec: FrameCodec) -> Path:
    """Write rows as one part file, named after its clip ids so that a repeated write replaces itself.

    Raises:
        ValueError: no rows, or frames that are not finite as float16.
    """
    if not rows:
        raise ValueError("a part file needs at least one row")
    arrays = [checked(clip_id, frames) for clip_id, frames in rows]
    ids = [clip_id for clip_id, _ in rows]
    table = pa.table(
        {
            "clip_id": pa.array(ids, pa.string()),
            **codec.encode(arrays),
            "length": pa.array([array.shape[0] for array in arrays], pa.int32()),
            "width": pa.array([array.shape[1] for array in arrays], pa.int32()),
        }
    )
    largest = max(2 * array.size for array in arrays)
    path = folder / f"part-{hashlib.sha256(''.join(ids).encode()).hexdigest()[:16]}.parquet"
    atomic_write(path, parquet_bytes(table, row_group_size=max(1, _GROUP_BYTES // max(1, largest))))
    return path


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keeps other processes from adding parts to *folder*; a process that dies lets go."""
    with locked(folder / _LOCK):
        yield


def part_files(folder: Path) -> list[Path]:
    """All parts of a dataset, by name."""
    return sorted(folder.glob("part-*.parquet"))


def readable(file: Path) -> bool:
    """Whether all of a Parquet file can be read."""
    try:
        pq.read_table(file)
    except UNREADABLE:
        return False
    return True


def parquet_bytes(table: pa.Table, row_group_size: int | None = None) -> bytes:
    """The table as a zstd Parquet file in memory, ready to be written in one atomic step."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", row_group_size=row_group_size, use_dictionary=False, write_statistics=False
    )
    return sink.getvalue().to_pybytes()


class PartIndex:
    """Which part and row holds each clip of a folder; a file ``index.parquet`` spares opening every part."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()
        self._num_indexed = 0
        self._seen_mtime = -1
        self.rows: dict[str, tuple[str, int]] = {}

    def refresh(self) -> None:
        """Take in parts that other processes have written since; costs one ``stat`` when there are none.

        Raises:
            ValueError: a part that is damaged.
        """
        mtime = self._folder.stat().st_mtime_ns
        if mtime == self._seen_mtime:
            return
        present = {path.name for path in part_files(self._folder)}
        if not self._known:
            self._read_index(present)
        unindexed = sorted(present - self._known)
        for part in unindexed:
            ids = _clip_ids(self._folder / part)
            self._add(part, ids, range(len(ids)))
        outside = len(self._known) - self._num_indexed
        if outside >= max(_REINDEX_AFTER, len(self._known) // _REINDEX_SHARE):
            self._write_index()
        # A folder's time is coarse: a part that lands right after this look may leave it unchanged.
        self._seen_mtime = mtime if time.time_ns() - mtime > _SETTLED_NS else -1

    def _add(self, part: str, ids: Sequence[str], rows: Sequence[int]) -> None:
        self._known.add(part)
        for clip_id, row in zip(ids, rows, strict=True):
            self.rows.setdefault(clip_id, (part, row))

    def _read_index(self, present: set[str]) -> None:
        path = self._folder / INDEX
        if not path.is_file():
            return
        columns = pq.read_table(path).to_pydict()
        for part, clip_id, row in zip(columns["part"], columns["clip_id"], columns["row"], strict=True):
            if part in present:
                self._add(part, [clip_id], [row])
        self._num_indexed = len(self._known)

    def _write_index(self) -> None:
        parts, rows = zip(*self.rows.values(), strict=True)
        table = pa.table(
            {"part": pa.array(parts), "clip_id": pa.array(list(self.rows)), "row": pa.array(rows, pa.int32())}
        )
        atomic_write(self._folder / INDEX, parquet_bytes(table))
        self._num_indexed = len(self._known)


def _clip_ids(part: Path) -> list[str]:
    try:
        ids: list[str] = pq.read_table(part, columns=["clip_id"]).column(0).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(
            f"{part} is damaged: `coat targets verify` finds all such files, `coat targets gc --yes` removes them"
        ) from error
    return ids


class PartReader:
    """Reads single rows; keeps the part files that were used last open. Not for use over a fork."""

    def __init__(self, folder: Path, codec: FrameCodec) -> None:
        self._folder, self._codec = folder, codec
        self._lock = threading.Lock()
        self._open: OrderedDict[str, pq.ParquetFile] = OrderedDict()

    def read(self, part: str, row: int) -> np.ndarray:
        """Frames float16 (L, E) of one row, an array of its own."""
        with self._lock:
            return self._read(part, row)

    def _read(self, part: str, row: int) -> np.ndarray:
        file = self._file(part)
        group_rows = file.metadata.row_group(0).num_rows
        columns = [*self._codec.columns, "width"]
        group = file.read_row_group(row // group_rows, columns=columns, use_threads=False)
        values = {name: group.column(name)[row % group_rows] for name in columns}
        return self._codec.decode(values, values["width"].as_py())

    def _file(self, part: str) -> pq.ParquetFile:
        file = self._open.pop(part, None) or pq.ParquetFile(self._folder / part, memory_map=True)
        self._open[part] = file
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return file
