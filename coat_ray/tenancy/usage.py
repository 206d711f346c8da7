"""What tenants used: events that are added and never changed, summed when somebody asks.

Nothing is counted twice. An event has a key of its own; and of an interval, only the part counts that no interval of
the same run and kind covered before, however often and in whatever pieces it is reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from coat_ray.tenancy.errors import UsageConflict
from coat_ray.tenancy.tables import UsageKind, UsageRow
from coat_ray.tenancy.times import month_of, split_by_month, utc_now


def record_event(
    session: Session,
    tenant: str,
    kind: UsageKind,
    amount: float,
    *,
    key: str,
    run: str | None = None,
    at: datetime | None = None,
) -> bool:
    """Count *amount* once under *key*, which is unique per tenant and kind; False: it was counted before.

    Args:
        session: from `Database.begin`.
        tenant: whose.
        kind: what; storage may be negative, where something was removed.
        amount: seconds, bytes or a number.
        key: names the event, for example a request's id or ``model/name@3 stored``.
        run: what it was for.
        at: when (default: now).

    Raises:
        UsageConflict: the key was counted with another amount.
        ValueError: an amount that is negative or no number.
    """
    if not math.isfinite(amount) or (amount < 0 and kind is not UsageKind.STORAGE_BYTES):
        raise ValueError(f"{amount} {kind.value} cannot be counted: it must be 0 or more")
    known = session.scalar(
        select(UsageRow.amount).where(UsageRow.tenant == tenant, UsageRow.kind == kind, UsageRow.key == key)
    )
    if known is None:
        at = at or utc_now()
        _add(session, tenant, kind, amount, key=key, run=run, start=at, end=at)
        return True
    if not math.isclose(known, amount):
        raise UsageConflict(f"{kind.value} of tenant {tenant!r} under {key!r} is {known}, and cannot become {amount}")
    return False


def record_interval(
    session: Session,
    tenant: str,
    kind: UsageKind,
    *,
    run: str,
    start: datetime,
    end: datetime,
    per_second: float = 1.0,
) -> float:
    """Count what of ``[start, end)`` was not counted for this run and kind; gives the amount that is new.

    Args:
        session: from `Database.begin`.
        tenant: whose.
        kind: ``accelerator_seconds`` or ``cpu_seconds``.
        run: which run held the devices.
        start: from this instant.
        end: to this one, exclusive.
        per_second: how many devices it held.

    Raises:
        ValueError: an interval that ends before it starts, or a negative number of devices.
    """
    if end < start or not math.isfinite(per_second) or per_second < 0:
        raise ValueError(f"cannot count {per_second} per second from {start.isoformat()} to {end.isoformat()}")
    added = 0.0
    for piece in _uncovered(_covered(session, kind, run, start, end), start, end):
        for first, last in split_by_month(*piece):
            amount = (last - first).total_seconds() * per_second
            key = f"{run} {first.isoformat()}"
            _add(session, tenant, kind, amount, key=key, run=run, start=first, end=last)
            added += amount
    return added


def counted_until(session: Session, kind: UsageKind, run: str) -> datetime | None:
    """Where the last counted interval of a run ends; None: nothing was counted."""
    ends = select(UsageRow.ended_at).where(UsageRow.run == run, UsageRow.kind == kind)
    return session.scalar(ends.order_by(UsageRow.ended_at.desc()).limit(1))


def _covered(
    session: Session, kind: UsageKind, run: str, start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    rows = select(UsageRow.started_at, UsageRow.ended_at).where(
        UsageRow.run == run, UsageRow.kind == kind, UsageRow.ended_at > start, UsageRow.started_at < end
    )
    return [(first, last) for first, last in session.execute(rows.order_by(UsageRow.started_at))]


def _uncovered(
    covered: Sequence[tuple[datetime, datetime]], start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    gaps = []
    for first, last in covered:
        if start < first:
            gaps.append((start, first))
        start = max(start, last)
    if start < end:
        gaps.append((start, end))
    return gaps


def _add(
    session: Session,
    tenant: str,
    kind: UsageKind,
    amount: float,
    *,
    key: str,
    run: str | None,
    start: datetime,
    end: datetime,
) -> None:
    session.add(
        UsageRow(
            tenant=tenant,
            run=run,
            kind=kind,
            key=key,
            amount=amount,
            month=month_of(start),
            started_at=start,
            ended_at=end,
        )
    )
    session.flush()
