"""Where encoded audio lies (a file, an object, a cell of a Parquet file): opened within limits, and its state told.

A cell is written ``clips.parquet#audio=12``: row 12 of the column ``audio``, which holds bytes or, as Hugging Face
``datasets`` writes it, a struct of ``bytes`` and ``path``.
"""

from __future__ import annotations

import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ArrowException
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, LocalFileSystem

from coat_ray.audio_errors import (
    AudioError,
    EmptyAudioError,
    MissingAudioError,
    NoCredentialsError,
    NoPermissionError,
    TooLargeError,
    UnreachableError,
)

SourceState = tuple[int, int]
"""Size in bytes and time of last change in ns."""

UNKNOWN: SourceState = (-1, -1)
"""State of what is not there or does not say."""

_CELL = re.compile(r"(?P<file>.+\.parquet)#(?P<column>[^#=]+)=(?P<row>\d+)", re.DOTALL)
_GROUP_BYTES = 2 * 2**30  # reading one cell loads its row group
_LIST_FROM = 8  # objects in one folder from which listing it is cheaper than asking for each
_ASKING_THREADS = 16
_ROLES = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_DENIED = re.compile(r"ACCESS_DENIED|HTTP status 40[13]|InvalidAccessKeyId|SignatureDoesNotMatch|INVALID_ACCESS_KEY")
_NETWORK = re.compile(r"NETWORK_CONNECTION|curlCode|SLOW_DOWN|SERVICE_UNAVAILABLE|REQUEST_TIMEOUT|HTTP status 5\d\d")


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


