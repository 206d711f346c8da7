"""Whether a corpus folder stands for itself: three manifests whose clips all lie inside it, as plain files.

A platform asks this of whatever a tenant hands in, because its jobs read with the platform's rights: a manifest must
not make them read a neighbour's clip, a file of the machine, or an address in the network.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from coat_ray.audio.cells import parse_cell
from coat_ray.corpus.builtin import MANIFESTS
from coat_ray.corpus.manifest import Manifest, ManifestError, Row, read_manifest
from coat_ray.provenance import fingerprint

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


@dataclass(frozen=True)
class Contents:
    """What a corpus folder holds.

    ``fingerprint`` is of the rows of all splits. ``audio_seconds`` is None where a row with clips states no length;
    clips that several rows share count once. ``licences`` are those of the rows, None for rows that state none.
    """

    fingerprint: str
    rows: int
    audio_seconds: float | None
    num_bytes: int
    licences: tuple[str | None, ...]


def inspect_folder(folder: Path, *, max_manifest_bytes: int | None = None) -> Contents:
    """Read the manifests of a folder and check that everything they name lies in it.

    No clip is opened, and no name from a manifest is ever looked up on disk.

    Raises:
        ManifestError: what is wrong, and in which file and row; paths are relative to the folder.
    """
    sizes = files_of(folder)
    _check_manifests(sizes, max_manifest_bytes)
    prints, seconds, licences, num_rows = {}, _Seconds(), set(), 0
    for name in MANIFESTS:
        manifest = _read(folder, name)
        prints[name] = manifest.fingerprint
        num_rows += len(manifest.rows)
        for row in manifest.rows:
            for uri in row.audios:
                _check_uri(uri, sizes, f"{name}, row {row.id!r}")
            seconds.add(row)
            licences.add(row.licence)
    stated = sorted(filter(None, licences))
    return Contents(
        fingerprint=fingerprint(prints),
        rows=num_rows,
        audio_seconds=seconds.total,
        num_bytes=sum(sizes.values()),
        licences=(*stated, *([] if licences == set(stated) else [None])),
    )


def files_of(folder: Path) -> dict[str, int]:
    """Names relative to *folder*, and sizes in bytes, of all files in it.

    Raises:
        ManifestError: a link, a device or another thing that is no plain file.
    """
    return dict(_walk(folder, folder))


def _walk(folder: Path, root: Path) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            facts = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                yield from _walk(path, root)
            elif stat.S_ISREG(facts.st_mode):
                yield path.relative_to(root).as_posix(), facts.st_size
            else:
                what = "a link" if stat.S_ISLNK(facts.st_mode) else "no plain file"
                name = path.relative_to(root).as_posix()
                raise ManifestError(f"{name!r} is {what}; a corpus holds files and folders only")


def _check_manifests(sizes: Mapping[str, int], max_bytes: int | None) -> None:
    missing = [name for name in MANIFESTS if name not in sizes]
    if missing:
        raise ManifestError(f"{', '.join(missing)} missing: a corpus is a folder with {', '.join(MANIFESTS)}")
    for name in MANIFESTS:
        if max_bytes is not None and sizes[name] > max_bytes:
            raise ManifestError(f"{name} has {sizes[name]:,} bytes; at most {max_bytes:,} are read")


def _read(folder: Path, name: str) -> Manifest:
    try:
        manifest = read_manifest(folder / name)
        _ = manifest.fingerprint  # a value that has no JSON shows here
    except RecursionError:
        raise ManifestError(f"{name}: a row is nested too deeply") from None
    except ManifestError as error:
        raise ManifestError(str(error).replace(f"{folder}/", "")) from None
    except ValueError as error:
        raise ManifestError(f"{name}: a value that cannot be written as JSON ({error})") from None
    return manifest


def _check_uri(uri: str, sizes: Mapping[str, int], where: str) -> None:
    path = PurePosixPath(uri)
    if _SCHEME.match(uri) or path.is_absolute() or ".." in path.parts:
        raise ManifestError(f"{where}: audio {uri!r} leads out of the corpus; name a file in its folder")
    if parse_cell(uri) is not None:
        raise ManifestError(f"{where}: audio {uri!r} is a cell of a Parquet file; unpack the clips into files")
    if str(path) not in sizes:
        raise ManifestError(f"{where}: audio {uri!r} is not in the corpus")


class _Seconds:
    """Length of all clips together."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], float | None] = {}

    def add(self, row: Row) -> None:
        if row.audios:
            self._known[row.audios] = row.seconds

    @property
    def total(self) -> float | None:
        lengths = list(self._known.values())
        stated = [length for length in lengths if length is not None]
        return sum(stated) if len(stated) == len(lengths) else None
