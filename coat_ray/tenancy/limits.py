"""Whether a tenant may have more of what adds up: accelerator-hours of a month, waiting runs, and storage.

A check holds as long as the transaction that made it, so make it where the thing is granted.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from coat_ray.tenancy.denials import Denial
from coat_ray.tenancy.ledger_tables import RunRow, RunState
from coat_ray.tenancy.quotas import get_quota
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.times import month_end, month_of, utc_now
from coat_ray.tenancy.usage_report import stored_bytes, used_in_month


def check_month(session: Session, tenant: str, *, hours: float = 0.0, now: datetime | None = None) -> Denial | None:
    """Why a tenant may not use *hours* more accelerator-hours in this calendar month (UTC); None: it may.

    With no hours wanted, it may as long as any are left.

    Raises:
        TenantNotFound: no such tenant.
    """
    allowed = get_quota(session, tenant).accelerator_hours
    if allowed is None:
        return None
    now = now or utc_now()
    used = used_in_month(session, tenant, UsageKind.ACCELERATOR_SECONDS, month_of(now)) / 3600
    if used < allowed and used + hours <= allowed:
        return None
    return Denial(tenant, "accelerator_hours", allowed, used, hours, frees_at=month_end(now))


def check_queue(session: Session, tenant: str) -> Denial | None:
    """Why a tenant may not queue one more run; None: it may.

    Raises:
        TenantNotFound: no such tenant.
    """
    allowed = get_quota(session, tenant).queued_runs
    if allowed is None:
        return None
    whole = or_(RunRow.group.is_(None), RunRow.group == RunRow.id)  # a sweep's further trials are part of it
    waiting = select(func.count()).where(RunRow.tenant == tenant, RunRow.state == RunState.QUEUED, whole)
    used = session.scalar(waiting) or 0
    if used < allowed:
        return None
    return Denial(tenant, "queued_runs", allowed, used, 1, frees_when="some of them begin or are stopped")


def check_storage(session: Session, tenant: str, *, num_bytes: int = 0) -> Denial | None:
    """Why a tenant may not store *num_bytes* more; None: it may.

    Raises:
        TenantNotFound: no such tenant.
    """
    allowed = get_quota(session, tenant).storage_bytes
    if allowed is None:
        return None
    used = stored_bytes(session, tenant)
    if used + num_bytes <= allowed:
        return None
    when = "runs, models or corpora are removed"
    return Denial(tenant, "storage_bytes", allowed, used, num_bytes, frees_when=when)
