"""What the tables share: names of constraints, column shorthands, live indexes."""

from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, Index, MetaData, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Uuid = String(36)
Json: TypeEngine[Any] = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def uuid_key() -> Column[str]:
    return Column("id", Uuid, primary_key=True)


def time(name: str, *, nullable: bool = True) -> Column[Any]:
    """Microseconds since the epoch."""
    return Column(name, BigInteger, nullable=nullable)


def name_column(name: str = "name") -> Column[Any]:
    return Column(name, Text)


def live_index(name: str, *columns: Any, unique: bool = False, where: str = "deleted_at IS NULL") -> Index:
    """An index over live rows only, or with `where="1 = 1"` over all.

    The latter has no WHERE: SQLite uses a partial index only where the query implies its condition, even that one."""
    if where == "1 = 1":
        return Index(name, *columns, unique=unique)
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


def one_of(name: str, column: str, *words: str) -> CheckConstraint:
    """The column holds one of these words."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=name)
