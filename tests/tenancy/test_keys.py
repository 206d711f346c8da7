"""Keys open what they should until they end, and their text is nowhere but in the hands of who asked."""

import hmac
import logging
import re
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from coat_ray.tenancy import keys
from coat_ray.tenancy.audit import query
from coat_ray.tenancy.errors import AuthenticationFailed, AuthenticationOutcome, Forbidden, KeyNotFound, TenantNotFound
from coat_ray.tenancy.keys import authenticate, create_key, list_keys, revoke_key
from coat_ray.tenancy.roles import PLATFORM, Principal, Role
from coat_ray.tenancy.tables import KeyRow

from .conftest import NOW

ADMIN = Principal("speech", Role.ADMIN, "admin001")


@pytest.fixture
def new_key(database):
    def make(role=Role.MEMBER, tenant="speech", **options):
        with database.begin() as session:
            return create_key(session, role=role, tenant=tenant, **{"actor": PLATFORM, "now": NOW, **options})

    return make


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.ADMIN])
def test_a_key_stands_for_its_tenant_and_role(database, new_key, role):
    made = new_key(role)
    assert authenticate(database, made.text) == Principal("speech", role, made.key.id)


def test_a_key_can_require_audio_and_its_listing_and_record_say_so(database, new_key):
    made, other = new_key(require_audio=True), new_key()
    assert authenticate(database, made.text) == Principal("speech", Role.MEMBER, made.key.id, require_audio=True)
    assert not authenticate(database, other.text).require_audio
    with database.read() as session:
        required = {key.id: key.require_audio for key in list_keys(session, "speech")}
        details = [record.detail.get("require_audio") for record in query(session, action="key.create").records]
    assert required == {made.key.id: True, other.key.id: False}
    assert sorted(details, key=bool) == [None, True]


def test_an_owners_key_has_no_tenant(database, new_key):
    made = new_key(Role.OWNER, None)
    assert authenticate(database, made.text) == Principal(None, Role.OWNER, made.key.id)


def test_a_key_is_readable_and_carries_256_bits(new_key):
    made = new_key()
    assert re.fullmatch(r"coat_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", made.text)
    assert made.text.split("_")[1] == made.key.id
    assert made.text != new_key().text


def test_what_does_not_look_like_a_key_is_malformed(database):
    for text in ("", "coat_", "Bearer x", "coat_abcdefgh_short", "coat_ABCDEFGH_" + "a" * 43, "é" * 60):
        assert _outcome(database, text) == (AuthenticationOutcome.MALFORMED, None)


def test_a_key_with_something_behind_it_is_malformed(database, new_key):
    assert _outcome(database, new_key().text + "\n")[0] is AuthenticationOutcome.MALFORMED


def test_an_unknown_id_and_a_wrong_secret_are_the_same_to_the_asker(database, new_key):
    made = new_key()
    wrong = made.text[:-1] + ("A" if made.text[-1] != "A" else "B")
    unknown = "coat_zzzzzzzz_" + made.text[-43:]
    assert _outcome(database, wrong) == (AuthenticationOutcome.UNKNOWN, made.key.id)
    assert _outcome(database, unknown) == (AuthenticationOutcome.UNKNOWN, "zzzzzzzz")


def test_an_unknown_id_is_compared_like_a_known_one(database, new_key, monkeypatch):
    compared = []

    class Watched:
        @staticmethod
        def compare_digest(mine, stored):
            compared.append((len(mine), len(stored)))
            return hmac.compare_digest(mine, stored)

    monkeypatch.setattr(keys, "hmac", Watched)
    authenticate(database, new_key().text)
    _outcome(database, "coat_zzzzzzzz_" + "a" * 43)
    assert compared == [(64, 64), (64, 64)]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.integers(14, 56), letter=st.sampled_from("abcXYZ019_-"))
def test_no_key_with_another_letter_opens_anything(database, new_key, position, letter):
    text = new_key().text
    changed = text[:position] + letter + text[position + 1 :]
    if changed != text:
        assert _outcome(database, changed)[0] is AuthenticationOutcome.UNKNOWN


def test_a_revoked_key_ends_with_its_next_use(database, new_key):
    made = new_key()
    authenticate(database, made.text)
    with database.begin() as session:
        assert revoke_key(session, made.key.id, actor=ADMIN, now=NOW).revoked_at == NOW
    assert _outcome(database, made.text) == (AuthenticationOutcome.REVOKED, made.key.id)
    with database.begin() as session:
        assert revoke_key(session, made.key.id, actor=ADMIN).revoked_at == NOW


