"""Tenants: teams that share the platform and do not see each other's things."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from coat_ray.tenancy import audit
from coat_ray.tenancy.columns import NAME_LENGTH
from coat_ray.tenancy.errors import BadRequest, TenantExists, TenantNotFound
from coat_ray.tenancy.quotas import Quota
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.tables import KeyRow, QuotaRow, TenantRow
from coat_ray.tenancy.times import utc_now

_NAME = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,{NAME_LENGTH - 2}}}[a-z0-9])?")


@dataclass(frozen=True)
class Tenant:
    """One team. ``closed_at``: its keys have ended and it makes nothing new; what it left stays."""

    name: str
    title: str
    created_at: datetime
    closed_at: datetime | None = None


def create_tenant(
    session: Session,
    name: str,
    *,
    actor: Principal,
    title: str = "",
    quota: Quota | None = None,
    now: datetime | None = None,
) -> Tenant:
    """Make a tenant, without limits unless *quota* sets some.

    Raises:
        Forbidden: the actor does not own the platform.
        TenantExists: the name is taken; names of closed tenants stay taken, because folders and bills carry them.
        BadRequest: a name that cannot be a tenant's.
    """
    actor.require(Role.OWNER, None, "make tenants")
    _check_name(name)
    if session.get(TenantRow, name) is not None:
        raise TenantExists(f"there is a tenant {name!r} already, or was; choose another name")
    quota = quota or Quota()
    row = TenantRow(name=name, title=title[:200], created_at=now or utc_now(), closed_at=None)
    session.add(row)
    session.flush()
    session.add(QuotaRow(tenant=name, **quota.model_dump()))
    detail = quota.model_dump(exclude_none=True)
    audit.record(session, actor, "tenant.create", f"tenant/{name}", tenant=name, detail=detail, now=now)
    return _to_tenant(row)


def ensure_tenant(session: Session, name: str, *, actor: Principal) -> Tenant:
    """The tenant of that name, made without limits where it is missing."""
    row = session.get(TenantRow, name)
    return _to_tenant(row) if row else create_tenant(session, name, actor=actor)


def get_tenant(session: Session, name: str) -> Tenant:
    """One tenant, closed ones too.

    Raises:
        TenantNotFound: with the nearest names.
    """
    return _to_tenant(_row(session, name))


def list_tenants(session: Session, *, closed: bool = False) -> list[Tenant]:
    """Every tenant by name; closed ones only when asked for."""
    wanted = select(TenantRow).order_by(TenantRow.name)
    rows = session.scalars(wanted if closed else wanted.where(TenantRow.closed_at.is_(None)))
    return [_to_tenant(row) for row in rows]


def close_tenant(session: Session, name: str, *, actor: Principal, now: datetime | None = None) -> Tenant:
    """End all keys of a tenant at once and for good; its runs, models, usage and audit lines stay.

    Raises:
        Forbidden: the actor does not own the platform.
        TenantNotFound: with the nearest names.
    """
    actor.require(Role.OWNER, None, "close tenants")
    now = now or utc_now()
    row = _row(session, name)
    if row.closed_at is None:
        row.closed_at = now
        keys = update(KeyRow).where(KeyRow.tenant == name, KeyRow.revoked_at.is_(None)).values(revoked_at=now)
        session.execute(keys)
        audit.record(session, actor, "tenant.close", f"tenant/{name}", tenant=name, now=now)
    return _to_tenant(row)


def _row(session: Session, name: str) -> TenantRow:
    row = session.get(TenantRow, name)
    if row is None:
        raise TenantNotFound(name, session.scalars(select(TenantRow.name)))
    return row


def _to_tenant(row: TenantRow) -> Tenant:
    return Tenant(row.name, row.title, row.created_at, row.closed_at)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot name a tenant: lower-case letters, digits and hyphens inside, at most {NAME_LENGTH}"
        )
