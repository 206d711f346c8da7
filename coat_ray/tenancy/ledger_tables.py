"""Tables of the ledger and of sharing: runs, leases, shares, corpora."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from coat_ray.tenancy.columns import Base, Instant, Name, choice


class RunKind(StrEnum):
    """What a run does."""

    RUN = "run"
    SWEEP = "sweep"
    SERVE = "serve"
    ENCODE = "encode"
    EVALUATE = "evaluate"


class RunState(StrEnum):
    """Where a run is. One that yielded is queued again, with one attempt more."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    YIELDING = "yielding"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


class ShareKind(StrEnum):
    """What can be shared."""

    MODEL = "model"
    CORPUS = "corpus"
    RUN = "run"


class RunRow(Base):
    """A run that somebody asked for, and what became of it."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("tenant", "idempotency_key"),  # so that a request sent twice is one run
        CheckConstraint("cpus >= 0 AND gpus >= 0", name="resources"),
        Index("ix_runs_state_submitted_at", "state", "submitted_at"),
        Index("ix_runs_tenant_submitted_at", "tenant", "submitted_at"),
    )

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    kind: Mapped[RunKind] = mapped_column(choice(RunKind))
    name: Mapped[str] = mapped_column(String(200))
    config: Mapped[dict[str, Any]]
    state: Mapped[RunState] = mapped_column(choice(RunState), default=RunState.QUEUED)
    reason: Mapped[str] = mapped_column(default="")
    """Why it waits, failed or was stopped; a sentence for its owner."""
    priority: Mapped[int] = mapped_column(Integer, default=0)
    group: Mapped[str | None] = mapped_column(String(200))
    """What belongs together, for example the trials of one sweep."""
    cpus: Mapped[float]
    gpus: Mapped[float]
    submitted_by: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    submitted_at: Mapped[datetime] = mapped_column(Instant)
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    deaths: Mapped[int] = mapped_column(Integer, default=0)
    """Attempts that ended without a word."""
    again: Mapped[bool] = mapped_column(default=True)
    """Whether the platform can start it again by itself."""
    stop: Mapped[bool] = mapped_column(default=False)
    """Somebody wants it to end, not to wait again."""
    ticket: Mapped[int | None] = mapped_column(Integer)
    """Its place among the overdue, see `fairness`."""
    result: Mapped[dict[str, Any] | None]
    ray_job_id: Mapped[str | None] = mapped_column(String(200))


class LeaseRow(Base):
    """What a run holds now; the row goes when the lease does."""

    __tablename__ = "leases"

    run: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"), index=True)
    cpus: Mapped[float]
    gpus: Mapped[float]
    trials: Mapped[int] = mapped_column(Integer, default=1)
    granted_at: Mapped[datetime] = mapped_column(Instant)
    heartbeat_at: Mapped[datetime] = mapped_column(Instant)
    yield_asked_at: Mapped[datetime | None] = mapped_column(Instant)
    token: Mapped[str] = mapped_column(String(64), unique=True)
    """Named by each heartbeat, so that a process left over from an earlier lease is known as such."""


class ShareRow(Base):
    """Something of one tenant that another may read."""

    __tablename__ = "shares"
    __table_args__ = (
        CheckConstraint("owner <> grantee", name="with_another"),
        Index(
            "uq_shares_in_force",
            "owner",
            "kind",
            "name",
            "grantee",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
        Index("ix_shares_grantee", "grantee"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    owner: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    kind: Mapped[ShareKind] = mapped_column(choice(ShareKind))
    name: Mapped[str] = mapped_column(String(300))
    grantee: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    granted_by: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    granted_at: Mapped[datetime] = mapped_column(Instant)
    revoked_at: Mapped[datetime | None] = mapped_column(Instant)


class CorpusRow(Base):
    """A corpus that a tenant registered."""

    __tablename__ = "corpora"

    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"), primary_key=True)
    name: Mapped[str] = mapped_column(Name, primary_key=True)
    path: Mapped[str]
    fingerprint: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int]
    audio_seconds: Mapped[float | None]
    storage_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    licences: Mapped[list[Any]]
    created_by: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    created_at: Mapped[datetime] = mapped_column(Instant)
