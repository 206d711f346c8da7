"""A database of its own for each test, on SQLite and, where it is installed, on Postgres."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event

from coat_ray.tenancy import ledger_tables
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.tenants import create_tenant

from .postgres import PostgresServer, serve_postgres

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the session."""
    with serve_postgres() as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Which database."""
    if request.param == "postgres":
        request.getfixturevalue("postgres_server")
    return request.param


@pytest.fixture
def empty_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a database is that was never opened."""
    if dialect == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return request.getfixturevalue("postgres_server").create_database()


@pytest.fixture(scope="session")
def prepared_url(dialect: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where a database is that has its tables; to make them takes longer than most tests."""
    if dialect == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('prepared') / 'coat.db'}"
    else:
        url = request.getfixturevalue("postgres_server").create_database()
    Database.open(url).close()
    return url


@pytest.fixture
def database_url(dialect: str, prepared_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a database is that has its tables and nothing in them."""
    if dialect == "sqlite":
        copy = shutil.copy(prepared_url.removeprefix("sqlite:///"), tmp_path / "coat.db")
        return f"sqlite:///{copy}"
    tables = ", ".join(ledger_tables.Base.metadata.tables)
    # As a replica, a superuser may empty even what is append-only; a database for each test would fill the disk.
    emptied = f"SET session_replication_role = replica; TRUNCATE {tables} RESTART IDENTITY"
    request.getfixturevalue("postgres_server").execute(prepared_url, emptied)
    return prepared_url


@pytest.fixture
def database(database_url: str, dialect: str) -> Iterator[Database]:
    """An open database with the tenants ``speech`` and ``music``."""
    database = Database.open(database_url)
    if dialect == "sqlite":
        database.close()
        event.listen(database._engine, "connect", _without_flushing)
    with database.begin() as session:
        for name in ("speech", "music"):
            create_tenant(session, name, actor=PLATFORM, now=NOW)
    yield database
    database.close()


def _without_flushing(connection, _record):
    """No test cuts the power."""
    connection.execute("PRAGMA synchronous = OFF")
