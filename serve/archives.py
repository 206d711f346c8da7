"""Unpacking archives from people one does not know: only plain files, only inside, only so many, only so much.

What is in an archive is believed when it is read and not when it is announced: sizes and counts are those that come
out. Everything that an archive may cost in memory is bounded too: its table of contents, its headers, a piece of data.
"""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

ZIP, TAR, GZIP = "application/zip", "application/x-tar", "application/gzip"
KINDS = (ZIP, TAR, GZIP)
"""Media types of what can be unpacked; gzip stands for a tar archive inside."""

PIECE_BYTES = 2**20
HEADER_BYTES = 4 * 2**20
"""What may stand between two files of a tar archive."""

ENTRY_BYTES = 200
"""An entry of a zip archive's table of contents, on average at most."""

MAX_DEPTH, MAX_NAME, MAX_PATH = 32, 255, 1024

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What the readers of the standard library raise at archives that are none, or were made to hurt."""


class ArchiveError(ValueError):
    """An archive that is not unpacked; the message says why."""


class Readable(Protocol):
    """What gives bytes."""

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; none at the end."""
        ...


@dataclass(frozen=True)
class Member:
    """One entry. ``problem`` says why it cannot be a file or folder of ours; ``open`` gives a file's bytes."""

    name: str
    is_folder: bool
    problem: str
    open: Callable[[], AbstractContextManager[Readable]]


def unpack(archive: Path, kind: str, target: Path, *, max_files: int, allow: Callable[[int], None]) -> None:
    """Unpack into the empty folder *target*; after an error, whatever lies there is of no use.

    Args:
        archive: the file.
        kind: one of `KINDS`.
        target: where to.
        max_files: files and folders together.
        allow: called with the bytes unpacked so far, before each piece is written; raises where that is too much.

    Raises:
        ArchiveError: not such an archive, damaged, or an entry that is no plain file inside it.
    """
    names, total = _Names(max_files), 0
    with archive.open("rb") as file:
        for member in _members(file, kind, max_files):
            path = target / names.take(member)
            if member.is_folder:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as sink:
                for piece in _pieces(member):
                    total += len(piece)
                    allow(total)
                    sink.write(piece)


def _members(file: IO[bytes], kind: str, max_files: int) -> Iterator[Member]:
    """Entries in their order; what the readers raise is said as damage."""
    read = (lambda: _zip_members(file, max_files)) if kind == ZIP else (lambda: _tar_members(file, kind))
    try:
        yield from read()
    except ArchiveError:
        raise
    except _DAMAGE as error:
        raise ArchiveError(f"the archive cannot be read as {kind}: {_said(error)}") from error


def _pieces(member: Member) -> Iterator[bytes]:
    try:
        with member.open() as source:
            while piece := source.read(PIECE_BYTES):
                yield piece
    except ArchiveError:
        raise
    except _DAMAGE as error:
        raise ArchiveError(
            f"{member.name!r} in the archive is damaged: {str(error) or type(error).__name__}"
        ) from error


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


class _Names:
    """Names that were taken, so that none comes twice and no file stands where a folder is."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._files: set[str] = set()
        self._folders: set[str] = {"."}

    def take(self, member: Member) -> str:
        path = _inside(member)
        above = {str(parent) for parent in path.parents}
        name = str(path)
        if name in self._files or above & self._files or (name in self._folders and not member.is_folder):
            raise ArchiveError(f"{member.name!r} is in the archive more than once")
        self._folders |= above
        (self._folders if member.is_folder else self._files).add(name)
        if len(self._files) + len(self._folders) - 1 > self._most:
            raise ArchiveError(f"the archive holds more than {self._most:,} files and folders")
        return name


def _inside(member: Member) -> PurePosixPath:
    """The path of an entry, which says what it is and stays inside.

    Raises:
        ArchiveError: it does not.
    """
    name, path = member.name, PurePosixPath(member.name)
    if member.problem:
        raise ArchiveError(f"{name!r} in the archive is {member.problem}; only files and folders are unpacked")
    if not name or path.is_absolute() or ".." in path.parts:
        raise ArchiveError(f"{name!r} in the archive leads out of it; names must be relative, without '..'")
    if not name.isprintable() or "\\" in name:
        raise ArchiveError(f"{name!r} in the archive is no portable name: printable UTF-8 without backslashes")
    sizes = [len(part.encode()) for part in path.parts]
    if len(sizes) > MAX_DEPTH or max(sizes, default=0) > MAX_NAME or sum(sizes) > MAX_PATH:
        raise ArchiveError(f"a name in the archive that begins with {name[:40]!r} is too long or too deep")
    return path


class _Limited(io.BufferedReader):
    """A file of which no more is asked for at once than a bound: a zip's table of contents is read in one piece."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most:
            raise ArchiveError("the table of contents of the archive is too large; give it fewer files")
        return super().read(size)


def _zip_members(file: IO[bytes], max_files: int) -> Iterator[Member]:
    limited = _Limited(io.FileIO(file.fileno(), closefd=False))
    limited.most = max(PIECE_BYTES, ENTRY_BYTES * max_files)
    with zipfile.ZipFile(limited) as archive:
        for info in archive.infolist():
            yield Member(info.filename, info.is_dir(), _zip_problem(info), partial(archive.open, info))


def _zip_problem(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if stat.S_ISLNK(kind):
        return "a link"
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        return "no plain file"
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack without a bound
        return "neither stored nor deflated"
    return ""


class _Rationed:
    """A stream of which only so much may be read between two refills, as tarfile keeps all headers in memory."""

    def __init__(self, source: Readable) -> None:
        self._source, self._left = source, HEADER_BYTES

    def refill(self) -> None:
        self._left = HEADER_BYTES

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError(f"the archive holds a header of more than {HEADER_BYTES:,} bytes")
        return data


def _tar_members(file: IO[bytes], kind: str) -> Iterator[Member]:
    with gzip.GzipFile(fileobj=file) if kind == GZIP else file as source:
        rationed = _Rationed(source)
        with tarfile.open(fileobj=rationed, mode="r|") as archive:  # type: ignore[call-overload]
            for info in archive:
                data = partial(_Data, archive, info, rationed)
                yield Member(info.name, info.isdir(), _tar_problem(info), data)
                rationed.refill()


def _tar_problem(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "a link"
    plain = info.isdir() or info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
    return "" if plain and not info.issparse() and info.size >= 0 else "no plain file"


class _Data(io.RawIOBase):
    """The bytes of one file of a tar archive; each piece has the ration of its own."""

    def __init__(self, archive: tarfile.TarFile, info: tarfile.TarInfo, rationed: _Rationed) -> None:
        self._source = archive.extractfile(info)
        self._rationed = rationed

    def read(self, size: int = -1, /) -> bytes:
        self._rationed.refill()
        return self._source.read(size) if self._source else b""
