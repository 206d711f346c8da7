"""How large audio files are and when they changed, so that what has not changed is not decoded again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyarrow import ArrowException
from pyarrow.fs import FileInfo, FileSelector, FileType

from coat_ray.audio.cells import parse_cell
from coat_ray.audio.places import locate

SourceState = tuple[int, int]
"""Size in bytes and time of last change in ns."""

UNKNOWN: SourceState = (-1, -1)
"""State of what is not there or does not say."""

_LIST_FROM = 8  # objects in one folder from which listing it is cheaper than asking for each
_ASKING_THREADS = 16


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
