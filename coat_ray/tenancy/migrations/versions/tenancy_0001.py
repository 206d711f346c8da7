"""Tenants, quotas, keys, rates, usage and audit; the last two refuse changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.String(63)


def upgrade() -> None:
    """Make the tables."""
    _tenants()
    _keys()
    _usage()
    _audit()
    for table in ("usage", "audit"):
        if op.get_bind().dialect.name == "sqlite":
            _append_only_on_sqlite(table)
        else:
            _append_only_on_postgres(table)


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("name", NAME, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("closed_at", INSTANT),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tenants")),
    )
    op.create_table(
        "quotas",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("cpus", sa.Double()),
        sa.Column("gpus", sa.Double()),
        sa.Column("running_runs", sa.Integer()),
        sa.Column("trials", sa.Integer()),
        sa.Column("accelerator_hours", sa.Double()),
        sa.Column("storage_bytes", sa.BigInteger()),
        sa.Column("requests_per_minute", sa.Integer()),
        sa.Column("audio_seconds_per_minute", sa.Double()),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.CheckConstraint("weight > 0", name=op.f("ck_quotas_weight")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_quotas_tenant")),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_quotas")),
    )
    op.create_table(
        "rates",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("second", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_rates_tenant")),
        sa.PrimaryKeyConstraint("tenant", "name", "second", name=op.f("pk_rates")),
    )


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("tenant", NAME),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.Column("used_at", INSTANT),
        sa.Column("revoked_at", INSTANT),
        sa.CheckConstraint("role IN ('viewer', 'member', 'admin', 'owner')", name=op.f("ck_api_keys_role")),
        sa.CheckConstraint("(role = 'owner') = (tenant IS NULL)", name=op.f("ck_api_keys_owner_has_no_tenant")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_api_keys_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index("ix_api_keys_tenant", "api_keys", ["tenant"])


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("id", COUNTER, nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("run", sa.String(200)),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "kind IN ('accelerator_seconds', 'cpu_seconds', 'storage_bytes', 'requests', 'audio_seconds')",
            name=op.f("ck_usage_usagekind"),
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_usage_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage")),
        sa.UniqueConstraint("tenant", "kind", "key", name=op.f("uq_usage_tenant_kind_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_usage_tenant_kind_month", "usage", ["tenant", "kind", "month"])
    op.create_index("ix_usage_run_kind_ended_at", "usage", ["run", "kind", "ended_at"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", COUNTER, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor_key", sa.String(16)),
        sa.Column("actor_tenant", NAME),
        sa.Column("actor_role", sa.String(16)),
        sa.Column("tenant", NAME),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(300), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.CheckConstraint("outcome IN ('done', 'denied', 'failed')", name=op.f("ck_audit_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_tenant_id", "audit", ["tenant", "id"])
    op.create_index("ix_audit_action_id", "audit", ["action", "id"])


def _append_only_on_sqlite(table: str) -> None:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
    op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
    # REPLACE removes the old row without asking the trigger above.
    same = "id = NEW.id"
    if table == "usage":
        same += " OR (tenant = NEW.tenant AND kind = NEW.kind AND key = NEW.key)"
    condition = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 - two fixed names
    op.execute(f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} {condition} {refuse}")


def _append_only_on_postgres(table: str) -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION coat_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION coat_refuse_change()"
    )
