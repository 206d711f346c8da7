"""A limit on the runs that wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tenants that are there keep an endless queue."""
    op.add_column("quotas", sa.Column("queued_runs", sa.Integer()))


def downgrade() -> None:
    """Take the limit away."""
    op.drop_column("quotas", "queued_runs")
