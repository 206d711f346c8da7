"""Instants and calendar months, always in UTC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from coat_ray.tenancy.errors import BadRequest

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def utc_now() -> datetime:
    """This instant. Functions that depend on it take ``now`` so that a test can give another."""
    return datetime.now(UTC)


def month_of(instant: datetime) -> str:
    """The calendar month of an instant, as ``YYYY-MM``."""
    return _utc(instant).strftime("%Y-%m")


def month_end(instant: datetime) -> datetime:
    """The first instant of the following month."""
    start = _utc(instant).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def split_by_month(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut ``[start, end)`` where a month ends; an empty interval has no pieces."""
    start, end = _utc(start), _utc(end)
    while start < end:
        cut = min(month_end(start), end)
        yield start, cut
        start = cut


def check_month(month: str) -> str:
    """The month as given.

    Raises:
        BadRequest: not of the form ``YYYY-MM``.
    """
    if not _MONTH.fullmatch(month):
        raise BadRequest(f"{month!r} is not a month: write it as YYYY-MM, for example 2026-11")
    return month


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone: give instants in UTC")
    return instant.astimezone(UTC)
