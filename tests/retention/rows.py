"""Rows of any table, made of its own columns: what must not be NULL gets a value of its type."""

import itertools
import re
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Float, Integer, String, Table, insert, select
from sqlalchemy.types import JSON

from pumice.caller import new_id
from pumice.db.engine import Transaction
from pumice.db.schema import metadata

_numbers = itertools.count(1)


def add(tx: Transaction, table: Table, **values: Any) -> dict[str, Any]:
    """Insert one row with these values and whatever else it needs; the row."""
    row = {column.name: _value(table, column) for column in table.columns if _needed(table, column)}
    row.update(values)
    tx.execute(insert(table).values(**row))
    return row


def add_to_empty(tx: Transaction) -> list[str]:
    """One row in each table that has none, which refers to rows that are there; the names of those tables."""
    filled = []
    for table in metadata.sorted_tables:
        if tx.execute(select(table).limit(1)).first() is None:
            references = {
                column.name: tx.execute(select(key.column).limit(1)).scalar_one()
                for column in table.columns
                for key in column.foreign_keys
                if not column.nullable
            }
            add(tx, table, **references)
            filled.append(str(table.name))
    return filled


def _needed(table: Table, column: Column[Any]) -> bool:
    return not column.nullable and column is not table.autoincrement_column


def _value(table: Table, column: Column[Any]) -> Any:
    kind = column.type
    for check in table.constraints:
        words = re.fullmatch(rf"{column.name} IN \('([^']*)'.*\)", str(getattr(check, "sqltext", "")))
        if isinstance(check, CheckConstraint) and words:
            return words[1]
    if isinstance(kind, Boolean):
        return False
    if isinstance(kind, Integer | BigInteger | Float):
        return 2 if column.name == "ends_at" else 1  # after what begins
    if isinstance(kind, JSON):
        return {}
    if isinstance(kind, String) and kind.length == 36:
        return new_id()
    return f"n{next(_numbers)}"[: getattr(kind, "length", None) or 64]