def test_a_key_ends_at_its_instant_and_not_before(database, new_key):
    made = new_key(expires_at=NOW + timedelta(hours=1))
    just_before = NOW + timedelta(hours=1) - timedelta(microseconds=1)
    assert authenticate(database, made.text, now=just_before).key_id == made.key.id
    assert _outcome(database, made.text, now=NOW + timedelta(hours=1))[0] is AuthenticationOutcome.EXPIRED


def test_the_last_use_is_written_at_most_once_a_minute(database, new_key):
    made = new_key()
    seen = []
    for seconds in (0, 59, 60, 61, 200):
        authenticate(database, made.text, now=NOW + timedelta(seconds=seconds))
        with database.read() as session:
            seen.append((list_keys(session, "speech")[0].used_at - NOW).total_seconds())
    assert seen == [0, 0, 60, 60, 200]


def test_a_refused_key_does_not_count_as_used(database, new_key):
    made = new_key()
    _outcome(database, made.text[:-1] + ("A" if made.text[-1] != "A" else "B"))
    with database.read() as session:
        assert list_keys(session, "speech")[0].used_at is None


def test_an_admin_makes_keys_of_the_own_tenant_only(new_key):
    assert new_key(Role.ADMIN, actor=ADMIN).key.tenant == "speech"
    with pytest.raises(Forbidden):
        new_key(tenant="music", actor=ADMIN)
    with pytest.raises(Forbidden):
        new_key(Role.OWNER, None, actor=ADMIN)
    with pytest.raises(Forbidden):
        new_key(Role.OWNER, "speech", actor=ADMIN)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
def test_members_and_viewers_make_and_revoke_no_keys(database, new_key, role):
    actor = Principal("speech", role, "member01")
    with pytest.raises(Forbidden):
        new_key(actor=actor)
    made = new_key()
    with pytest.raises(Forbidden), database.begin() as session:
        revoke_key(session, made.key.id, actor=actor)
    assert authenticate(database, made.text)


@pytest.mark.parametrize("owner", [("music", Role.MEMBER), (None, Role.OWNER)])
def test_keys_of_others_cannot_be_told_from_keys_that_are_not_there(database, new_key, owner):
    tenant, role = owner
    made = new_key(role, tenant)
    for key_id in (made.key.id, "zzzzzzzz"):
        with pytest.raises(KeyNotFound, match=f"no key '{key_id}'"), database.begin() as session:
            revoke_key(session, key_id, actor=ADMIN)
    assert authenticate(database, made.text)


@pytest.mark.parametrize(("role", "tenant"), [(Role.OWNER, "speech"), (Role.MEMBER, None)])
def test_role_and_tenant_must_fit(new_key, role, tenant):
    with pytest.raises(ValueError, match=f"a key for the role {role.value} "):
        new_key(role, tenant)


def test_a_key_for_nobody_or_for_the_past_is_refused(new_key):
    with pytest.raises(TenantNotFound, match="did you mean 'speech'"):
        new_key(tenant="speach")
    with pytest.raises(ValueError, match="is past"):
        new_key(expires_at=NOW)


def test_keys_are_listed_by_tenant(database, new_key):
    made = [new_key().key, new_key(Role.VIEWER, "music", label="demo").key, new_key(Role.OWNER, None).key]
    with database.read() as session:
        assert list_keys(session, "music") == [made[1]]
        assert {key.id for key in list_keys(session)} == {key.id for key in made}


def test_the_secret_is_in_no_repr_no_log_no_error_and_no_row(database, new_key, caplog):
    caplog.set_level(logging.DEBUG)
    made = new_key(label="demo")
    secret = made.text[-43:]
    authenticate(database, made.text)
    with pytest.raises(AuthenticationFailed) as refused:
        authenticate(database, made.text[:-1] + ("A" if made.text[-1] != "A" else "B"))
    with database.read() as session:
        row = session.scalars(select(KeyRow)).one()
        stored = [str(getattr(row, column.key)) for column in KeyRow.__table__.columns]
        logged = [str(record.to_json()) for record in query(session).records]
    shown = [repr(made), str(made), repr(refused.value), str(refused.value), str(refused.value.detail), caplog.text]
    assert not any(secret[:-1] in text for text in [*stored, *logged, *shown])


def _outcome(database, text, now=None):
    with pytest.raises(AuthenticationFailed, match="this API key is not accepted") as refused:
        authenticate(database, text, now=now)
    return refused.value.outcome, refused.value.key_id