@contextmanager
def opened(source: str | Path | bytes, max_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """The encoded bytes as a seekable file and their number, which is checked before anything is read.

    What is not on this machine is read at once: decoders seek, and each seek would be a request.

    Raises:
        AudioError: not there, not allowed, not reachable, empty, or more than *max_bytes*.
    """
    if isinstance(source, bytes):
        check_size(len(source), "the given bytes", max_bytes)
        yield io.BytesIO(source), len(source)
        return
    if (cell := parse_cell(source)) is not None:
        with opened(_read_cell(cell), max_bytes) as pair:
            yield pair
        return
    try:
        filesystem, path = locate(source)
        info = filesystem.get_file_info(path)
        if info.type is FileType.Directory:
            raise MissingAudioError(f"{source} is a folder, not an audio file")
        if info.type is FileType.NotFound:
            raise MissingAudioError(f"no audio file at {source}")
        check_size(info.size, str(source), max_bytes)
        file = filesystem.open_input_file(path)
        if not isinstance(filesystem, LocalFileSystem):
            with file:
                file = io.BytesIO(file.read(info.size))
    except (OSError, ArrowException) as error:
        raise explained(source, error) from error
    with file:
        yield file, info.size


def check_size(size: int, name: str, max_bytes: int) -> None:
    """Refuse nothing and too much.

    Raises:
        EmptyAudioError: no bytes.
        TooLargeError: more than *max_bytes*.
    """
    if size == 0:
        raise EmptyAudioError(f"cannot use {name}: it is empty (0 bytes)")
    if size > max_bytes:
        raise TooLargeError(f"cannot use {name}: {size:,} bytes are more than the limit of {max_bytes:,}")


def explained(source: str | Path, error: Exception) -> AudioError:
    """What an error of a file system means for whoever named *source*."""
    text = str(error)
    if isinstance(error, PermissionError) or _DENIED.search(text):
        if str(source).startswith("s3://") and not _has_credentials():
            return NoCredentialsError(
                f"no credentials for {source}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws"
            )
        return NoPermissionError(f"no permission to read {source}: {text}")
    if _NETWORK.search(text):
        return UnreachableError(f"cannot reach {source}: {text}")
    return MissingAudioError(f"no readable audio file at {source}: {text}")


def locate(source: str | Path) -> tuple[FileSystem, str]:
    """File system and path of a local path or a URI; clients of object stores are kept.

    ``s3://`` takes its settings from the environment (``AWS_ENDPOINT_URL``, ``AWS_REGION``) or from the URI.
    """
    text = str(source)
    if not isinstance(source, str) or "://" not in text:
        return LocalFileSystem(), str(Path(source).absolute())
    if text.startswith("s3://"):
        bucket_and_key, _, query = text.removeprefix("s3://").partition("?")
        return _s3(bucket_and_key.partition("/")[0], query, *_s3_environment()), bucket_and_key
    filesystem, path = FileSystem.from_uri(text)
    return filesystem, path


def _s3_environment() -> tuple[str, str]:
    return os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_REGION", "")


@lru_cache(maxsize=32)
def _s3(bucket: str, query: str, endpoint: str, region: str) -> FileSystem:
    """A client per bucket; making one looks for credentials and asks where the bucket lies."""
    if query or not endpoint:
        return FileSystem.from_uri(f"s3://{bucket}/x" + (f"?{query}" if query else ""))[0]
    from pyarrow.fs import S3FileSystem  # noqa: PLC0415 - absent from some builds of pyarrow

    scheme, _, host = endpoint.rpartition("://")
    return S3FileSystem(endpoint_override=host, scheme=scheme or "https", region=region or "us-east-1")


def _has_credentials() -> bool:
    homes = (Path.home() / ".aws" / name for name in ("credentials", "config"))
    return any(os.environ.get(name) for name in _ROLES) or any(path.is_file() for path in homes)


def source_states(uris: Iterable[str]) -> dict[str, SourceState]:
    """State of each source; that of a cell is its file's. Folders of object stores are listed, not asked one by one."""
    files = {uri: cell.file if (cell := parse_cell(uri)) else uri for uri in uris}
    remote, found = defaultdict(list), {}
    for file in set(files.values()):
        if "://" in file:
            remote[file.rpartition("/")[0]].append(file)
        else:
            found[file] = _local_state(file)
    for folder, members in remote.items():
        found.update(_remote_states(folder, members))
    return {uri: found[file] for uri, file in files.items()}


def _local_state(path: str) -> SourceState:
    try:
        stat = Path(path).stat()
    except OSError:
        return UNKNOWN
    return stat.st_size, stat.st_mtime_ns


def _remote_states(folder: str, members: list[str]) -> dict[str, SourceState]:
    if len(members) < _LIST_FROM or any("?" in uri for uri in members):
        with ThreadPoolExecutor(_ASKING_THREADS) as threads:
            return dict(zip(members, threads.map(_remote_state, members), strict=True))
    try:
        filesystem, path = locate(folder + "/")
        infos = {info.path: _state(info) for info in filesystem.get_file_info(FileSelector(path.rstrip("/")))}
        return {uri: infos.get(locate(uri)[1], UNKNOWN) for uri in members}
    except (OSError, ArrowException):
        return dict.fromkeys(members, UNKNOWN)  # decoding says what is wrong


def _remote_state(uri: str) -> SourceState:
    try:
        filesystem, path = locate(uri)
        return _state(filesystem.get_file_info(path))
    except (OSError, ArrowException):
        return UNKNOWN


def _state(info: FileInfo) -> SourceState:
    return (info.size, info.mtime_ns or 0) if info.type is FileType.File else UNKNOWN


def _read_cell(cell: Cell) -> bytes:
    """The encoded audio of one cell; a cell that only names a file gives that file's bytes.

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
            return _whole(_beside(cell.file, name))
        value = data
    if not isinstance(value, bytes):
        raise MissingAudioError(f"{cell.file} holds no audio in column {cell.column!r}, row {cell.row}")
    return value


def _beside(file: str, name: str) -> str | Path:
    """*name* as the table *file* means it: a URI, or relative to where the table lies."""
    if "://" in name or "://" not in file:
        return name if "://" in name else Path(file).parent / name
    return f"{file.rpartition('/')[0]}/{name}"


def _whole(source: str | Path) -> bytes:
    with opened(source, _GROUP_BYTES) as (file, _):
        return file.read()


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
        if size > _GROUP_BYTES:
            raise TooLargeError(f"{file} has row groups of {size:,} bytes: write it with fewer rows in each")
        return parquet.read_row_group(group, columns=[column], use_threads=False).column(column)


@contextmanager
def _parquet(file: str) -> Iterator[pq.ParquetFile]:
    filesystem, path = locate(file)
    with filesystem.open_input_file(path) as opened_file, pq.ParquetFile(opened_file) as parquet:
        yield parquet
