"""What requests use is counted once, whatever happens between counting and writing."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import SQLAlchemyError

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.times import month_of, utc_now
from coat_ray.tenancy.usage_count import UsageCount
from coat_ray.tenancy.usage_report import used_in_month


def used(database: Database, tenant: str, kind: UsageKind = UsageKind.REQUESTS) -> float:
    with database.read() as session:
        return used_in_month(session, tenant, kind, month_of(utc_now()))


def test_what_two_processes_count_adds_up_by_tenant(database: Database) -> None:
    one, other = UsageCount(), UsageCount()
    for count in (one, other, one):
        count.add("speech", UsageKind.REQUESTS)
    one.add("music", UsageKind.REQUESTS)
    for count in (one, other, one, other):
        count.write(database)
    one.add("speech", UsageKind.REQUESTS)
    one.write(database)
    assert (used(database, "speech"), used(database, "music")) == (4, 1)


def test_what_could_not_be_written_is_kept_for_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = UsageCount()
    count.add("speech", UsageKind.REQUESTS)
    with monkeypatch.context() as broken:
        broken.setattr(Database, "begin", lambda self: (_ for _ in ()).throw(SQLAlchemyError("gone")))
        with pytest.raises(SQLAlchemyError):
            count.write(database)
    count.add("speech", UsageKind.REQUESTS)
    count.write(database)
    assert used(database, "speech") == 2


def test_seconds_and_tokens_add_up_beside_the_requests(database: Database) -> None:
    count = UsageCount()
    for seconds in (0.1, 0.2, 2.5):
        count.add("speech", UsageKind.REQUESTS)
        count.add("speech", UsageKind.AUDIO_SECONDS, seconds)
        count.add("speech", UsageKind.PROMPT_TOKENS, 10)
    count.write(database)
    kinds = (UsageKind.REQUESTS, UsageKind.AUDIO_SECONDS, UsageKind.PROMPT_TOKENS, UsageKind.COMPLETION_TOKENS)
    assert [used(database, "speech", kind) for kind in kinds] == [3, pytest.approx(2.8), 30, 0]


def test_where_nothing_was_counted_nobody_waits_for_a_write(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "begin", lambda self: pytest.fail("a write transaction"))
    UsageCount().write(database)
