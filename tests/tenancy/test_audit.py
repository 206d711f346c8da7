"""The audit log keeps every change and every denial, in order, and nothing takes a line out."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from coat_ray.tenancy import audit
from coat_ray.tenancy.audit import query, refusals_recorded
from coat_ray.tenancy.denials import Denial
from coat_ray.tenancy.errors import AuthenticationFailed, Denied, TenantExists
from coat_ray.tenancy.keys import authenticate, create_key, revoke_key
from coat_ray.tenancy.roles import PLATFORM, Principal, Role
from coat_ray.tenancy.tables import Outcome, UsageKind
from coat_ray.tenancy.tenants import close_tenant, create_tenant
from coat_ray.tenancy.usage import record_event

from .conftest import NOW

ADMIN = Principal("speech", Role.ADMIN, "admin001")


def test_every_change_leaves_a_line_that_says_who_did_what(database):
    with database.begin() as session:
        key = create_key(session, role=Role.MEMBER, tenant="speech", actor=ADMIN, label="laptop", now=NOW).key
        revoke_key(session, key.id, actor=ADMIN, now=NOW)
        close_tenant(session, "music", actor=PLATFORM, now=NOW)
    closed, revoked, made = _lines(database, since=NOW)[:3]
    assert [line.action for line in (made, revoked, closed)] == ["key.create", "key.revoke", "tenant.close"]
    assert (made.actor_key, made.actor_tenant, made.actor_role) == ("admin001", "speech", "admin")
    assert (made.target, made.tenant, made.outcome) == (f"key/{key.id}", "speech", Outcome.DONE)
    assert made.detail == {"role": "member", "label": "laptop", "expires_at": None}
    assert (closed.actor_key, closed.actor_role, closed.tenant) == (None, "owner", "music")


def test_what_changed_nothing_leaves_no_line(database):
    with database.begin() as session:
        key = create_key(session, role=Role.MEMBER, tenant="speech", actor=PLATFORM).key
        for _ in range(2):
            revoke_key(session, key.id, actor=PLATFORM)
            close_tenant(session, "music", actor=PLATFORM)
    assert len(_lines(database, action="key.revoke")) == 1
    assert len(_lines(database, action="tenant.close")) == 1


def test_a_change_that_failed_leaves_no_line(database):
    def two_tenants():
        with database.begin() as session:
            create_tenant(session, "video", actor=PLATFORM)
            create_tenant(session, "speech", actor=PLATFORM)

    with pytest.raises(TenantExists):
        two_tenants()
    assert _lines(database, tenant="video") == ()


def test_a_denial_is_recorded_although_its_transaction_is_undone(database):
    def start():
        with refusals_recorded(database, ADMIN, "run.submit", "run/a"), database.begin() as session:
            create_tenant(session, "video", actor=PLATFORM)
            raise Denied(Denial("speech", "gpus", 4, 4, 1))

    with pytest.raises(Denied):
        start()
    assert _lines(database, tenant="video") == ()
    (line,) = _lines(database, outcome=Outcome.DENIED)
    assert (line.actor_key, line.tenant, line.action, line.target) == ("admin001", "speech", "run.submit", "run/a")
    assert line.reason.startswith("tenant 'speech' may have 4 GPUs at once; 4 used, 1 more wanted")
    assert (line.detail["limit"], line.detail["allowed"]) == ("gpus", 4)


def test_a_key_that_is_refused_is_recorded_with_its_exact_reason_and_without_its_secret(database):
    with database.begin() as session:
        made = create_key(session, role=Role.MEMBER, tenant="speech", actor=PLATFORM)
        revoke_key(session, made.key.id, actor=PLATFORM)
    for given in (made.text, "nonsense"):
        with pytest.raises(AuthenticationFailed), refusals_recorded(database, None, "authenticate"):
            authenticate(database, given)
    malformed, revoked = _lines(database, action="authenticate")
    assert (revoked.reason, revoked.detail, revoked.tenant) == ("revoked", {"key_id": made.key.id}, "speech")
    assert (malformed.reason, malformed.actor_key, malformed.tenant) == ("malformed", None, None)
    assert made.text[-43:] not in str(revoked)


def test_secrets_are_hidden_in_every_text_of_a_line(database):
    secret = "x" * 43
    with database.begin() as session:
        key = f"coat_ab12cd34_{secret}"
        audit.record(
            session, ADMIN, "run.submit", f"run/{key}", reason=f"why {key}", detail={"password": "hush", key: key}
        )
    (line,) = _lines(database, action="run.submit")
    assert secret not in str(line)
    assert "hush" not in str(line)


@pytest.mark.parametrize("table", ["audit", "usage"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id + 1000", "DELETE FROM {}", "replace", "TRUNCATE {}"])
def test_the_database_itself_refuses_to_change_or_remove_a_line(database, dialect, table, change):
    with database.begin() as session:
        record_event(session, "speech", UsageKind.REQUESTS, 1, key="k")
    if change == "replace":
        copy = "SELECT * FROM {0}" if dialect == "sqlite" else "SELECT * FROM {0} ON CONFLICT (id) DO UPDATE SET id = 0"
        change = ("REPLACE INTO {0} " if dialect == "sqlite" else "INSERT INTO {0} ") + copy
    elif dialect == "sqlite" and change.startswith("TRUNCATE"):
        pytest.skip("SQLite has no TRUNCATE")
    before = _rows(database, table)
    with pytest.raises(DBAPIError, match=f"{table} is append-only"), database.begin() as session:
        session.execute(text(change.format(table)))
    assert _rows(database, table) == before != []


def test_an_event_of_usage_cannot_be_replaced_under_its_key(database, dialect):
    if dialect != "sqlite":
        pytest.skip("only SQLite has REPLACE")
    with database.begin() as session:
        record_event(session, "speech", UsageKind.REQUESTS, 1, key="k")
    columns = "tenant, run, kind, key, month, started_at, ended_at, amount"
    replace = f"REPLACE INTO usage ({columns}) SELECT {columns.replace(', amount', ', 0')} FROM usage"
    with pytest.raises(DBAPIError, match="usage is append-only"), database.begin() as session:
        session.execute(text(replace))


@pytest.fixture
def many(database):
    """Forty lines, one a minute, of two actors and three actions."""
    with database.begin() as session:
        for number in range(40):
            actor = Principal("speech" if number % 2 else "music", Role.MEMBER, f"key{number % 2}")
            outcome = Outcome.DENIED if number % 5 == 0 else Outcome.DONE
            action = ["run.submit", "run.stop", "runs"][number % 3]
            now = NOW + timedelta(days=1, minutes=number)
            audit.record(session, actor, action, f"run/{number}", outcome=outcome, now=now)
    return database


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"tenant": "speech"}, lambda number: number % 2 == 1),
        ({"actor_key": "key0"}, lambda number: number % 2 == 0),
        ({"action": "run.stop"}, lambda number: number % 3 == 1),
        ({"action": "run."}, lambda number: number % 3 != 2),
        ({"target": "run/7"}, lambda number: number == 7),
        ({"outcome": Outcome.DENIED}, lambda number: number % 5 == 0),
        ({"since": NOW + timedelta(days=1, minutes=30)}, lambda number: number >= 30),
        ({"until": NOW + timedelta(days=1, minutes=30)}, lambda number: number < 30),
        ({"tenant": "speech", "action": "runs"}, lambda number: number % 6 == 5),
    ],
)
def test_filters_leave_exactly_the_lines_that_fit(many, filters, wanted):
    found = [line.target for line in _lines(many, **filters) if line.target.startswith("run/")]
    assert found == [f"run/{number}" for number in reversed(range(40)) if wanted(number)]


def test_pages_join_without_gap_or_double_while_lines_are_added(many):
    targets, before = [], None
    while True:
        with many.read() as session:
            page = query(session, since=NOW + timedelta(days=1), before=before, limit=7)
        targets += [line.target for line in page.records]
        before = page.next_before
        if before is None:
            break
        with many.begin() as session:
            audit.record(session, PLATFORM, "new", now=NOW + timedelta(days=2))
    assert targets == [f"run/{number}" for number in reversed(range(40))]


def test_a_last_page_that_is_full_is_known_to_be_the_last(many):
    with many.read() as session:
        assert query(session, since=NOW + timedelta(days=1), limit=40).next_before is None


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_a_bounded_number_of_lines(database, limit):
    with database.read() as session, pytest.raises(ValueError, match="1 to 1000"):
        query(session, limit=limit)


def _lines(database, **filters):
    with database.read() as session:
        return query(session, limit=1000, **filters).records


def _rows(database, table):
    with database.read() as session:
        return [tuple(map(str, row)) for row in session.execute(text(f"SELECT * FROM {table} ORDER BY id"))]
