"""Keys that require audio, and tokens as something that is used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CHECK = "ck_usage_usagekind"
KINDS = (
    "kind IN ('accelerator_seconds', 'cpu_seconds', 'storage_bytes', 'requests', 'audio_seconds', 'prompt_tokens', "
    "'completion_tokens')"
)
COLUMNS = "id, tenant, run, kind, key, amount, month, started_at, ended_at"


def upgrade() -> None:
    """Keys that are there require nothing; what was used stays as it is."""
    op.add_column("api_keys", sa.Column("require_audio", sa.Boolean(), nullable=False, server_default=sa.false()))
    if op.get_bind().dialect.name == "sqlite":
        _copy_usage()
    else:
        op.drop_constraint(op.f(CHECK), "usage", type_="check")
        op.create_check_constraint(op.f(CHECK), "usage", KINDS)


def _copy_usage() -> None:
    """SQLite changes no constraint of a table that is there; its triggers and indices go with the old one."""
    op.create_table(
        "usage_0004",
        sa.Column("id", COUNTER, nullable=False),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("run", sa.String(200)),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        sa.CheckConstraint(KINDS, name=op.f(CHECK)),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_usage_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage")),
        sa.UniqueConstraint("tenant", "kind", "key", name=op.f("uq_usage_tenant_kind_key")),
        sqlite_autoincrement=True,
    )
    op.execute(f"INSERT INTO usage_0004 ({COLUMNS}) SELECT {COLUMNS} FROM usage ORDER BY id")  # noqa: S608 - fixed
    op.drop_table("usage")
    op.rename_table("usage_0004", "usage")
    op.create_index("ix_usage_tenant_kind_month", "usage", ["tenant", "kind", "month"])
    op.create_index("ix_usage_run_kind_ended_at", "usage", ["run", "kind", "ended_at"])
    refuse = "BEGIN SELECT RAISE(ABORT, 'usage is append-only'); END"
    op.execute(f"CREATE TRIGGER usage_no_update BEFORE UPDATE ON usage {refuse}")
    op.execute(f"CREATE TRIGGER usage_no_delete BEFORE DELETE ON usage {refuse}")
    same = "id = NEW.id OR (tenant = NEW.tenant AND kind = NEW.kind AND key = NEW.key)"
    condition = f"WHEN EXISTS (SELECT 1 FROM usage WHERE {same})"  # noqa: S608 - fixed
    op.execute(f"CREATE TRIGGER usage_no_replace BEFORE INSERT ON usage {condition} {refuse}")
