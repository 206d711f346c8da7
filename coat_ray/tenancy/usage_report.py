"""Sums of what was used, by tenant, run and month, and their export."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from coat_ray.tenancy.ledger_tables import RunRow
from coat_ray.tenancy.tables import UsageKind, UsageRow
from coat_ray.tenancy.times import check_month

Column = Literal["tenant", "run", "month"]
COLUMNS: tuple[Column, ...] = ("tenant", "run", "month")


@dataclass(frozen=True)
class UsageTotal:
    """One line of a report; a column that it is not broken down by is None.

    ``storage_bytes`` is a change: what was stored less what was removed. Over all months it is what is stored now.
    """

    tenant: str | None = None
    run: str | None = None
    month: str | None = None
    accelerator_seconds: float = 0.0
    cpu_seconds: float = 0.0
    storage_bytes: int = 0
    requests: int = 0
    audio_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def usage_totals(
    session: Session,
    *,
    by: Collection[Column] = COLUMNS,
    tenant: str | None = None,
    run: str | None = None,
    month: str | None = None,
) -> list[UsageTotal]:
    """Sums over the events that fit every filter given, one line per group, ordered by the columns.

    A sweep is one run: what its trials used is its own.

    Raises:
        ValueError: a column that there is not, or a month that is none.
    """
    unknown = sorted(set(by) - set(COLUMNS))
    if unknown:
        raise ValueError(f"usage cannot be broken down by {unknown[0]!r}: choose among {', '.join(COLUMNS)}")
    filters: dict[Column, str | None] = {"tenant": tenant, "run": run, "month": check_month(month) if month else None}
    names = [name for name in COLUMNS if name in by]
    whole = func.coalesce(RunRow.group, UsageRow.run)
    known: dict[Column, Any] = {"tenant": UsageRow.tenant, "run": whole, "month": UsageRow.month}
    columns = [known[name] for name in names]
    sums = select(*columns, UsageRow.kind, func.sum(UsageRow.amount)).group_by(*columns, UsageRow.kind)
    sums = sums.outerjoin(RunRow, RunRow.id == UsageRow.run)
    sums = sums.where(*(known[name] == value for name, value in filters.items() if value is not None))
    lines: dict[tuple[str | None, ...], dict[str, float]] = {}
    for *group, kind, amount in session.execute(sums):
        lines.setdefault(tuple(group), {})[kind.value] = _amount(kind, amount)
    order = sorted(lines, key=lambda group: tuple(value or "" for value in group))
    return [UsageTotal(**dict(zip(names, group, strict=True)), **lines[group]) for group in order]  # type: ignore[arg-type]


def used_in_month(session: Session, tenant: str, kind: UsageKind, month: str) -> float:
    """One sum: seconds or a number in one calendar month."""
    return _sum(session, UsageRow.tenant == tenant, UsageRow.kind == kind, UsageRow.month == month)


def stored_bytes(session: Session, tenant: str) -> int:
    """What a tenant stores now."""
    return round(_sum(session, UsageRow.tenant == tenant, UsageRow.kind == UsageKind.STORAGE_BYTES))


def to_csv(totals: Iterable[UsageTotal]) -> str:
    """A header and one line per total; an empty cell is a column that the report is not broken down by, or no run."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(UsageTotal)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(total) for total in totals)
    return text.getvalue()


def to_json(totals: Iterable[UsageTotal]) -> str:
    """A list of objects with the fields of `UsageTotal`."""
    return json.dumps([asdict(total) for total in totals], indent=2) + "\n"


def _sum(session: Session, *conditions: Any) -> float:
    return session.scalar(select(func.coalesce(func.sum(UsageRow.amount), 0.0)).where(*conditions)) or 0.0


def _amount(kind: UsageKind, amount: float) -> float:
    return amount if kind.value.endswith("_seconds") else round(amount)
