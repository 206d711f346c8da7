"""What a tenant uses now, under the names of its limits."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from coat_ray.tenancy.ledger_tables import LeaseRow, RunRow
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.times import month_of, utc_now
from coat_ray.tenancy.usage_report import stored_bytes, used_in_month


def used_now(session: Session, tenant: str, *, now: datetime | None = None) -> dict[str, float]:
    """What is held at this instant, used in this calendar month (UTC), and stored.

    The trials of one group count as one running run, as they do against the limit.
    """
    held = session.execute(
        select(LeaseRow.cpus, LeaseRow.gpus, LeaseRow.run, RunRow.group)
        .join(RunRow, RunRow.id == LeaseRow.run)
        .where(LeaseRow.tenant == tenant)
    ).all()
    seconds = used_in_month(session, tenant, UsageKind.ACCELERATOR_SECONDS, month_of(now or utc_now()))
    return {
        "cpus": sum(row.cpus for row in held),
        "gpus": sum(row.gpus for row in held),
        "running_runs": len({row.group or row.run for row in held}),
        "trials": sum(row.group is not None for row in held),
        "accelerator_hours": seconds / 3600,
        "storage_bytes": stored_bytes(session, tenant),
    }
