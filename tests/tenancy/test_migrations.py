"""A database of an older version keeps what it holds, and gets what is new."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from coat_ray.tenancy import schema
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import list_keys
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.usage import record_event
from coat_ray.tenancy.usage_report import UsageTotal, usage_totals

NOW = "2026-11-21 12:00:00"
USED = (
    "INSERT INTO usage (tenant, kind, key, amount, month, started_at, ended_at) "
    f"VALUES ('speech', 'requests', 'old', 7, '2026-11', '{NOW}', '{NOW}')"
)
REPLACED = USED.replace("(tenant,", "(id, tenant,").replace("('speech'", "(1, 'speech'")
KEY = (
    "INSERT INTO api_keys (id, tenant, role, label, digest, created_at) "
    f"VALUES ('abcdefgh', 'speech', 'viewer', '', '{'0' * 64}', '{NOW}')"
)


@pytest.fixture
def old(empty_url: str) -> str:
    """A database at 0003 with a tenant, a key and something used."""
    engine = create_engine(empty_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text(f"INSERT INTO tenants (name, title, created_at) VALUES ('speech', '', '{NOW}')"))
        connection.execute(text(USED))
        connection.execute(text(KEY))
    engine.dispose()
    return empty_url


def test_what_was_used_stays_and_tokens_can_be_added(old: str) -> None:
    database = Database.open(old)
    with database.begin() as session:
        record_event(session, "speech", UsageKind.PROMPT_TOKENS, 20, key="new")
        record_event(session, "speech", UsageKind.REQUESTS, 1, key="new")
    with database.read() as session:
        assert usage_totals(session, by=["tenant"]) == [UsageTotal("speech", requests=8, prompt_tokens=20)]
        ids = list(session.scalars(text("SELECT id FROM usage ORDER BY id")))
        assert ids == [1, 2, 3]
        assert [key.require_audio for key in list_keys(session)] == [False]
    database.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE usage SET amount = 0",
        "DELETE FROM usage",
        REPLACED,
        USED.replace("'requests'", "'sleep'"),
    ],
    ids=["update", "delete", "replace", "unknown kind"],
)
def test_the_record_of_use_still_refuses_changes(old: str, change: str) -> None:
    database = Database.open(old)
    with pytest.raises(DBAPIError), database.begin() as session:
        session.execute(text(change))
    with database.read() as session:
        assert usage_totals(session, by=["tenant"]) == [UsageTotal("speech", requests=7)]
    database.close()
