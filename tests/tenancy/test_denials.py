"""A denial says which limit, how much is used and when it frees: to a person, and to a program."""

from datetime import timedelta

import pytest

from coat_ray.tenancy.denials import UNITS, Denial
from coat_ray.tenancy.quotas import Quota

from .conftest import NOW


def test_one_sentence_says_it_all():
    denial = Denial("speech", "accelerator_hours", 100, 99.5, 2, frees_at=NOW)
    assert denial.sentence == (
        "tenant 'speech' may have 100 accelerator-hours a month; 99.5 used, 2 more wanted; "
        "this frees at 2026-11-21 12:00:00 UTC"
    )


def test_a_limit_that_no_clock_frees_says_what_has_to_happen():
    denial = Denial("speech", "storage_bytes", 10**9, 10**9, 1, frees_when="models are removed")
    assert denial.sentence.endswith("may have 1,000,000,000 bytes of storage; 1,000,000,000 used, 1 more wanted; "
                                    "this frees when models are removed")  # fmt: skip


@pytest.mark.parametrize(("allowed", "wanted"), [(4, 8), (0, 0)])
def test_what_waiting_does_not_help_promises_nothing(allowed, wanted):
    denial = Denial("speech", "gpus", allowed, 0, wanted, frees_at=NOW)
    assert denial.sentence.endswith("ask for less, or the platform owner for a higher limit")
    assert denial.fields()["frees_at"] is None
    assert denial.retry_after_s(NOW) is None


@pytest.mark.parametrize(("seconds", "after"), [(0.2, 1), (1.5, 2), (60, 60), (-5, 1)])
def test_a_client_is_told_whole_seconds_that_are_enough(seconds, after):
    denial = Denial("speech", "requests_per_minute", 10, 10, 1, frees_at=NOW + timedelta(seconds=seconds))
    assert denial.retry_after_s(NOW) == after


def test_every_limit_of_a_quota_has_a_unit():
    assert set(UNITS) == set(Quota.model_fields) - {"weight"}
