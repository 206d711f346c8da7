"""``metrics.jsonl``: one JSON object a line, appended while a run goes on, readable at any moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coat_ray.storage import atomic_write

NO_LOSS = ("grad", "weight", "log_variance")
"""What follows the role in a key ``<role>/…`` that is not a loss."""


def append_metrics(path: Path, row: dict[str, Any]) -> None:
    """Append one row in a single write; a line that a killed writer left unfinished is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
    with path.open("ab+") as file:
        end = file.seek(0, 2)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole rows; an unfinished last line is left out, a missing file has no rows."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def rewind_metrics(path: Path, step: int) -> None:
    """Drop rows after *step*: a run that continues from a checkpoint reports the later steps again."""
    rows = [row for row in read_metrics(path) if row.get("step", 0) <= step]
    if path.is_file():
        atomic_write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def expert_terms(row: Mapping[str, Any]) -> list[str]:
    """Keys ``<role>/<term>`` of the experts' losses in a row."""
    return [key for key in row if "/" in key and key.rpartition("/")[2] not in NO_LOSS]
