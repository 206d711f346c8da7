"""Clips inside Parquet files: ``clips.parquet#audio=12`` is row 12 of the column ``audio``.

A cell holds bytes or, as Hugging Face ``datasets`` writes it, a struct of ``bytes`` and ``path``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ArrowException

from coat_ray.audio.errors import MissingAudioError, TooLargeError
from coat_ray.audio.places import explained, locate

MAX_GROUP_BYTES = 2 * 2**30
"""Largest row group that is opened: reading one cell loads its row group."""

_CELL = re.compile(r"(?P<file>.+\.parquet)#(?P<column>[^#=]+)=(?P<row>\d+)", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """One row of a Parquet column."""

    file: str
    column: str
    row: int


def cell_uri(file: Path | str, column: str, row: int) -> str:
    """How a manifest names a clip that is embedded in a Parquet file."""
    return f"{file}#{column}={row}"


def parse_cell(source: str | Path) -> Cell | None:
    """The cell that *source* names; None where it is a file of its own."""
    match = _CELL.fullmatch(str(source))
    return Cell(match["file"], match["column"], int(match["row"])) if match else None


def read_cell(cell: Cell) -> bytes | str | Path:
    """The encoded audio of one cell, or the path or URI of the file that it only names.

    Raises:
        AudioError: no such file, column or row, or nothing in it.
    """
    try:
        filesystem, path = locate(cell.file)
        modified = filesystem.get_file_info(path).mtime_ns or 0
        value = _cell_value(cell, modified)
    except (OSError, ArrowException, KeyError, IndexError) as error:
        raise explained(f"{cell.file}, column {cell.column!r}, row {cell.row}", error) from error
    if isinstance(value, dict):
        data, name = value.get("bytes"), value.get("path")
        if data is None and name:
            return _beside(cell.file, name)
        value = data
    if not isinstance(value, bytes):
        raise MissingAudioError(f"{cell.file} holds no audio in column {cell.column!r}, row {cell.row}")
    return value


def _beside(file: str, name: str) -> str | Path:
    """*name* as the table *file* means it: a URI, or relative to where the table lies."""
    if "://" in name or "://" not in file:
        return name if "://" in name else Path(file).parent / name
    return f"{file.rpartition('/')[0]}/{name}"


def _cell_value(cell: Cell, modified: int) -> Any:
    starts = _row_groups(cell.file, modified)
    group = int(np.searchsorted(starts, cell.row, side="right")) - 1
    if not 0 <= group < len(starts) - 1:
        raise IndexError(f"the file has {starts[-1]} rows")
    return _column_chunk(cell.file, modified, cell.column, group)[cell.row - int(starts[group])].as_py()


@lru_cache(maxsize=64)
def _row_groups(file: str, modified: int) -> np.ndarray:  # noqa: ARG001 - a changed file is another key
    """First row of each row group, and the number of rows."""
    with _parquet(file) as parquet:
        metadata = parquet.metadata
        return np.cumsum([0, *(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))])


@lru_cache(maxsize=2)
def _column_chunk(file: str, modified: int, column: str, group: int) -> pa.ChunkedArray:  # noqa: ARG001
    """One column of one row group: neighbours in a file are usually asked for one after the other."""
    with _parquet(file) as parquet:
        size = parquet.metadata.row_group(group).total_byte_size
        if size > MAX_GROUP_BYTES:
            raise TooLargeError(f"{file} has row groups of {size:,} bytes: write it with fewer rows in each")
        return parquet.read_row_group(group, columns=[column], use_threads=False).column(column)


@contextmanager
def _parquet(file: str) -> Iterator[pq.ParquetFile]:
    filesystem, path = locate(file)
    with filesystem.open_input_file(path) as opened_file, pq.ParquetFile(opened_file) as parquet:
        yield parquet
