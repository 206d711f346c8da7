"""The same promises on SQLite and Postgres: tables as the models say, writers that wait, readers that only read."""

import stat
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, func, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from coat_ray.tenancy import ledger_tables, tables
from coat_ray.tenancy.columns import Base
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.errors import DatabaseError, TenantExists
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.tenants import create_tenant, get_tenant, list_tenants

from .conftest import NOW


def test_the_migrations_make_what_the_models_say(database):
    with database.read() as session:
        assert compare_metadata(MigrationContext.configure(session.connection()), Base.metadata) == []


def test_the_migrations_check_what_the_models_check(database, empty_url):
    models = create_engine(empty_url.replace("postgresql:", "postgresql+psycopg:"))
    Base.metadata.create_all(models)
    with database.read() as session:
        migrated = inspect(session.connection())
        for table in Base.metadata.tables:
            wanted = inspect(models).get_check_constraints(table)
            assert _names(migrated.get_check_constraints(table)) == _names(wanted)
    models.dispose()


def _names(constraints):
    return {constraint["name"] for constraint in constraints}


def test_every_value_of_every_enum_can_be_stored(database):
    with database.begin() as session:
        for kind in tables.UsageKind:
            session.add(tables.UsageRow(**_usage(kind)))
        for number, state in enumerate(ledger_tables.RunState):
            for kind in ledger_tables.RunKind:
                session.add(ledger_tables.RunRow(**_run(f"{kind}-{number}", kind=kind, state=state)))
    with database.read() as session:
        assert set(session.scalars(select(ledger_tables.RunRow.state))) == set(ledger_tables.RunState)


@pytest.mark.parametrize("column", ["kind", "state"])
def test_a_value_that_is_no_choice_is_refused_by_the_database_itself(database, column):
    with database.begin() as session:
        session.add(ledger_tables.RunRow(**_run("one")))
    with pytest.raises(IntegrityError), database.begin() as session:
        session.execute(text(f"UPDATE runs SET {column} = 'sleeping'"))


def test_a_run_asked_for_twice_under_one_key_is_one_run(database):
    with database.begin() as session:
        session.add(ledger_tables.RunRow(**_run("one", idempotency_key="k")))
        session.add(ledger_tables.RunRow(**_run("two", idempotency_key="k", tenant="music")))
        session.add_all(ledger_tables.RunRow(**_run(name)) for name in ("three", "four"))
    with pytest.raises(IntegrityError), database.begin() as session:
        session.add(ledger_tables.RunRow(**_run("five", idempotency_key="k")))


def test_a_share_is_in_force_once_and_can_be_granted_again_when_it_was_revoked(database):
    share = {"owner": "speech", "kind": "model", "name": "a", "grantee": "music", "granted_at": NOW}
    with database.begin() as session:
        session.add(ledger_tables.ShareRow(**share))
    with pytest.raises(IntegrityError), database.begin() as session:
        session.add(ledger_tables.ShareRow(**share))
    with database.begin() as session:
        session.execute(update(ledger_tables.ShareRow).values(revoked_at=NOW))
        session.add(ledger_tables.ShareRow(**share))
    with pytest.raises(IntegrityError), database.begin() as session:
        session.add(ledger_tables.ShareRow(**{**share, "grantee": "speech"}))


def test_rows_of_tenants_that_are_not_there_are_refused(database):
    with pytest.raises(IntegrityError), database.begin() as session:
        session.add(ledger_tables.RunRow(**_run("one", tenant="nobody")))


def test_a_failed_write_leaves_nothing(database):
    def two_tenants():
        with database.begin() as session:
            create_tenant(session, "video", actor=PLATFORM)
            create_tenant(session, "speech", actor=PLATFORM)

    with pytest.raises(TenantExists):
        two_tenants()
    with database.read() as session:
        assert [tenant.name for tenant in list_tenants(session)] == ["music", "speech"]


def test_a_reader_cannot_write(database):
    with pytest.raises(DBAPIError), database.read() as session:
        session.execute(text("DELETE FROM quotas"))
    with database.begin() as session:
        create_tenant(session, "video", actor=PLATFORM)


