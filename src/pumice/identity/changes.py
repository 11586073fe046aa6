"""What creating, listing and changing share in this domain."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Boolean, ColumnElement, Select, Table
from sqlalchemy.dialects import postgresql, sqlite

from pumice.db.engine import Transaction
from pumice.errors import Conflict, InvalidField

LASTING = ("domain_id", "parent_id")
"""Where something is: clients may send it along, and it never changes."""


def changed(wanted: msgspec.Struct, noun: str, present: msgspec.Struct) -> dict[str, Any]:
    """The fields that are to change, by column. Raises InvalidField for another value of a lasting one."""
    values = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    given = {name: value for name, value in values.items() if value is not msgspec.UNSET}
    for name in LASTING:
        if name in given and (value := given.pop(name)) != getattr(present, name):
            raise InvalidField(f"{noun}.{name}", value, f"it is {getattr(present, name)} and stays so")
    return given


def row_values(record: msgspec.Struct) -> dict[str, Any]:
    """A record as values of its table."""
    return {name: getattr(record, name) for name in record.__struct_fields__}


def exact_filters(filters: Mapping[str, str], known: Mapping[str, ColumnElement[Any]]) -> list[ColumnElement[bool]]:
    """Conditions for the filters that are known; other names are ignored, as Keystone does."""
    conditions: list[ColumnElement[bool]] = []
    for name, column in known.items():
        if name not in filters:
            continue
        if isinstance(column.type, Boolean):
            conditions.append(column.is_(filters[name].lower() not in ("0", "false", "no", "off")))
        else:
            conditions.append(column == filters[name])
    return conditions


def insert_new(tx: Transaction, noun: str, table: Table, values: Mapping[str, Any]) -> None:
    """Insert the row; raises Conflict when another request made one with the same unique columns meanwhile."""
    statement = sqlite.insert(table) if tx.sqlite else postgresql.insert(table)
    made = tx.execute(statement.values(**values).on_conflict_do_nothing().returning(*table.primary_key.columns)).first()
    if made is None:
        raise Conflict(f"There is a {noun} called {str(values.get('name'))[:64]!r} already.")


def refuse_duplicate(tx: Transaction, noun: str, name: str, same: Select[Any]) -> None:
    """Raises Conflict when the statement finds a row."""
    if tx.execute(same.limit(1)).first() is not None:
        raise Conflict(f"There is a {noun} called {name[:64]!r} already.")
