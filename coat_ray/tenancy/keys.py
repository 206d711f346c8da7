"""API keys: ``coat_<id>_<secret>``, shown once, stored as a digest.

The secret is 256 random bits. Nobody can try 2**256 of them, so plain SHA-256 is as safe as a slow hash; those are for
passwords that people choose, and would cost every request a tenth of a second. The id is public: it names the key in
listings and in the audit log, and finds the digest.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from coat_ray.tenancy import audit
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.errors import AuthenticationFailed, AuthenticationOutcome, BadRequest, KeyNotFound
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.tables import KeyRow
from coat_ray.tenancy.tenants import get_tenant
from coat_ray.tenancy.times import utc_now

USED_EVERY = timedelta(minutes=1)
"""The last use of a key is written at most this often, so that reading stays reading."""

_FORM = re.compile(r"coat_([a-z0-9]{8})_[A-Za-z0-9_-]{43}")
_ALPHABET = string.ascii_lowercase + string.digits
_NO_DIGEST = "0" * 64


@dataclass(frozen=True)
class Key:
    """What is known of a key; not its secret."""

    id: str
    tenant: str | None
    role: Role
    label: str
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    require_audio: bool = False
    """A question to a model must bring a clip."""


@dataclass(frozen=True)
class NewKey:
    """A key at the only moment when its text is known."""

    key: Key
    text: str = field(repr=False)
    """The whole of it, for the one who asked."""


def create_key(
    session: Session,
    *,
    role: Role,
    tenant: str | None,
    actor: Principal,
    label: str = "",
    expires_at: datetime | None = None,
    require_audio: bool = False,
    now: datetime | None = None,
) -> NewKey:
    """Make a key. An owner's has no tenant, all others have one.

    Raises:
        Forbidden: the actor is neither owner nor admin of that tenant, or wants an owner's key and is none.
        TenantNotFound: no such tenant.
        BadRequest: role and tenant do not fit, the tenant is closed, or it would be expired already.
    """
    actor.require(Role.OWNER if role is Role.OWNER else Role.ADMIN, tenant, f"make a key for the role {role.value}")
    now = now or utc_now()
    if (role is Role.OWNER) != (tenant is None):
        raise BadRequest(f"a key for the role {role.value} {'has no tenant' if tenant else 'needs a tenant'}")
    if tenant is not None and get_tenant(session, tenant).closed_at is not None:
        raise BadRequest(f"tenant {tenant!r} is closed and gets no new keys")
    if expires_at is not None and expires_at <= now:
        raise BadRequest(f"{expires_at.isoformat()} is past: a key must expire later than now")
    key_id = _free_id(session)
    text = f"coat_{key_id}_{secrets.token_urlsafe(32)}"
    row = KeyRow(
        id=key_id,
        tenant=tenant,
        role=role,
        label=label[:200],
        digest=_digest(text),
        created_at=now,
        expires_at=expires_at,
        require_audio=require_audio,
    )
    session.add(row)
    ends = expires_at.isoformat() if expires_at else None
    detail: dict[str, Any] = {"role": role.value, "label": label, "expires_at": ends}
    detail |= {"require_audio": True} if require_audio else {}
    audit.record(session, actor, "key.create", f"key/{key_id}", tenant=tenant, detail=detail, now=now)
    return NewKey(_to_key(row), text)


def revoke_key(session: Session, key_id: str, *, actor: Principal, now: datetime | None = None) -> Key:
    """End a key at once; a second time changes nothing.

    Raises:
        KeyNotFound: no such key, or one of another tenant, which the actor must not learn about.
        Forbidden: the actor is no admin of the key's tenant.
    """
    row = session.get(KeyRow, key_id)
    if row is None or not actor.may(Role.VIEWER, row.tenant):
        raise KeyNotFound(key_id)
    actor.require(Role.OWNER if row.role is Role.OWNER else Role.ADMIN, row.tenant, "revoke keys")
    if row.revoked_at is None:
        row.revoked_at = now or utc_now()
        audit.record(session, actor, "key.revoke", f"key/{key_id}", tenant=row.tenant, now=now)
    return _to_key(row)


def list_keys(session: Session, tenant: str | None = None) -> list[Key]:
    """The keys of one tenant, or all, oldest first."""
    wanted = select(KeyRow).order_by(KeyRow.created_at, KeyRow.id)
    rows = session.scalars(wanted if tenant is None else wanted.where(KeyRow.tenant == tenant))
    return [_to_key(row) for row in rows]


def authenticate(database: Database, text: str, *, now: datetime | None = None) -> Principal:
    """Whom a key stands for, as of now: nothing is remembered, so a key that was revoked ends with its next use.

    A key whose id is unknown costs the same look-up, digest and comparison as one whose secret is wrong.

    Raises:
        AuthenticationFailed: ``outcome`` says why, for the audit log.
    """
    now = now or utc_now()
    form = _FORM.fullmatch(text)
    if form is None:
        raise AuthenticationFailed(AuthenticationOutcome.MALFORMED)
    with database.read() as session:
        row = session.get(KeyRow, form[1])
    same = hmac.compare_digest(_digest(text), row.digest if row else _NO_DIGEST)
    if row is None or not same:
        raise AuthenticationFailed(AuthenticationOutcome.UNKNOWN, form[1])
    if row.revoked_at is not None:
        raise AuthenticationFailed(AuthenticationOutcome.REVOKED, row.id, row.tenant)
    if row.expires_at is not None and row.expires_at <= now:
        raise AuthenticationFailed(AuthenticationOutcome.EXPIRED, row.id, row.tenant)
    if row.used_at is None or row.used_at + USED_EVERY <= now:
        _note_use(database, row.id, now)
    return Principal(row.tenant, row.role, row.id, row.require_audio)


def is_in_force(session: Session, who: Principal, *, now: datetime | None = None) -> bool:
    """Whether the key of somebody who was let in would be accepted still."""
    row = session.get(KeyRow, who.key_id)
    if row is None or row.revoked_at is not None:
        return False
    return row.expires_at is None or row.expires_at > (now or utc_now())


def has_form(text: str) -> bool:
    """Whether a text could be a key at all, which costs no look-up."""
    return _FORM.fullmatch(text) is not None


def _note_use(database: Database, key_id: str, now: datetime) -> None:
    due = or_(KeyRow.used_at.is_(None), KeyRow.used_at <= now - USED_EVERY)
    with database.begin() as session:
        session.execute(update(KeyRow).where(KeyRow.id == key_id, due).values(used_at=now))


def _free_id(session: Session) -> str:
    while True:
        key_id = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        if session.get(KeyRow, key_id) is None:
            return key_id


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _to_key(row: KeyRow) -> Key:
    return Key(
        id=row.id,
        tenant=row.tenant,
        role=row.role,
        label=row.label,
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        revoked_at=row.revoked_at,
        require_audio=row.require_audio,
    )
