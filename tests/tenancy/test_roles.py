"""Each role reaches as far as it should, and never into another tenant."""

import pytest

from coat_ray.tenancy.errors import Forbidden
from coat_ray.tenancy.roles import PLATFORM, Principal, Role

TENANT_ROLES = [role for role in Role if role is not Role.OWNER]


@pytest.mark.parametrize("needed", TENANT_ROLES)
@pytest.mark.parametrize("role", TENANT_ROLES)
def test_a_role_does_what_lower_ones_may(role, needed):
    order = ["viewer", "member", "admin"]
    assert Principal("speech", role).may(needed, "speech") == (order.index(role) >= order.index(needed))


@pytest.mark.parametrize("role", TENANT_ROLES)
@pytest.mark.parametrize("needed", Role)
def test_nobody_reaches_into_another_tenant_or_the_platform(role, needed):
    assert not Principal("speech", role).may(needed, "music")
    assert not Principal("speech", role).may(needed, None)


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_no_role_of_a_tenant_is_an_owner_there(role):
    assert not Principal("speech", role).may(Role.OWNER, "speech")


@pytest.mark.parametrize("needed", Role)
@pytest.mark.parametrize("tenant", ["speech", None])
def test_the_owner_may_do_everything_everywhere(needed, tenant):
    assert PLATFORM.may(needed, tenant)


def test_a_refusal_names_what_it_takes():
    with pytest.raises(Forbidden, match="to make keys takes the admin of tenant 'speech'; this key is viewer of"):
        Principal("speech", Role.VIEWER).require(Role.ADMIN, "speech", "make keys")
