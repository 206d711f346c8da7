"""Encoded audio, wherever it lies (bytes, a file, an object, a cell of a Parquet file), opened within limits."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pyarrow import ArrowException
from pyarrow.fs import FileType, LocalFileSystem

from coat_ray.audio.cells import parse_cell, read_cell
from coat_ray.audio.errors import EmptyAudioError, MissingAudioError, TooLargeError
from coat_ray.audio.places import explained, locate


@contextmanager
def opened(source: str | Path | bytes, max_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """The encoded bytes as a seekable file and their number; that of a file is checked before it is read.

    What is not on this machine is read at once: decoders seek, and each seek would be a request.

    Raises:
        AudioError: not there, not allowed, not reachable, empty, or more than *max_bytes*.
    """
    cell = None if isinstance(source, bytes) else parse_cell(source)
    held = source if cell is None else read_cell(cell)
    if isinstance(held, bytes):
        _check_size(len(held), "the given bytes" if cell is None else str(source), max_bytes)
        yield io.BytesIO(held), len(held)
        return
    with _opened_file(held, max_bytes) as pair:
        yield pair


@contextmanager
def _opened_file(source: str | Path, max_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    try:
        filesystem, path = locate(source)
        info = filesystem.get_file_info(path)
        if info.type is FileType.Directory:
            raise MissingAudioError(f"{source} is a folder, not an audio file")
        if info.type is FileType.NotFound:
            raise MissingAudioError(f"no audio file at {source}")
        _check_size(info.size, str(source), max_bytes)
        file = filesystem.open_input_file(path)
        if not isinstance(filesystem, LocalFileSystem):
            with file:
                file = io.BytesIO(file.read(info.size))
    except (OSError, ArrowException) as error:
        raise explained(source, error) from error
    with file:
        yield file, info.size


def _check_size(size: int, name: str, max_bytes: int) -> None:
    """Refuse nothing and too much.

    Raises:
        EmptyAudioError: no bytes.
        TooLargeError: more than *max_bytes*.
    """
    if size == 0:
        raise EmptyAudioError(f"cannot use {name}: it is empty (0 bytes)")
    if size > max_bytes:
        raise TooLargeError(f"cannot use {name}: {size:,} bytes are more than the limit of {max_bytes:,}")
