"""Requests and seconds of audio per minute: an exact sliding window, kept in the database.

In the database, because several processes answer for one tenant and would each allow the whole limit. A sliding window,
because a token bucket lets up to twice the limit through in some minutes. What was taken is summed per second, so that
a tenant has at most 61 rows per limit. A second counts until all of it is older than a minute: no minute ever holds
more than the limit, and a request may have to wait up to one second longer than it must.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.denials import Denial, Limit
from coat_ray.tenancy.quotas import get_quota
from coat_ray.tenancy.tables import RateRow
from coat_ray.tenancy.times import utc_now

_REMEMBERED_S = 61
_ROUNDING = 1e-6  # a sum of floats must not deny the last request of a minute


def take(
    database: Database,
    tenant: str,
    *,
    requests: int = 1,
    audio_seconds: float = 0.0,
    now: datetime | None = None,
) -> Denial | None:
    """Count a request against the tenant's limits per minute, or say which one it would pass; then nothing is counted.

    Raises:
        TenantNotFound: no such tenant.
        ValueError: negative amounts, or not numbers.
    """
    wanted: dict[Limit, float] = {"requests_per_minute": requests, "audio_seconds_per_minute": audio_seconds}
    if not all(math.isfinite(amount) and amount >= 0 for amount in wanted.values()):
        raise ValueError(
            f"cannot count {requests} requests with {audio_seconds} seconds of audio: both must be 0 or more"
        )
    now = now or utc_now()
    with database.read() as session:
        limited = _limited(session, tenant, wanted)
    if not limited:  # without limits there is nothing to write
        return None
    with database.begin() as session:
        limited = _limited(session, tenant, wanted)
        for limit, allowed in limited.items():
            denial = _denial(_taken(session, tenant, limit, now), tenant, limit, allowed, wanted[limit])
            if denial is not None:
                return denial
        for limit in limited:
            _count(session, tenant, limit, wanted[limit], now)
    return None


def _limited(session: Session, tenant: str, wanted: dict[Limit, float]) -> dict[Limit, float]:
    quota = get_quota(session, tenant)
    limits = {limit: getattr(quota, limit) for limit, amount in wanted.items() if amount > 0}
    return {limit: allowed for limit, allowed in limits.items() if allowed is not None}


def _taken(session: Session, tenant: str, limit: Limit, now: datetime) -> Sequence[tuple[int, float]]:
    """What still counts, as (second, amount), oldest first."""
    rows = select(RateRow.second, RateRow.amount).where(
        RateRow.tenant == tenant, RateRow.name == limit, RateRow.second > _second(now) - _REMEMBERED_S
    )
    return [(second, amount) for second, amount in session.execute(rows.order_by(RateRow.second))]


def _denial(
    taken: Sequence[tuple[int, float]], tenant: str, limit: Limit, allowed: float, wanted: float
) -> Denial | None:
    used = math.fsum(amount for _, amount in taken)
    if used + wanted <= allowed + _ROUNDING:
        return None
    left, frees = used, None
    for second, amount in taken:
        left -= amount
        if left + wanted <= allowed + _ROUNDING:
            frees = datetime.fromtimestamp(second + _REMEMBERED_S, UTC)
            break
    return Denial(tenant, limit, allowed, used, wanted, frees_at=frees)


def _count(session: Session, tenant: str, limit: Limit, amount: float, now: datetime) -> None:
    second = _second(now)
    old = RateRow.second <= second - _REMEMBERED_S
    session.execute(delete(RateRow).where(RateRow.tenant == tenant, RateRow.name == limit, old))
    row = session.get(RateRow, (tenant, limit, second))
    if row is None:
        session.add(RateRow(tenant=tenant, name=limit, second=second, amount=amount))
    else:
        row.amount += amount


def _second(now: datetime) -> int:
    return math.floor(now.timestamp())
