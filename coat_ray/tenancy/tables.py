"""Tables of tenants, quotas, keys, rates, usage and audit. Those of the ledger are in `ledger_tables`.

Rows stay inside this package: its functions give frozen records.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from coat_ray.tenancy.columns import Base, Counter, Instant, Name, choice
from coat_ray.tenancy.roles import Role


class UsageKind(StrEnum):
    """What is metered. Storage comes as changes: bytes stored, and, negative, bytes removed."""

    ACCELERATOR_SECONDS = "accelerator_seconds"
    CPU_SECONDS = "cpu_seconds"
    STORAGE_BYTES = "storage_bytes"
    REQUESTS = "requests"
    AUDIO_SECONDS = "audio_seconds"
    PROMPT_TOKENS = "prompt_tokens"
    COMPLETION_TOKENS = "completion_tokens"


class Outcome(StrEnum):
    """How an action ended."""

    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


class TenantRow(Base):
    """A team. Its name is its identity: folders, models and bills carry it, so it is never changed or given again."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Instant)
    closed_at: Mapped[datetime | None] = mapped_column(Instant)


class QuotaRow(Base):
    """What a tenant may have; NULL is unlimited. Fields and units as in `quotas.Quota`."""

    __tablename__ = "quotas"
    __table_args__ = (CheckConstraint("weight > 0", name="weight"),)

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"), primary_key=True)
    cpus: Mapped[float | None]
    gpus: Mapped[float | None]
    running_runs: Mapped[int | None]
    queued_runs: Mapped[int | None]
    trials: Mapped[int | None]
    accelerator_hours: Mapped[float | None]
    storage_bytes: Mapped[int | None] = mapped_column(BigInteger)
    requests_per_minute: Mapped[int | None]
    audio_seconds_per_minute: Mapped[float | None]
    weight: Mapped[float]


class KeyRow(Base):
    """An API key without its secret: ``digest`` is the SHA-256 of the whole key."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("(role = 'owner') = (tenant IS NULL)", name="owner_has_no_tenant"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant: Mapped[str | None] = mapped_column(ForeignKey("tenants.name"), index=True)
    role: Mapped[Role] = mapped_column(choice(Role))
    label: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime | None] = mapped_column(Instant)
    used_at: Mapped[datetime | None] = mapped_column(Instant)
    revoked_at: Mapped[datetime | None] = mapped_column(Instant)
    require_audio: Mapped[bool] = mapped_column(default=False, server_default=false())


class RateRow(Base):
    """What one tenant took in one second; seconds older than a minute are removed."""

    __tablename__ = "rates"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    second: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    amount: Mapped[float]


class UsageRow(Base):
    """One metered event; the database refuses to change or remove it.

    ``key`` makes recording twice harmless. ``run`` outlives the run's own row, so it is no foreign key. Intervals carry
    both instants, lie within one month and do not overlap for one run and kind.
    """

    __tablename__ = "usage"
    __table_args__ = (
        UniqueConstraint("tenant", "kind", "key"),
        Index("ix_usage_tenant_kind_month", "tenant", "kind", "month"),
        Index("ix_usage_run_kind_ended_at", "run", "kind", "ended_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Counter, primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    run: Mapped[str | None] = mapped_column(String(200))
    kind: Mapped[UsageKind] = mapped_column(choice(UsageKind))
    key: Mapped[str] = mapped_column(String(300))
    amount: Mapped[float]
    month: Mapped[str] = mapped_column(String(7))
    started_at: Mapped[datetime] = mapped_column(Instant)
    ended_at: Mapped[datetime] = mapped_column(Instant)


class AuditRow(Base):
    """One change or denial; the database refuses to change or remove it. Names are copied, so no foreign keys."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_tenant_id", "tenant", "id"),
        Index("ix_audit_action_id", "action", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Counter, primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant)
    actor_key: Mapped[str | None] = mapped_column(String(16))
    actor_tenant: Mapped[str | None] = mapped_column(Name)
    actor_role: Mapped[str | None] = mapped_column(String(16))
    tenant: Mapped[str | None] = mapped_column(Name)
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(300))
    outcome: Mapped[Outcome] = mapped_column(choice(Outcome))
    reason: Mapped[str]
    detail: Mapped[dict[str, Any]]
