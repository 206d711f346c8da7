"""From the database to what the scheduling decision reads: the queue, the leases, the tenants' shares."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from coat_ray.tenancy.ledger_tables import LeaseRow, RunRow
from coat_ray.tenancy.limits import check_month
from coat_ray.tenancy.quotas import all_quotas, get_quota
from coat_ray.tenancy.scheduling.demand import Resources, Running, TenantShare, Waiting


def waiting(row: RunRow) -> Waiting:
    """A queued run."""
    return Waiting(**_item(row), resources=Resources(row.cpus, row.gpus), ticket=row.ticket)


def running(lease: LeaseRow, row: RunRow) -> Running:
    """A run that holds a lease."""
    return Running(
        **_item(row),
        resources=Resources(lease.cpus, lease.gpus),
        since=lease.granted_at.timestamp(),
        asked=lease.yield_asked_at is not None,
    )


def tenant_shares(session: Session, names: Iterable[str], now: datetime) -> list[TenantShare]:
    """Weights and limits; a tenant that is closed or has used up its hours is admitted nothing."""
    open_tenants = all_quotas(session)
    shares = []
    for name in sorted(names):
        quota = open_tenants.get(name) or get_quota(session, name)
        used_up = quota.accelerator_hours is not None and check_month(session, name, now=now) is not None
        shares.append(
            TenantShare(
                name=name,
                weight=quota.weight,
                max_cpus=quota.cpus,
                max_gpus=quota.gpus,
                max_runs=quota.running_runs,
                max_trials=quota.trials,
                suspended=name not in open_tenants or used_up,
            )
        )
    return shares


def _item(row: RunRow) -> dict[str, Any]:
    return {
        "run": row.id,
        "tenant": row.tenant,
        "submitted": row.submitted_at.timestamp(),
        "priority": row.priority,
        "group": row.group,
    }
