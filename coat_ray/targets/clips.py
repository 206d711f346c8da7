"""Which clip a file holds: an index from path, size and time of change to clip id, so that no file is decoded twice.

A clip id is the digest of the decoded signal; finding it costs a decode. Files ``clips-*.parquet`` are only ever added,
each written whole, so several jobs may share one index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from coat_ray.storage import atomic_write
from coat_ray.targets.parts import parquet_bytes

ENTRY_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("clip_id", pa.string()),
        ("num_samples", pa.int64()),
        ("reason", pa.string()),
        ("message", pa.string()),
    ]
)


@dataclass(frozen=True)
class ClipEntry:
    """What decoding a file once told. ``num_samples`` counts at 16 kHz; a bad file has a reason and no clip id."""

    uri: str
    size: int
    mtime_ns: int
    clip_id: str | None
    num_samples: int
    reason: str | None = None
    message: str | None = None


def file_state(uri: str) -> tuple[int, int]:
    """Size in bytes and time of last change in ns; (-1, -1) for what is not a local file."""
    try:
        stat = Path(uri).stat()
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


class ClipIndex:
    """The clips that are known by file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, entries: Sequence[ClipEntry]) -> None:
        """Remember entries; all of them appear at once."""
        if not entries:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist([asdict(entry) for entry in entries], schema=ENTRY_SCHEMA)
        name = hashlib.sha256(repr(entries).encode()).hexdigest()[:16]
        atomic_write(self._folder / f"clips-{name}.parquet", parquet_bytes(table))

    def find(self, uris: Iterable[str]) -> dict[str, ClipEntry]:
        """Entries of those files that have not changed since they were decoded."""
        known: dict[tuple[str, int, int], ClipEntry] = {}
        for path in sorted(self._folder.glob("clips-*.parquet")):
            for row in pq.read_table(path).to_pylist():
                known[row["uri"], row["size"], row["mtime_ns"]] = ClipEntry(**row)
        found = ((uri, known.get((uri, *file_state(uri)))) for uri in uris)
        return {uri: entry for uri, entry in found if entry is not None and entry.size >= 0}
