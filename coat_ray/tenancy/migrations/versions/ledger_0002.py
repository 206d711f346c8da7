"""Runs, leases, shares and corpora."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NAME = sa.String(63)


def upgrade() -> None:
    """Make the tables."""
    _runs()
    _leases()
    _shares()
    _corpora()


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("group", sa.String(200)),
        sa.Column("cpus", sa.Double(), nullable=False),
        sa.Column("gpus", sa.Double(), nullable=False),
        sa.Column("submitted_by", sa.String(16)),
        sa.Column("submitted_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT),
        sa.Column("ended_at", INSTANT),
        sa.Column("idempotency_key", sa.String(200)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.Column("stop", sa.Boolean(), nullable=False),
        sa.Column("ticket", sa.Integer()),
        sa.Column("result", sa.JSON()),
        sa.Column("ray_job_id", sa.String(200)),
        sa.CheckConstraint(
            "kind IN ('run', 'sweep', 'serve', 'encode', 'evaluate')",
            name=op.f("ck_runs_runkind"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'starting', 'running', 'yielding', 'done', 'failed', 'stopped')",
            name=op.f("ck_runs_runstate"),
        ),
        sa.CheckConstraint("cpus >= 0 AND gpus >= 0", name=op.f("ck_runs_resources")),
        sa.ForeignKeyConstraint(["submitted_by"], ["api_keys.id"], name=op.f("fk_runs_submitted_by")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_runs_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("tenant", "idempotency_key", name=op.f("uq_runs_tenant_idempotency_key")),
    )
    op.create_index("ix_runs_state_submitted_at", "runs", ["state", "submitted_at"])
    op.create_index("ix_runs_tenant_submitted_at", "runs", ["tenant", "submitted_at"])


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("run", sa.String(200), nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("cpus", sa.Double(), nullable=False),
        sa.Column("gpus", sa.Double(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("granted_at", INSTANT, nullable=False),
        sa.Column("heartbeat_at", INSTANT, nullable=False),
        sa.Column("yield_asked_at", INSTANT),
        sa.Column("token", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_leases_run")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_leases_tenant")),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_leases")),
        sa.UniqueConstraint("token", name=op.f("uq_leases_token")),
    )
    op.create_index("ix_leases_tenant", "leases", ["tenant"])


def _shares() -> None:
    op.create_table(
        "shares",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("grantee", NAME, nullable=False),
        sa.Column("granted_by", sa.String(16)),
        sa.Column("granted_at", INSTANT, nullable=False),
        sa.Column("revoked_at", INSTANT),
        sa.CheckConstraint("kind IN ('model', 'corpus', 'run')", name=op.f("ck_shares_sharekind")),
        sa.CheckConstraint("owner <> grantee", name=op.f("ck_shares_with_another")),
        sa.ForeignKeyConstraint(["granted_by"], ["api_keys.id"], name=op.f("fk_shares_granted_by")),
        sa.ForeignKeyConstraint(["grantee"], ["tenants.name"], name=op.f("fk_shares_grantee")),
        sa.ForeignKeyConstraint(["owner"], ["tenants.name"], name=op.f("fk_shares_owner")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shares")),
    )
    op.create_index("ix_shares_grantee", "shares", ["grantee"])
    op.create_index(
        "uq_shares_in_force",
        "shares",
        ["owner", "kind", "name", "grantee"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )


def _corpora() -> None:
    op.create_table(
        "corpora",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("audio_seconds", sa.Double()),
        sa.Column("storage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("licences", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(16)),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["api_keys.id"], name=op.f("fk_corpora_created_by")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_corpora_tenant")),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_corpora")),
    )
