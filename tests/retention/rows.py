"""Rows of any table, made of its own columns: what must not be NULL gets a value of its type."""

import itertools
import re
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Float, Integer, String, Table, insert
from sqlalchemy.types import JSON

from pumice.caller import new_id
from pumice.db.engine import Transaction

_numbers = itertools.count(1)


def add(tx: Transaction, table: Table, **values: Any) -> dict[str, Any]:
    """Insert one row with these values and whatever else it needs; the row."""
    row = {column.name: _value(table, column) for column in table.columns if _needed(column)}
    row.update(values)
    tx.execute(insert(table).values(**row))
    return row


def _needed(column: Column[Any]) -> bool:
    return not column.nullable and not (column.primary_key and isinstance(column.type, Integer | BigInteger))


def _value(table: Table, column: Column[Any]) -> Any:
    kind = column.type
    for check in table.constraints:
        words = re.fullmatch(rf"{column.name} IN \('([^']*)'.*\)", str(getattr(check, "sqltext", "")))
        if isinstance(check, CheckConstraint) and words:
            return words[1]
    if isinstance(kind, Boolean):
        return False
    if isinstance(kind, Integer | BigInteger | Float):
        return 1
    if isinstance(kind, JSON):
        return {}
    if isinstance(kind, String) and kind.length == 36:
        return new_id()
    return f"n{next(_numbers)}"[: getattr(kind, "length", None) or 64]
