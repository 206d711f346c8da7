"""The declarative base of all tables, and the column types that read alike on SQLite and Postgres."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, Enum, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

NAME_LENGTH = 63
"""Longest name of a tenant, as of a DNS label: Kubernetes namespaces are named after tenants."""


class Base(DeclarativeBase):
    """Base of all tables; every constraint has a name, because a migration can only change what it can name."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        float: Double,
    }


class Instant(TypeDecorator[datetime]):
    """An instant with microseconds. Goes in with a time zone, comes out in UTC; SQLite alone would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC; naive on SQLite, whose text then sorts as the instants do."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone: give instants in UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC, whatever time zone the session has."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


Counter = BigInteger().with_variant(Integer, "sqlite")
"""A row number that counts up; SQLite counts only what it calls INTEGER."""

Name = String(NAME_LENGTH)


def choice(options: type[StrEnum]) -> Enum:
    """A text column that holds one of an enum's values, checked by the database too."""
    return Enum(
        options,
        native_enum=False,
        create_constraint=True,
        length=32,
        name=options.__name__.lower(),
        values_callable=lambda enum: [option.value for option in enum],
    )
