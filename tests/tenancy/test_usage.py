"""What was used counts once, however often it is reported."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coat_ray.tenancy.errors import UsageConflict
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.usage import counted_until, record_event, record_interval
from coat_ray.tenancy.usage_report import stored_bytes, usage_totals

from .conftest import NOW

GPU = UsageKind.ACCELERATOR_SECONDS
MONTHS_END = datetime(2026, 12, 1, tzinfo=UTC)


def _after(seconds):
    return NOW + timedelta(seconds=seconds)


def _interval(database, run, start, end, *, per_second=1.0, kind=GPU):
    with database.begin() as session:
        return record_interval(session, "speech", kind, run=run, start=start, end=end, per_second=per_second)


def _totals(database, **options):
    with database.read() as session:
        return usage_totals(session, **options)


def test_an_event_counts_once_under_its_key(database):
    with database.begin() as session:
        assert record_event(session, "speech", UsageKind.REQUESTS, 1, key="a", at=NOW)
        assert not record_event(session, "speech", UsageKind.REQUESTS, 1, key="a", at=_after(10))
        assert record_event(session, "speech", UsageKind.AUDIO_SECONDS, 1, key="a", at=NOW)
        assert record_event(session, "music", UsageKind.REQUESTS, 1, key="a", at=NOW)
    assert [total.requests for total in _totals(database, by=["tenant"])] == [1, 1]


def test_an_event_cannot_become_another(database):
    with database.begin() as session:
        record_event(session, "speech", UsageKind.REQUESTS, 1, key="a")
        with pytest.raises(UsageConflict, match=r"is 1\.0, and cannot become 2"):
            record_event(session, "speech", UsageKind.REQUESTS, 2, key="a")


@pytest.mark.parametrize("kind", [kind for kind in UsageKind if kind is not UsageKind.STORAGE_BYTES])
def test_only_storage_is_given_back(database, kind):
    with database.begin() as session, pytest.raises(ValueError, match="must be 0 or more"):
        record_event(session, "speech", kind, -1, key="a")


def test_storage_is_what_was_stored_less_what_was_removed(database):
    with database.begin() as session:
        record_event(session, "speech", UsageKind.STORAGE_BYTES, 2**50 + 1, key="model/a stored")
        record_event(session, "speech", UsageKind.STORAGE_BYTES, 500, key="model/b stored")
        record_event(session, "speech", UsageKind.STORAGE_BYTES, -500, key="model/b removed")
    with database.read() as session:
        assert stored_bytes(session, "speech") == 2**50 + 1
        assert stored_bytes(session, "music") == 0


def test_an_interval_counts_seconds_of_every_device(database):
    assert _interval(database, "a", NOW, _after(10), per_second=4) == 40


def test_an_interval_reported_twice_counts_once_and_a_longer_one_counts_the_rest(database):
    added = [_interval(database, "a", NOW, _after(end)) for end in (10, 10, 25)]
    assert added == [10, 0, 15]


def test_a_late_report_fills_the_gap_it_is_about(database):
    added = [_interval(database, "a", _after(a), _after(b)) for a, b in ((0, 10), (20, 30), (5, 25))]
    assert added == [10, 10, 10]


def test_runs_and_kinds_are_counted_apart(database):
    assert _interval(database, "a", NOW, _after(10)) == 10
    assert _interval(database, "b", NOW, _after(10)) == 10
    assert _interval(database, "a", NOW, _after(10), kind=UsageKind.CPU_SECONDS) == 10


def test_an_interval_over_midnight_counts_in_both_months(database):
    _interval(database, "a", MONTHS_END - timedelta(seconds=3), MONTHS_END + timedelta(seconds=7))
    months = {total.month: total.accelerator_seconds for total in _totals(database, by=["month"])}
    assert months == {"2026-11": 3, "2026-12": 7}


def test_a_meter_knows_where_it_stopped(database):
    _interval(database, "a", NOW, _after(10))
    _interval(database, "a", _after(10), _after(30))
    with database.read() as session:
        assert counted_until(session, GPU, "a") == _after(30)
        assert counted_until(session, GPU, "b") is None


@pytest.mark.parametrize(("end", "per_second"), [(-1, 1), (1, -1), (1, float("inf"))])
def test_time_does_not_run_backwards(database, end, per_second):
    with pytest.raises(ValueError, match="cannot count"):
        _interval(database, "a", NOW, _after(end), per_second=per_second)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=8))
def test_intervals_in_any_order_and_overlap_count_the_seconds_that_they_cover(database, reports):
    start = MONTHS_END - timedelta(seconds=30)  # so that a month ends among them
    run, seconds = str(uuid.uuid4()), set()
    with database.begin() as session:
        for first, length in reports:
            begin, end = start + timedelta(seconds=first), start + timedelta(seconds=first + length)
            added = record_interval(session, "speech", GPU, run=run, start=begin, end=end)
            fresh = set(range(first, first + length)) - seconds
            assert added == len(fresh)
            seconds |= fresh
        totals = {total.month: total.accelerator_seconds for total in usage_totals(session, by=["month"], run=run)}
    november = sum(second < 30 for second in seconds)
    wanted = {"2026-11": november, "2026-12": len(seconds) - november}
    assert totals == {month: amount for month, amount in wanted.items() if amount}


def test_a_total_without_events_is_no_line(database):
    assert _totals(database) == []