def test_a_reader_sees_one_state_while_another_writes(database):
    count = select(func.count()).select_from(tables.TenantRow)
    with database.read() as reader:
        before = reader.scalar(count)
        with database.begin() as writer:
            create_tenant(writer, "video", actor=PLATFORM)
        assert reader.scalar(count) == before
    with database.read() as reader:
        assert reader.scalar(count) == before + 1


def test_a_write_inside_a_write_is_refused_at_once_instead_of_waiting_for_itself(database):
    with database.begin() as session:
        with pytest.raises(RuntimeError, match="inside another"), database.begin():
            pass
        create_tenant(session, "video", actor=PLATFORM)
    with database.begin() as session:
        assert get_tenant(session, "video").name == "video"


def test_instants_come_back_as_they_went_in_with_microseconds_in_utc(database):
    instant = NOW.replace(microsecond=123456)
    with database.begin() as session:
        create_tenant(session, "video", actor=PLATFORM, now=instant)
    with database.read() as session:
        found = get_tenant(session, "video").created_at
    assert (found, found.utcoffset().total_seconds()) == (instant, 0)


def test_an_instant_without_a_time_zone_is_refused(database):
    with pytest.raises(StatementError, match="no time zone"), database.begin() as session:
        create_tenant(session, "video", actor=PLATFORM, now=NOW.replace(tzinfo=None))


def test_tables_of_a_newer_version_are_left_alone(empty_url):
    newer = Database.open(empty_url)
    with newer.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    newer.close()
    with pytest.raises(DatabaseError, match="newer version of coat_ray"):
        Database.open(empty_url)


def test_opening_again_keeps_everything(database, database_url):
    again = Database.open(database_url)
    with again.read() as session:
        assert [tenant.name for tenant in list_tenants(session)] == ["music", "speech"]
    again.close()


def test_without_a_url_it_is_a_private_file_in_the_storage_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("COAT_DATABASE", raising=False)
    Database.open(None, tmp_path / "new").close()
    assert stat.S_IMODE((tmp_path / "new" / "coat.db").stat().st_mode) == 0o600


def test_the_environment_names_the_database_unless_a_url_does(tmp_path, monkeypatch):
    monkeypatch.setenv("COAT_DATABASE", f"sqlite:///{tmp_path / 'stated.db'}")
    Database.open(None, tmp_path).close()
    assert (tmp_path / "stated.db").exists()
    assert not (tmp_path / "coat.db").exists()


@pytest.mark.parametrize("url", ["mysql://u:hush@h/d", "nonsense", "sqlite://", "sqlite:///:memory:", "//u:hush@h"])
def test_a_url_that_is_none_of_ours_is_refused_without_repeating_it(url):
    with pytest.raises(ValueError, match="neither postgresql://") as refused:
        Database.open(url)
    assert "hush" not in str(refused.value)


def test_neither_url_nor_folder_says_what_to_give(monkeypatch):
    monkeypatch.delenv("COAT_DATABASE", raising=False)
    with pytest.raises(ValueError, match="set COAT_DATABASE"):
        Database.open()


def test_a_server_that_does_not_answer_is_named_without_its_password():
    pytest.importorskip("psycopg")
    with pytest.raises(DatabaseError, match="cannot be opened") as failed:
        Database.open("postgresql://coat:hush@127.0.0.1:9/coat")
    assert "127.0.0.1:9" in str(failed.value)
    assert "hush" not in str(failed.value)


def test_postgres_without_its_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatabaseError, match=r"pip install 'coat-ray\[postgres\]'"):
        Database.open("postgresql://localhost/coat")


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "coat.db").write_text("once upon a time" * 100)
    with pytest.raises(DatabaseError, match=r"coat\.db.* cannot be opened: file is not a database"):
        Database.open(None, tmp_path)


def _run(name, **changes):
    settled = {"tenant": "speech", "kind": "run", "name": name, "config": {}, "cpus": 1, "gpus": 0}
    return {"id": name, **settled, "submitted_at": NOW, **changes}


def _usage(kind):
    return {
        "tenant": "speech",
        "kind": kind,
        "key": "k",
        "amount": 1.0,
        "month": "2026-11",
        "started_at": NOW,
        "ended_at": NOW,
    }
