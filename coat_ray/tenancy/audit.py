"""The audit log: every change and every denial, append-only.

The database refuses to change or remove a line; whoever may alter the tables themselves could still, as with any
database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.errors import AuthenticationFailed, Refusal
from coat_ray.tenancy.redaction import redact, redact_text
from coat_ray.tenancy.roles import Principal
from coat_ray.tenancy.tables import AuditRow, Outcome
from coat_ray.tenancy.times import utc_now

MAX_PAGE = 1000
_LONGEST_REASON = 2000


@dataclass(frozen=True)
class AuditRecord:
    """One line. ``tenant`` is whom it is about, ``actor_*`` who did it (all None: nobody who was known)."""

    id: int
    at: datetime
    actor_key: str | None
    actor_tenant: str | None
    actor_role: str | None
    tenant: str | None
    action: str
    target: str
    outcome: Outcome
    reason: str
    detail: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "at": self.at.isoformat(), "outcome": self.outcome.value}


@dataclass(frozen=True)
class AuditPage:
    """Lines, newest first; give ``next_before`` as ``before`` for the page after, None: there is none."""

    records: tuple[AuditRecord, ...]
    next_before: int | None


def record(
    session: Session,
    actor: Principal | None,
    action: str,
    target: str = "",
    *,
    tenant: str | None = None,
    outcome: Outcome = Outcome.DONE,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> None:
    """Write one line in the caller's transaction, so that a change and its line are there together or not at all.

    Args:
        session: from `Database.begin`.
        actor: who; None: nobody who was known.
        action: noun and verb, for example ``key.revoke``.
        target: what, for example ``key/ab12cd34``.
        tenant: whom it is about (default: the actor's tenant).
        outcome: how it ended.
        reason: why, for a person; secrets are hidden.
        detail: plain data; secrets are hidden.
        now: the instant (default: this one).
    """
    session.add(
        AuditRow(
            at=now or utc_now(),
            actor_key=actor.key_id if actor else None,
            actor_tenant=actor.tenant if actor else None,
            actor_role=actor.role.value if actor else None,
            tenant=tenant if tenant is not None else (actor.tenant if actor else None),
            action=action,
            target=redact_text(target)[:300],
            outcome=outcome,
            reason=redact_text(reason)[:_LONGEST_REASON],
            detail=redact(detail or {}),
        )
    )


@contextmanager
def refusals_recorded(
    database: Database, actor: Principal | None, action: str, target: str = "", *, tenant: str | None = None
) -> Iterator[None]:
    """Write a line for every `Refusal` that passes, and let it pass.

    Put it around the transaction, not inside: a refusal undoes the transaction, and its line must stay.
    """
    try:
        yield
    except Refusal as refusal:
        about = refusal.tenant if isinstance(refusal, AuthenticationFailed) else tenant
        with database.begin() as session:
            record(
                session,
                actor,
                action,
                target,
                tenant=about,
                outcome=Outcome.DENIED,
                reason=refusal.reason,
                detail=refusal.detail,
            )
        raise


def query(
    session: Session,
    *,
    tenant: str | None = None,
    actor_key: str | None = None,
    action: str | None = None,
    target: str | None = None,
    outcome: Outcome | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> AuditPage:
    """Lines that fit every filter given, newest first. New lines do not move the pages.

    Args:
        session: any session.
        tenant: whom the line is about.
        actor_key: id of the key that did it.
        action: an action, or with a dot at its end all of a kind: ``key.``.
        target: what it was done to.
        outcome: how it ended.
        since: at this instant or later.
        until: before this instant.
        before: ``next_before`` of the page before.
        limit: lines on a page, 1 to 1000.

    Raises:
        ValueError: a limit out of range.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"limit {limit} is out of range: a page has 1 to {MAX_PAGE} lines")
    equal = {"tenant": tenant, "actor_key": actor_key, "target": target, "outcome": outcome}
    wanted = select(AuditRow).where(*(getattr(AuditRow, name) == value for name, value in equal.items() if value))
    if action is not None:
        kind = action.endswith(".")
        wanted = wanted.where(
            AuditRow.action.startswith(action, autoescape=True) if kind else AuditRow.action == action
        )
    if since is not None:
        wanted = wanted.where(AuditRow.at >= since)
    if until is not None:
        wanted = wanted.where(AuditRow.at < until)
    if before is not None:
        wanted = wanted.where(AuditRow.id < before)
    rows = session.scalars(wanted.order_by(AuditRow.id.desc()).limit(limit + 1)).all()
    page = tuple(_to_record(row) for row in rows[:limit])
    return AuditPage(page, page[-1].id if len(rows) > limit else None)


def _to_record(row: AuditRow) -> AuditRecord:
    return AuditRecord(
        id=row.id,
        at=row.at,
        actor_key=row.actor_key,
        actor_tenant=row.actor_tenant,
        actor_role=row.actor_role,
        tenant=row.tenant,
        action=row.action,
        target=row.target,
        outcome=row.outcome,
        reason=row.reason,
        detail=row.detail,
    )
