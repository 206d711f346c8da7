"""Accelerator-hours end with the month's budget and come back with the next; storage ends with its bytes."""

from datetime import UTC, datetime, timedelta

import pytest

from coat_ray.tenancy.limits import check_month, check_storage
from coat_ray.tenancy.quotas import Quota, set_quota
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.usage import record_event, record_interval

from .conftest import NOW

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def session(database):
    """A transaction in which tenant speech may use ten hours a month and store 1000 bytes."""
    with database.begin() as session:
        set_quota(session, "speech", Quota(accelerator_hours=10, storage_bytes=1000), actor=PLATFORM)
        yield session


def _use(session, hours, start=NOW):
    end = start + timedelta(hours=hours)
    record_interval(session, "speech", UsageKind.ACCELERATOR_SECONDS, run="a", start=start, end=end)


@pytest.mark.parametrize(("used", "wanted", "may"), [(0, 0, True), (9, 1, True), (9, 2, False), (10, 0, False)])
def test_a_month_has_as_many_hours_as_it_may(session, used, wanted, may):
    _use(session, used)
    assert (check_month(session, "speech", hours=wanted, now=NOW) is None) == may


def test_the_denial_frees_with_the_next_month(session):
    _use(session, 10)
    denial = check_month(session, "speech", now=NOW)
    assert (denial.used, denial.allowed, denial.frees_at) == (10, 10, DECEMBER)
    assert check_month(session, "speech", now=DECEMBER) is None
    assert check_month(session, "speech", now=DECEMBER - timedelta(microseconds=1)) is not None


def test_cpu_time_and_other_tenants_hours_do_not_count(session):
    end = NOW + timedelta(hours=100)
    record_interval(session, "speech", UsageKind.CPU_SECONDS, run="a", start=NOW, end=end)
    record_interval(session, "music", UsageKind.ACCELERATOR_SECONDS, run="b", start=NOW, end=end)
    assert check_month(session, "speech", hours=10, now=NOW) is None
    assert check_month(session, "music", hours=1e9, now=NOW) is None


@pytest.mark.parametrize(("stored", "wanted", "may"), [(0, 1000, True), (999, 1, True), (999, 2, False)])
def test_storage_has_as_many_bytes_as_it_may(session, stored, wanted, may):
    record_event(session, "speech", UsageKind.STORAGE_BYTES, stored, key="a")
    assert (check_storage(session, "speech", num_bytes=wanted) is None) == may
    assert check_storage(session, "music", num_bytes=10**18) is None


def test_removing_makes_room(session):
    record_event(session, "speech", UsageKind.STORAGE_BYTES, 1000, key="a stored")
    assert "frees when runs, models or corpora are removed" in check_storage(session, "speech", num_bytes=1).sentence
    record_event(session, "speech", UsageKind.STORAGE_BYTES, -1, key="b removed")
    assert check_storage(session, "speech", num_bytes=1) is None
