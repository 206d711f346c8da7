"""Grants: what one tenant lets another read, until it takes that back.

Whether the thing is there, and whether its terms let it be shared, is asked by whoever knows such things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from coat_ray.tenancy import audit
from coat_ray.tenancy.errors import BadRequest, Refusal, TenantNotFound
from coat_ray.tenancy.ledger_tables import ShareKind, ShareRow
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.tables import TenantRow
from coat_ray.tenancy.times import utc_now


class ShareNotFound(LookupError):
    """No share of that id that the asker may see."""

    def __init__(self, share_id: int) -> None:
        super().__init__(f"no share {share_id}; `coat shares list` shows what there is")


class SharingRefused(Refusal):
    """The terms of a thing stand against sharing it."""


class StillShared(ValueError):
    """What others may read is not removed under them."""


@dataclass(frozen=True)
class Share:
    """One grant; ``name`` is the thing's within its owner, for a model ``name@version``."""

    id: int
    owner: str
    kind: ShareKind
    name: str
    grantee: str
    granted_by: str | None
    granted_at: datetime
    revoked_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for an API's answer."""
        return {
            "id": self.id,
            "owner": self.owner,
            "kind": self.kind.value,
            "name": self.name,
            "with": self.grantee,
            "granted_at": self.granted_at.isoformat(),
            "revoked_at": self.revoked_at.isoformat() if self.revoked_at else None,
        }


def grant(
    session: Session,
    owner: str,
    kind: ShareKind,
    name: str,
    grantee: str,
    *,
    actor: Principal,
    detail: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> Share:
    """Let *grantee* read a thing of *owner*. Granted again while it is in force, it is the same grant.

    Args:
        session: from `Database.begin`.
        owner: whose.
        kind: what it is.
        name: which; the caller has made sure that it is there.
        grantee: with whom.
        actor: who grants.
        detail: for the audit log, for example the terms that were accepted with it.
        now: the instant (default: this one).

    Raises:
        Forbidden: the actor is no admin of the owning tenant.
        TenantNotFound: nobody to share with, or a tenant that was closed.
        BadRequest: with itself.
    """
    actor.require(Role.ADMIN, owner, f"share a {kind.value}")
    if owner == grantee:
        raise BadRequest(f"{name!r} is {owner}'s own; name another tenant to share it with")
    other = session.get(TenantRow, grantee)
    if other is None or other.closed_at is not None:
        raise TenantNotFound(grantee)  # without its neighbours: tenants are not shown to each other
    row = session.scalar(select(ShareRow).where(_names(owner, kind, name), ShareRow.grantee == grantee, _in_force()))
    if row is None:
        now = now or utc_now()
        row = ShareRow(
            owner=owner, kind=kind, name=name, grantee=grantee, granted_by=actor.key_id, granted_at=now, revoked_at=None
        )
        session.add(row)
        session.flush()
        audit.record(
            session,
            actor,
            "share.grant",
            f"{kind.value}/{name}",
            tenant=owner,
            detail={"share": row.id, "with": grantee, **(detail or {})},
            now=now,
        )
    return _to_share(row)


def revoke(session: Session, share_id: int, *, actor: Principal, now: datetime | None = None) -> Share:
    """End a grant at once; a second time changes nothing.

    Raises:
        ShareNotFound: no such grant, or one between other tenants, which the actor must not learn about.
        Forbidden: the actor is no admin of the owning tenant.
    """
    row = session.get(ShareRow, share_id)
    if row is None or not (actor.may(Role.VIEWER, row.owner) or actor.may(Role.VIEWER, row.grantee)):
        raise ShareNotFound(share_id)
    actor.require(Role.ADMIN, row.owner, "end shares")
    if row.revoked_at is None:
        row.revoked_at = now or utc_now()
        detail = {"share": row.id, "with": row.grantee}
        audit.record(
            session, actor, "share.revoke", f"{row.kind.value}/{row.name}", tenant=row.owner, detail=detail, now=now
        )
    return _to_share(row)


def shares_of(session: Session, owner: str | None = None) -> list[Share]:
    """What a tenant shares now (None: what every tenant does), oldest first."""
    return _listed(session, *([ShareRow.owner == owner] if owner else []))


def shared_with(session: Session, grantee: str) -> list[Share]:
    """What a tenant may read of others now, oldest first."""
    return _listed(session, ShareRow.grantee == grantee)


def is_shared(session: Session, owner: str, kind: ShareKind, name: str, grantee: str) -> bool:
    """Whether *grantee* may read it now."""
    wanted = select(ShareRow.id).where(_names(owner, kind, name), ShareRow.grantee == grantee, _in_force())
    return session.scalar(wanted) is not None


def check_unshared(session: Session, owner: str, kind: ShareKind, name: str) -> None:
    """Pass what nobody else may read.

    Raises:
        StillShared: with whom it is shared.
    """
    with_whom = [share.grantee for share in shares_of(session, owner) if (share.kind, share.name) == (kind, name)]
    if with_whom:
        raise StillShared(f"{kind.value} {name!r} is shared with {', '.join(with_whom)}; end that first")


def _listed(session: Session, *conditions: ColumnElement[bool]) -> list[Share]:
    wanted = select(ShareRow).where(_in_force(), *conditions).order_by(ShareRow.id)
    return [_to_share(row) for row in session.scalars(wanted)]


def _names(owner: str, kind: ShareKind, name: str) -> ColumnElement[bool]:
    return (ShareRow.owner == owner) & (ShareRow.kind == kind) & (ShareRow.name == name)


def _in_force() -> ColumnElement[bool]:
    return ShareRow.revoked_at.is_(None)


def _to_share(row: ShareRow) -> Share:
    return Share(
        id=row.id,
        owner=row.owner,
        kind=row.kind,
        name=row.name,
        grantee=row.grantee,
        granted_by=row.granted_by,
        granted_at=row.granted_at,
        revoked_at=row.revoked_at,
    )
