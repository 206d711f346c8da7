"""Tenants are made, found, closed, and their names are never given twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coat_ray.tenancy.errors import AuthenticationFailed, Forbidden, TenantExists, TenantNotFound
from coat_ray.tenancy.keys import authenticate, create_key
from coat_ray.tenancy.quotas import Quota, get_quota
from coat_ray.tenancy.roles import PLATFORM, Principal, Role
from coat_ray.tenancy.tenants import _check_name, close_tenant, create_tenant, ensure_tenant, get_tenant, list_tenants

from .conftest import NOW

ADMIN = Principal("speech", Role.ADMIN, "admin001")


def test_a_new_tenant_has_the_limits_it_was_given(database):
    with database.begin() as session:
        made = create_tenant(session, "video", actor=PLATFORM, title="Video", quota=Quota(gpus=2, weight=3), now=NOW)
    with database.read() as session:
        assert get_tenant(session, "video") == made
        assert get_quota(session, "video") == Quota(gpus=2, weight=3)
        assert get_quota(session, "speech") == Quota()


def test_a_name_is_given_once_even_after_its_tenant_was_closed(database):
    with database.begin() as session:
        close_tenant(session, "speech", actor=PLATFORM)
    with pytest.raises(TenantExists, match="'speech' already, or was"), database.begin() as session:
        create_tenant(session, "speech", actor=PLATFORM)


def test_a_tenant_that_is_needed_is_made_once(database):
    with database.begin() as session:
        made = ensure_tenant(session, "default", actor=PLATFORM)
        assert ensure_tenant(session, "default", actor=PLATFORM) == made


def test_closing_a_tenant_ends_its_keys_at_once_and_leaves_the_others(database):
    with database.begin() as session:
        ours = create_key(session, role=Role.MEMBER, tenant="speech", actor=PLATFORM)
        theirs = create_key(session, role=Role.MEMBER, tenant="music", actor=PLATFORM)
    assert authenticate(database, ours.text).tenant == "speech"
    with database.begin() as session:
        close_tenant(session, "speech", actor=PLATFORM)
    with pytest.raises(AuthenticationFailed):
        authenticate(database, ours.text)
    assert authenticate(database, theirs.text).tenant == "music"
    with database.read() as session:
        assert [tenant.name for tenant in list_tenants(session)] == ["music"]
        assert [tenant.name for tenant in list_tenants(session, closed=True)] == ["music", "speech"]


def test_closing_twice_keeps_the_first_instant(database):
    with database.begin() as session:
        assert close_tenant(session, "speech", actor=PLATFORM, now=NOW).closed_at == NOW
        assert close_tenant(session, "speech", actor=PLATFORM).closed_at == NOW


def test_an_unknown_tenant_names_its_neighbours(database):
    with database.read() as session, pytest.raises(TenantNotFound, match="did you mean 'speech'"):
        get_tenant(session, "speach")


@pytest.mark.parametrize("change", [create_tenant, close_tenant])
def test_only_the_owner_of_the_platform_makes_and_closes_tenants(database, change):
    with pytest.raises(Forbidden), database.begin() as session:
        change(session, "speech", actor=ADMIN)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a/b", "..", "a.b", "a b", "a\n", "é", "a" * 64])
def test_a_name_that_could_be_a_path_or_no_dns_label_is_refused(name):
    with pytest.raises(ValueError, match="cannot name a tenant"):
        _check_name(name)


@settings(deadline=None, max_examples=25)
@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True))
def test_every_dns_label_can_name_a_tenant(name):
    _check_name(name)
