"""The platform's database: SQLite by default, Postgres by URL, with the same promises on both.

Writers wait for each other: a write transaction takes SQLite's write lock, or one advisory lock on Postgres, before it
reads anything. So "read, decide, write" needs no further locks, and a limit that is checked in a transaction holds.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session

from coat_ray.tenancy import schema
from coat_ray.tenancy.errors import DatabaseError

FILE = "coat.db"
WAIT_S = 60
"""How long a writer waits for the others before it gives up."""

_LOCK = 0x636F6174
"""Number of the advisory lock on Postgres: "coat"."""


class Database:
    """One database. Open it once per process, after any fork; threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = engine.execution_options(**(snapshot if engine.dialect.name == "postgresql" else {}))
        self._writer = engine.execution_options(coat_writes=True)
        self._here = threading.local()

    @classmethod
    def open(cls, url: str | None = None, storage_root: Path | str | None = None) -> Database:
        """Open the database and bring its tables up to date; safe in many processes at once.

        Args:
            url: ``postgresql://…`` or ``sqlite:///…``; None: ``$COAT_DATABASE``, else ``coat.db`` in *storage_root*.
            storage_root: folder for the SQLite file, made where it is missing.

        Raises:
            ValueError: neither URL nor folder, or a URL that is none of ours.
            DatabaseError: no driver, no answer, or tables of a newer version.
        """
        place = _place(url or os.environ.get("COAT_DATABASE"), storage_root)
        database = cls(_engine(place))
        try:
            if place.get_backend_name() == "sqlite":
                _prepare_file(database._engine, Path(str(place.database)))
            database._upgrade()
        except (DBAPIError, sqlite3.Error, OSError) as error:
            database.close()
            why = error.orig if isinstance(error, DBAPIError) else error
            raise DatabaseError(f"{database} cannot be opened: {str(why).strip()}") from None
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A session that may write. Committed at the end, undone by any exception. Other writers wait: be brief."""
        with self._alone(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the database and cannot write."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """A second write inside a first would wait for it until time runs out; say so at once."""
        if getattr(self._here, "writing", False):
            raise RuntimeError("a write transaction inside another of the same thread; pass the session on instead")
        self._here.writing = True
        try:
            yield
        finally:
            self._here.writing = False

    def _upgrade(self) -> None:
        with self._reader.connect() as connection:
            if schema.is_current(connection):
                return
        with self._alone(), self._writer.begin() as connection:
            schema.upgrade(connection)

    def __repr__(self) -> str:
        return f"Database({self._engine.url.render_as_string(hide_password=True)})"


def _place(text: str | None, storage_root: Path | str | None) -> URL:
    if not text:
        if storage_root is None:
            raise ValueError("no database: give a URL, set COAT_DATABASE, or name the storage folder")
        return URL.create("sqlite", database=str(Path(storage_root).expanduser().absolute() / FILE))
    try:
        url = make_url(text)
        kind = url.get_backend_name()
    except ArgumentError:  # its text may carry the password
        kind = ""
    if kind in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and url.database and url.database != ":memory:":
        return url.set(drivername="sqlite", database=str(Path(url.database).absolute()))
    raise ValueError("COAT_DATABASE is neither postgresql://user:password@host/name nor sqlite:////folder/file.db")


def _engine(place: URL) -> Engine:
    # Parameters are hidden, because a failing statement would otherwise print digests of keys.
    if place.get_backend_name() == "sqlite":
        engine = create_engine(place, hide_parameters=True, connect_args={"timeout": WAIT_S})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(place, hide_parameters=True, pool_pre_ping=True, connect_args={"connect_timeout": 15})
    except ImportError as error:
        raise DatabaseError(
            f"a Postgres database needs the driver psycopg, which is not here ({error}); "
            "install it with: pip install 'coat-ray[postgres]'"
        ) from None
    event.listen(engine, "begin", _begin_postgres)
    return engine


def _prepare_file(engine: Engine, file: Path) -> None:
    """Make the file private and switch it to write-ahead logging, which lets readers read while one writes.

    One process at a time, because the switch does not wait for a lock as everything else does.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{file}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file.touch(mode=0o600)
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin or commit by itself
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("coat_writes", False)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgres(connection: Connection) -> None:
    if connection.get_execution_options().get("coat_writes", False):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_S}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
