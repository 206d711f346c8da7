"""Quotas are validated data that only the owner of the platform changes."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coat_ray.tenancy.audit import query
from coat_ray.tenancy.errors import Forbidden, TenantNotFound
from coat_ray.tenancy.quotas import Quota, all_quotas, get_quota, set_quota
from coat_ray.tenancy.roles import PLATFORM, Principal, Role
from coat_ray.tenancy.tenants import close_tenant

AMOUNTS = st.none() | st.floats(0, 1e12)
COUNTS = st.none() | st.integers(0, 2**31 - 1)
QUOTAS = st.builds(
    Quota,
    cpus=AMOUNTS,
    gpus=AMOUNTS,
    running_runs=COUNTS,
    trials=COUNTS,
    accelerator_hours=AMOUNTS,
    storage_bytes=st.none() | st.integers(0, 2**63 - 1),
    requests_per_minute=COUNTS,
    audio_seconds_per_minute=AMOUNTS,
    weight=st.floats(1e-6, 1e6),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(QUOTAS)
def test_every_quota_comes_back_as_it_was_set(database, quota):
    with database.begin() as session:
        set_quota(session, "speech", quota, actor=PLATFORM)
    with database.read() as session:
        assert get_quota(session, "speech") == quota
        assert get_quota(session, "music") == Quota()


@pytest.mark.parametrize("name", [name for name in Quota.model_fields if name != "weight"])
@pytest.mark.parametrize("value", [-1, math.inf, math.nan, "many"])
def test_what_is_no_amount_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Quota(**{name: value})


@pytest.mark.parametrize("weight", [0, -1, math.inf, None])
def test_a_weight_is_more_than_nothing(weight):
    with pytest.raises(ValueError, match="weight"):
        Quota(weight=weight)


def test_one_limit_changes_and_the_others_stay():
    assert Quota(gpus=2, cpus=8).changed({"gpus": None, "weight": 2}) == Quota(cpus=8, weight=2)


def test_a_changed_limit_is_validated_like_a_new_one():
    with pytest.raises(ValueError, match="gpus"):
        Quota().changed({"gpus": -1})


def test_an_unknown_limit_names_the_nearest():
    with pytest.raises(ValueError, match="no quota is called 'gpu'; did you mean 'gpus'"):
        Quota().changed({"gpu": 1})


def test_a_change_says_in_the_audit_log_what_was_and_what_is(database):
    with database.begin() as session:
        set_quota(session, "speech", Quota(gpus=4), actor=PLATFORM)
        set_quota(session, "speech", Quota(gpus=2, trials=3), actor=PLATFORM)
    with database.read() as session:
        (last, _) = query(session, action="quota.set").records
    assert (last.tenant, last.detail) == ("speech", {"gpus": [4.0, 2.0], "trials": [None, 3]})


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MEMBER, Role.VIEWER])
def test_a_tenant_does_not_set_its_own_limits(database, role):
    with pytest.raises(Forbidden), database.begin() as session:
        set_quota(session, "speech", Quota(), actor=Principal("speech", role, "k"))


def test_quotas_are_those_of_tenants_that_are_there(database):
    with database.begin() as session:
        set_quota(session, "music", Quota(gpus=1), actor=PLATFORM)
        close_tenant(session, "speech", actor=PLATFORM)
    with database.read() as session:
        assert all_quotas(session) == {"music": Quota(gpus=1)}
        with pytest.raises(TenantNotFound):
            get_quota(session, "video")
