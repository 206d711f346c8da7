"""Limits per minute hold in every minute, and free when they say."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from coat_ray.tenancy.errors import TenantNotFound
from coat_ray.tenancy.quotas import Quota, set_quota
from coat_ray.tenancy.rates import take
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.tables import RateRow

from .conftest import NOW

MINUTE = timedelta(minutes=1)


@pytest.fixture
def limit(database):
    def change(**limits):
        with database.begin() as session:
            set_quota(session, "speech", Quota(**limits), actor=PLATFORM)
            session.execute(delete(RateRow))

    return change


def test_a_minute_takes_as_many_requests_as_it_may_and_no_more(database, limit):
    limit(requests_per_minute=3)
    assert [take(database, "speech", now=NOW) is None for _ in range(5)] == [True, True, True, False, False]
    assert take(database, "music", now=NOW) is None


def test_a_denial_frees_when_it_says_and_not_before(database, limit):
    limit(requests_per_minute=1)
    take(database, "speech", now=NOW)
    denial = take(database, "speech", now=NOW + timedelta(seconds=30))
    assert (denial.limit, denial.allowed, denial.used, denial.wanted) == ("requests_per_minute", 1, 1, 1)
    assert denial.retry_after_s(NOW + timedelta(seconds=30)) == 31
    assert take(database, "speech", now=denial.frees_at - timedelta(microseconds=1)) is not None
    assert take(database, "speech", now=denial.frees_at) is None


def test_what_is_denied_is_not_counted(database, limit):
    limit(requests_per_minute=10, audio_seconds_per_minute=60)
    assert take(database, "speech", audio_seconds=50, now=NOW) is None
    for _ in range(3):
        assert take(database, "speech", audio_seconds=20, now=NOW).limit == "audio_seconds_per_minute"
    assert take(database, "speech", audio_seconds=10, now=NOW) is None


def test_a_clip_longer_than_a_minute_allows_can_never_be_sent(database, limit):
    limit(audio_seconds_per_minute=60)
    denial = take(database, "speech", audio_seconds=90, now=NOW)
    assert denial.hopeless
    assert denial.sentence.endswith("ask for less, or the platform owner for a higher limit")


def test_a_tenth_of_a_second_ten_times_is_a_second(database, limit):
    limit(audio_seconds_per_minute=1)
    assert [take(database, "speech", audio_seconds=0.1, now=NOW) for _ in range(10)] == [None] * 10
    assert take(database, "speech", audio_seconds=0.1, now=NOW) is not None


def test_without_limits_nothing_is_written(database):
    assert take(database, "speech", audio_seconds=1e9, now=NOW) is None
    assert _num_rows(database) == 0


def test_seconds_that_count_no_more_are_removed(database, limit):
    limit(requests_per_minute=1000)
    for second in range(0, 150, 5):
        take(database, "speech", now=NOW + timedelta(seconds=second))
    assert _num_rows(database) <= 13


@pytest.mark.parametrize("amounts", [{"requests": -1}, {"audio_seconds": -0.1}, {"audio_seconds": float("nan")}])
def test_an_amount_that_would_give_something_back_is_refused(database, amounts):
    with pytest.raises(ValueError, match="both must be 0 or more"):
        take(database, "speech", **amounts)


def test_a_tenant_that_is_not_there_is_named(database):
    with pytest.raises(TenantNotFound):
        take(database, "video")


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    allowed=st.integers(1, 5),
    gaps=st.lists(st.floats(0, 40), min_size=5, max_size=12),
)
def test_no_minute_holds_more_than_its_limit_and_every_denial_keeps_its_word(database, limit, allowed, gaps):
    limit(requests_per_minute=allowed)
    now, taken = NOW, []
    for gap in gaps:
        now += timedelta(seconds=gap)
        denial = take(database, "speech", now=now)
        if denial is not None:
            assert denial.used == allowed
            now = denial.frees_at
            assert take(database, "speech", now=now) is None
        taken.append(now)
        assert sum(now - MINUTE < instant <= now for instant in taken) <= allowed


def _num_rows(database):
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(RateRow))
