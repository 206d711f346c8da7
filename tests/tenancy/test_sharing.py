"""A grant lets one other tenant read one thing, stands in the audit log, and ends at once."""

import pytest

from coat_ray.tenancy import audit
from coat_ray.tenancy.errors import Forbidden, TenantNotFound
from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.roles import PLATFORM, Principal, Role
from coat_ray.tenancy.sharing import (
    ShareNotFound,
    StillShared,
    check_unshared,
    grant,
    is_shared,
    revoke,
    shared_with,
    shares_of,
)
from coat_ray.tenancy.tenants import close_tenant, create_tenant

from .conftest import NOW

ADMIN = Principal("speech", Role.ADMIN)
MODEL = (ShareKind.MODEL, "trial@1")


def granted(database, kind=ShareKind.MODEL, name="trial@1", *, grantee="music", actor=ADMIN, **more):
    with database.begin() as session:
        return grant(session, "speech", kind, name, grantee, actor=actor, now=NOW, **more)


def in_force(database, kind=ShareKind.MODEL, name="trial@1", *, owner="speech", grantee="music"):
    with database.read() as session:
        return is_shared(session, owner, kind, name, grantee)


def lines(database):
    with database.read() as session:
        return list(audit.query(session, action="share.").records)


def test_a_grant_is_for_this_thing_and_this_tenant_only(database):
    with database.begin() as session:
        create_tenant(session, "video", actor=PLATFORM)
    share = granted(database)
    assert in_force(database)
    assert not in_force(database, name="trial@2")
    assert not in_force(database, kind=ShareKind.RUN)
    assert not in_force(database, grantee="video")
    assert not in_force(database, owner="music", grantee="speech")
    with database.read() as session:
        assert shares_of(session, "speech") == shared_with(session, "music") == shares_of(session) == [share]
        assert shares_of(session, "music") == shared_with(session, "speech") == []


def test_granting_twice_is_one_grant_and_one_line(database):
    assert granted(database) == granted(database)
    [line] = lines(database)
    assert (line.action, line.target, line.tenant) == ("share.grant", "model/trial@1", "speech")


def test_the_terms_that_were_accepted_stand_in_the_audit_log(database):
    granted(database, detail={"non_commercial": True})
    [line] = lines(database)
    assert line.detail["with"] == "music"
    assert line.detail["non_commercial"] is True


def test_a_revoked_grant_is_over_at_once_and_can_be_given_again(database):
    share = granted(database)
    for _ in range(2):
        with database.begin() as session:
            assert revoke(session, share.id, actor=ADMIN, now=NOW).revoked_at == NOW
    assert not in_force(database)
    with database.read() as session:
        assert shares_of(session, "speech") == shared_with(session, "music") == []
    assert granted(database).id != share.id
    assert in_force(database)
    assert [line.action for line in lines(database)] == ["share.grant", "share.revoke", "share.grant"]


@pytest.mark.parametrize("actor", [Principal("speech", Role.MEMBER), Principal("music", Role.ADMIN)])
def test_only_an_admin_of_the_owning_tenant_grants(database, actor):
    with pytest.raises(Forbidden, match="to share a model takes the admin of tenant 'speech'"):
        granted(database, actor=actor)


def test_the_owner_of_the_platform_grants_and_ends_too(database):
    share = granted(database, actor=PLATFORM)
    with database.begin() as session:
        revoke(session, share.id, actor=PLATFORM)
    assert not in_force(database)


def test_who_receives_cannot_end_and_a_third_does_not_learn_of_it(database):
    share = granted(database)
    with database.begin() as session, pytest.raises(Forbidden):
        revoke(session, share.id, actor=Principal("music", Role.ADMIN))
    third = Principal("video", Role.ADMIN)
    with database.begin() as session:
        with pytest.raises(ShareNotFound) as hidden:
            revoke(session, share.id, actor=third)
        with pytest.raises(ShareNotFound) as missing:
            revoke(session, 4711, actor=third)
    assert str(hidden.value).replace(str(share.id), "X") == str(missing.value).replace("4711", "X")
    assert in_force(database)


def test_a_tenant_does_not_share_with_itself(database):
    with pytest.raises(ValueError, match="speech's own"):
        granted(database, grantee="speech")


@pytest.mark.parametrize("closed", [False, True])
def test_nobody_to_share_with_is_said_without_naming_other_tenants(database, closed):
    with database.begin() as session:
        create_tenant(session, "videos", actor=PLATFORM)
        if closed:
            create_tenant(session, "video", actor=PLATFORM)
            close_tenant(session, "video", actor=PLATFORM)
    with pytest.raises(TenantNotFound, match="no tenant 'video'") as missing:
        granted(database, grantee="video")
    assert "videos" not in str(missing.value)
    assert lines(database) == []


def test_what_is_shared_is_not_removed_under_its_readers(database):
    share = granted(database)
    with database.read() as session:
        check_unshared(session, "speech", ShareKind.MODEL, "trial@2")
        with pytest.raises(StillShared, match="model 'trial@1' is shared with music"):
            check_unshared(session, "speech", *MODEL)
    with database.begin() as session:
        revoke(session, share.id, actor=ADMIN)
        check_unshared(session, "speech", *MODEL)
