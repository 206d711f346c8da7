"""Lines of the audit log as CSV, for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS = (
    "id", "at", "actor_key", "actor_tenant", "actor_role", "tenant", "action", "target", "outcome", "reason", "detail",
)  # fmt: skip


def to_csv(lines: Iterable[Mapping[str, Any]]) -> str:
    """A header and one row per line, each as `AuditRecord.to_json` gives it; the detail is a cell of JSON.

    A target or reason may repeat what somebody sent: an apostrophe keeps a spreadsheet from computing it.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({column: _cell(line[column]) for column in COLUMNS})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
