"""What a benchmark states, and the choice of its questions."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coat_ray.corpus.manifest import Row


@dataclass(frozen=True)
class Benchmark:
    """``tasks``: task group -> key of ``marks.SCORERS``, in the order of the report."""

    name: str
    tasks: Mapping[str, str]
    licence: str


def select_rows(rows: Sequence[Row], max_rows_per_task: int | None) -> list[Row]:
    """At most so many rows of each task group, in manifest order.

    The choice depends on the row ids alone, so that every model gets the same questions, and it does not favour the
    manifest's beginning, where rows of one kind may stand together.
    """
    if max_rows_per_task is None:
        return list(rows)
    groups: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.task].append(row)
    chosen = {row.id for group in groups.values() for row in sorted(group, key=_lot)[:max_rows_per_task]}
    return [row for row in rows if row.id in chosen]


def _lot(row: Row) -> str:
    return hashlib.sha256(row.id.encode()).hexdigest()
