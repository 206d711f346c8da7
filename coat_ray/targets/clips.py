"""Which clip a file holds: an index from URI, size and time of change to clip id, so that no file is decoded twice.

A clip id is the digest of the decoded signal; finding it costs a decode. Files ``clips-*.parquet`` are only ever added,
each written whole, so several jobs may share one index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from coat_ray.audio.states import UNKNOWN, SourceState
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


class ClipIndex:
    """The clips that are known by file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, entries: Sequence[ClipEntry]) -> None:
        """Remember entries; all of them appear at once."""
        if not entries:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist([asdict(entry) for entry in entries], schema=ENTRY_SCHEMA)
        name = hashlib.sha256(repr(entries).encode()).hexdigest()[:16]
        atomic_write(self.folder / f"clips-{name}.parquet", parquet_bytes(table))

    def find(self, states: Mapping[str, SourceState]) -> dict[str, ClipEntry]:
        """Entries of those files (uri -> state now) that have not changed since they were decoded."""
        known: dict[tuple[str, int, int], ClipEntry] = {}
        for path in sorted(self.folder.glob("clips-*.parquet")):
            for row in pq.read_table(path).to_pylist():
                known[row["uri"], row["size"], row["mtime_ns"]] = ClipEntry(**row)
        found = ((uri, known.get((uri, *state))) for uri, state in states.items() if state != UNKNOWN)
        return {uri: entry for uri, entry in found if entry is not None}
