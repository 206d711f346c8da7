"""What a tenant may have, as validated data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from coat_ray.tenancy import audit
from coat_ray.tenancy.errors import BadRequest, TenantNotFound
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.tables import QuotaRow, TenantRow

_MAX_BYTES = 2**63 - 1
_MAX_COUNT = 2**31 - 1


class Quota(BaseModel):
    """Limits of one tenant; None is unlimited, 0 is nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cpus: float | None = Field(None, ge=0, description="CPUs at once")
    gpus: float | None = Field(None, ge=0, description="GPUs at once; parts of one count as parts")
    running_runs: int | None = Field(None, ge=0, le=_MAX_COUNT, description="runs that hold a lease at once")
    queued_runs: int | None = Field(1000, ge=0, le=_MAX_COUNT, description="runs that wait at once")
    trials: int | None = Field(None, ge=0, le=_MAX_COUNT, description="trials of sweeps at once")
    accelerator_hours: float | None = Field(None, ge=0, description="per calendar month, UTC")
    storage_bytes: int | None = Field(None, ge=0, le=_MAX_BYTES, description="runs, models, corpora and targets")
    requests_per_minute: int | None = Field(None, ge=0, le=_MAX_COUNT, description="in any 60 seconds")
    audio_seconds_per_minute: float | None = Field(None, ge=0, description="of sent audio, in any 60 seconds")
    weight: float = Field(1.0, gt=0, description="share of a contended cluster, relative to other tenants")

    def changed(self, changes: Mapping[str, Any]) -> Quota:
        """This quota with some fields changed.

        Raises:
            BadRequest: an unknown name, with the nearest one, or a value out of range.
        """
        unknown = sorted(set(changes) - set(Quota.model_fields))
        if unknown:
            near = difflib.get_close_matches(unknown[0], Quota.model_fields, n=1, cutoff=0)
            raise BadRequest(f"no quota is called {unknown[0]!r}; did you mean {near[0]!r}?")
        try:
            return Quota.model_validate({**self.model_dump(), **changes})
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
            raise BadRequest("; ".join(wrong)) from error


def get_quota(session: Session, tenant: str) -> Quota:
    """The quota of a tenant.

    Raises:
        TenantNotFound: no such tenant.
    """
    return _to_quota(_row(session, tenant))


def all_quotas(session: Session) -> dict[str, Quota]:
    """Every open tenant's quota, by name: what a fair decision needs."""
    rows = session.scalars(
        select(QuotaRow).join(TenantRow).where(TenantRow.closed_at.is_(None)).order_by(QuotaRow.tenant)
    )
    return {row.tenant: _to_quota(row) for row in rows}


def set_quota(session: Session, tenant: str, quota: Quota, *, actor: Principal, now: datetime | None = None) -> None:
    """Give a tenant other limits; what already runs goes on.

    Raises:
        Forbidden: the actor does not own the platform.
        TenantNotFound: no such tenant.
    """
    actor.require(Role.OWNER, None, "set quotas")
    row = _row(session, tenant)
    before = {name: getattr(row, name) for name in Quota.model_fields}
    after = quota.model_dump()
    for name, value in after.items():
        setattr(row, name, value)
    detail = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
    audit.record(session, actor, "quota.set", f"tenant/{tenant}", tenant=tenant, detail=detail, now=now)


def _to_quota(row: QuotaRow) -> Quota:
    return Quota.model_validate({name: getattr(row, name) for name in Quota.model_fields})


def _row(session: Session, tenant: str) -> QuotaRow:
    row = session.get(QuotaRow, tenant)
    if row is None:
        raise TenantNotFound(tenant, session.scalars(select(TenantRow.name)))
    return row
