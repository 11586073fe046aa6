"""What creating, listing and changing share in this domain."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Boolean, ColumnElement, Select

from pumice.db.engine import Transaction
from pumice.errors import Conflict


def changed(wanted: msgspec.Struct) -> dict[str, Any]:
    """The fields that are to change, by column."""
    values = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}


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


def refuse_duplicate(tx: Transaction, noun: str, name: str, same: Select[Any]) -> None:
    """Raises Conflict when the statement finds a row."""
    if tx.execute(same.limit(1)).first() is not None:
        raise Conflict(f"There is a {noun} called {name[:64]!r} already.")
