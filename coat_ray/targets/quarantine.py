"""Clips that an expert could not encode, and why: small Parquet files beside the parts.

Columns: ``clip_id``, ``uri``, ``reason`` (a slug), ``message`` (the error in words).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from coat_ray.storage import atomic_write
from coat_ray.targets.parts import parquet_bytes

CRASHED = "crashed"
"""Reason of an error that is not about the clip (out of memory, a bug): tried again by the next run."""

TOO_SHORT = "too_short"
"""Reason of a clip that a block, or an expert, cannot take for want of sound."""

_SCHEMA = pa.schema([(name, pa.string()) for name in ("clip_id", "uri", "reason", "message")])


@dataclass(frozen=True)
class QuarantineRow:
    """One clip that has no targets. ``clip_id`` is None when it could not be decoded at all."""

    clip_id: str | None
    uri: str
    reason: str
    message: str


class Quarantine:
    """The quarantine files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, rows: Sequence[QuarantineRow]) -> None:
        """Add rows as one file, named after its content so that a repeated write replaces itself."""
        if not rows:
            return
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMA)
        name = hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
        atomic_write(self._folder / f"quarantine-{name}.parquet", parquet_bytes(table))

    def rows(self) -> list[QuarantineRow]:
        """Every row, the last written of each clip."""
        files = sorted(self._folder.glob("quarantine-*.parquet"), key=lambda path: path.stat().st_mtime_ns)
        found = [QuarantineRow(**row) for file in files for row in pq.read_table(file).to_pylist()]
        return list({row.clip_id or row.uri: row for row in found}.values())

    def reasons(self) -> dict[str, str]:
        """Reason by clip id."""
        return {row.clip_id: row.reason for row in self.rows() if row.clip_id is not None}
