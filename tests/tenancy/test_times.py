"""Months are calendar months in UTC."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coat_ray.tenancy.times import check_month, month_end, month_of, split_by_month

INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def test_a_month_is_that_of_utc_wherever_one_is():
    in_tokyo = datetime(2026, 12, 1, 5, tzinfo=timezone(timedelta(hours=9)))
    assert month_of(in_tokyo) == "2026-11"


def test_december_ends_with_the_year():
    assert month_end(datetime(2026, 12, 31, 23, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


@settings(deadline=None)
@given(INSTANTS, st.timedeltas(timedelta(0), timedelta(days=100)))
def test_the_pieces_of_an_interval_are_the_interval_and_each_lies_in_one_month(start, length):
    end = start + length
    pieces = list(split_by_month(start, end))
    assert sum((last - first for first, last in pieces), timedelta(0)) == length
    assert all(later == earlier for (_, earlier), (later, _) in pairwise(pieces))
    assert all(first < last <= month_end(first) for first, last in pieces)
    assert [piece[0] for piece in pieces[:1]] == ([start] if length else [])


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "November", "2026-11-01", "202611"])
def test_what_is_no_month_is_refused(month):
    with pytest.raises(ValueError, match="write it as YYYY-MM"):
        check_month(month)


def test_an_instant_needs_a_time_zone():
    with pytest.raises(ValueError, match="no time zone"):
        month_of(datetime(2026, 11, 21))
