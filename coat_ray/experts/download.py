"""Bring a published checkpoint into the cache: by HTTP, resumable, or from a folder; verified before it counts.

What has arrived lies in ``<file>.part`` beside the target; only a complete and verified file gets the target's name.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import requests

from coat_ray.experts.base import OfficialWeights
from coat_ray.experts.weights import WeightsError, verify
from coat_ray.storage import sync_folder

CHUNK = 2**18
TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""
ELSEWHERE = "or bring the file from elsewhere with --from FOLDER"

Progress = Callable[[int, int | None], None]
"""Takes bytes so far and bytes in all (None where the server does not say)."""


class DownloadError(WeightsError):
    """A checkpoint that did not arrive; the message says what is left and what to do."""


def fetch(official: OfficialWeights, target: Path, progress: Progress) -> str:
    """Download a checkpoint to *target*, from where an earlier attempt stopped; gives its sha256.

    Raises:
        DownloadError: no connection, no such file, no space, an incomplete or a wrong file, another pull at work.
    """
    with _part(target) as (part, file):
        start = file.tell()
        if start == 0 or start != official.size:
            _receive(official, file, start, progress)
        return _settle(part, file, target, official)


def copy_from(folder: Path, official: OfficialWeights, target: Path, progress: Progress) -> str:
    """Copy a checkpoint out of *folder* to *target*; gives its sha256.

    Raises:
        DownloadError: no such file there, no space, or a wrong file.
    """
    source = folder.expanduser() / official.file
    if not source.is_file():
        raise DownloadError(f"no {official.file} in {folder}; download it from {official.url} and put it there")
    size = source.stat().st_size
    with _part(target) as (part, file), source.open("rb") as original:
        _empty(file)
        _check_space(target.parent, size)
        _write(file, iter(lambda: original.read(CHUNK), b""), 0, size, progress)
        return _settle(part, file, target, official)


@contextmanager
def _part(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """The unfinished file, open at its end, for one process at a time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DownloadError(f"another process is fetching {target.name}; wait for it") from error
        try:
            yield part, file
        finally:
            file.flush()
            if part.is_file() and part.stat().st_size == 0:
                part.unlink()


def _receive(official: OfficialWeights, file: BinaryIO, start: int, progress: Progress) -> None:
    """Ask for the bytes from *start* on and append them; a server that sends everything starts over."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    host = urlsplit(official.url).netloc
    try:
        with requests.get(official.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if start and response.headers.get("Content-Range") == f"bytes */{start}":
                return  # everything had arrived, and the process ended before it was verified
            start = _starting_at(response, file, start, official)
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else official.size
            if None not in (total, official.size) and total != official.size:
                raise DownloadError(
                    f"{official.url} offers {total:,} bytes instead of {official.size:,}: it is another file; "
                    f"bring the right one with --from FOLDER"
                )
            _check_space(Path(str(file.name)).parent, (total or start) - start)
            _write(file, response.iter_content(CHUNK), start, total, progress)
    except requests.exceptions.ChunkedEncodingError:
        pass  # the size tells below how much is missing
    except (requests.Timeout, requests.ConnectionError) as error:
        kept = f"; {file.tell():,} bytes are kept" if file.tell() else ""
        raise DownloadError(f"no connection to {host}{kept}; run it again, {ELSEWHERE}") from error
    else:
        if total is None or file.tell() == total:
            return
    raise DownloadError(
        f"the connection to {host} ended after {file.tell():,} bytes of {official.file}; what arrived is kept, "
        f"run it again to resume"
    )


def _starting_at(response: requests.Response, file: BinaryIO, start: int, official: OfficialWeights) -> int:
    """The byte with which the answer begins; the unfinished file is cut to it."""
    if response.status_code == requests.codes.partial_content:
        return start
    if response.status_code == requests.codes.ok:
        _empty(file)
        return 0
    if response.status_code == requests.codes.requested_range_not_satisfiable:
        _empty(file)
        raise DownloadError(
            f"what had arrived of {official.file} was longer than the file and is removed; run it again"
        )
    if response.status_code in (requests.codes.not_found, requests.codes.gone):
        raise DownloadError(
            f"there is no file at {official.url} (HTTP {response.status_code}); bring it with --from FOLDER"
        )
    raise DownloadError(f"{official.url} answered HTTP {response.status_code}; run it again later, {ELSEWHERE}")


def _write(file: BinaryIO, chunks: Iterable[bytes], done: int, total: int | None, progress: Progress) -> None:
    progress(done, total)
    for chunk in chunks:
        try:
            file.write(chunk)
        except OSError as error:
            raise DownloadError(f"cannot write {file.name}: {error.strerror}; what arrived is kept") from error
        done += len(chunk)
        progress(done, total)
    file.flush()


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"no space in {folder}: {needed:,} bytes are needed and {free:,} are free; make room, or set COAT_HOME"
        )


def _settle(part: Path, file: BinaryIO, target: Path, official: OfficialWeights) -> str:
    """Verify what arrived and give it its name; what is wrong is removed."""
    file.flush()
    try:
        sha256 = verify(part, official)
    except WeightsError as error:
        part.unlink()
        raise DownloadError(f"{str(error).partition(';')[0]}; it is removed, run it again, {ELSEWHERE}") from error
    part.replace(target)
    sync_folder(target.parent)
    return sha256
