"""Run by Alembic: applies migrations on the connection, and inside the transaction, that `schema.upgrade` gives."""

from __future__ import annotations

from alembic import context

from coat_ray.tenancy.columns import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
