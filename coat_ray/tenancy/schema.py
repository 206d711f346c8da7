"""Bringing the tables of a database up to date, through Alembic."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from coat_ray.tenancy.errors import DatabaseError


def is_current(connection: Connection) -> bool:
    """Whether the tables are those that this version of the code expects.

    Raises:
        DatabaseError: a newer version of the code made them.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in _scripts().walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseError(
            f"this database was made by a newer version of coat_ray (its tables are at {found!r}); install that version"
        )
    return found == _scripts().get_current_head()


def upgrade(connection: Connection) -> None:
    """Apply every migration that is missing, inside the transaction that *connection* is in: all of them or none."""
    if not is_current(connection):  # another process may have been first
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
