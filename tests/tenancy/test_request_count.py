"""Requests are counted once, whatever happens between counting and writing."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import SQLAlchemyError

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.request_count import RequestCount
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.times import month_of, utc_now
from coat_ray.tenancy.usage_report import used_in_month


def used(database: Database, tenant: str) -> float:
    with database.read() as session:
        return used_in_month(session, tenant, UsageKind.REQUESTS, month_of(utc_now()))


def test_what_two_processes_count_adds_up_by_tenant(database: Database) -> None:
    one, other = RequestCount(), RequestCount()
    for count in (one, other, one):
        count.add("speech")
    one.add("music")
    for count in (one, other, one, other):
        count.write(database)
    one.add("speech")
    one.write(database)
    assert (used(database, "speech"), used(database, "music")) == (4, 1)


def test_what_could_not_be_written_is_kept_for_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = RequestCount()
    count.add("speech")
    with monkeypatch.context() as broken:
        broken.setattr(Database, "begin", lambda self: (_ for _ in ()).throw(SQLAlchemyError("gone")))
        with pytest.raises(SQLAlchemyError):
            count.write(database)
    count.add("speech")
    count.write(database)
    assert used(database, "speech") == 2
