"""All rows of one database into an empty one, from SQLite to PostgreSQL or back: `pumice db copy`, backups, restores.

    tables = copy(source, target, alone=True)

One consistent look at the source, one transaction on the target: either everything is there, counted and compared, or
nothing. Rows are streamed table by table in the order of their references. alone: nobody writes to the source
meanwhile, so that nothing written is left behind; without it, what is written during the copy is not in it.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Integer, Table, func, insert, select, text
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import DBAPIError

from pumice.db.engine import Database
from pumice.db.migrations import HEAD
from pumice.db.schema import metadata
from pumice.db.upgrade import revision, upgrade
from pumice.errors import PumiceError

BATCH = 1000
"""Rows in memory, and in one statement."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class CannotCopy(PumiceError):
    """The one database cannot be copied into the other; nothing was changed."""


class Copied(msgspec.Struct, frozen=True):
    """One table. digest: of its content, whatever the order of its rows; the same in both databases."""

    table: str
    rows: int
    digest: str


def copy(
    source: Database, target: Database, *, alone: bool, told: Callable[[Copied], object] = lambda table: None
) -> list[Copied]:
    """Copy everything; what was copied, table by table. The source must be at this program's migration, the target
    empty (no table yet, or no row). told: called after each table. Raises CannotCopy, DatabaseUnavailable."""
    found = revision(source)
    if found != HEAD:
        raise CannotCopy(
            f"the source stands at migration {found or 'none'}, this program needs {HEAD}: upgrade it first"
        )
    upgrade(target)
    done = []
    with _source(source, alone) as old, target.write() as tx:
        _refuse_if_filled(tx.connection)
        for table in metadata.sorted_tables:
            one = _copy_table(table, old, tx.connection)
            _compare(table, one, tx.connection)
            _set_sequence(table, tx.connection)
            done.append(one)
            told(one)
    if not target.sqlite:
        with target.write() as tx:
            tx.execute(text("ANALYZE"))
    return done


@contextmanager
def _source(database: Database, alone: bool) -> Iterator[Connection]:
    """One consistent look. On SQLite any transaction is one; `alone` takes the write lock for it."""
    if database.sqlite:
        with database.write() if alone else database.read() as tx:
            yield tx.connection
        return
    with database.write() as tx:
        tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        if alone:
            names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            tx.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))
        yield tx.connection


def _refuse_if_filled(connection: Connection) -> None:
    for table in metadata.sorted_tables:
        if connection.execute(select(table).limit(1)).first() is not None:
            raise CannotCopy(f"the target is not empty: its table {table.name} has rows; give an empty database")


def _copy_table(table: Table, old: Connection, new: Connection) -> Copied:
    digest, rows = _Digest(), 0
    statement = insert(table)
    names = [column.name for column in table.columns]
    try:
        for page in old.execute(select(table), execution_options={"yield_per": BATCH}).partitions():
            for row in page:
                digest.add(row)
            new.execute(statement, [dict(zip(names, row, strict=True)) for row in page])
            rows += len(page)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise CannotCopy(f"the table {table.name} cannot be copied (after {rows} rows): {reason}") from error
    return Copied(str(table.name), rows, digest.value)


def _compare(table: Table, expected: Copied, new: Connection) -> None:
    """What arrived, read back, is what was read. Raises CannotCopy."""
    digest, rows = _Digest(), 0
    for page in new.execute(select(table), execution_options={"yield_per": BATCH}).partitions():
        for row in page:
            digest.add(row)
        rows += len(page)
    if (rows, digest.value) != (expected.rows, expected.digest):
        raise CannotCopy(
            f"the table {table.name} did not arrive as it was: {rows} of {expected.rows} rows, "
            f"digest {digest.value[:12]} instead of {expected.digest[:12]}"
        )


class _Digest:
    """Of the rows of a table, in any order: the sum of the rows' hashes."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, row: Row[Any]) -> None:
        values = [_plain(value) if isinstance(value, dict | list) else value for value in row]
        self._sum += int.from_bytes(hashlib.sha256(_encode(values)).digest())

    @property
    def value(self) -> str:
        return f"{self._sum % 2**256:064x}"


def _plain(value: Any) -> Any:
    """A JSON value in the one look that both databases agree on: JSONB tells 1.0, 1e2 and 1e300 in another way."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    if isinstance(value, int) and abs(value) > _EXACT:
        return float(value)
    return value


_EXACT = 2**53


def _set_sequence(table: Table, new: Connection) -> None:
    """PostgreSQL: the next row gets a number above all that were copied. SQLite does so by itself."""
    column = table.autoincrement_column
    if new.dialect.name != "postgresql" or column is None or not isinstance(column.type, Integer | BigInteger):
        return
    sequence = new.execute(
        text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
    ).scalar_one()
    highest = new.execute(select(func.max(column))).scalar_one()
    if sequence is not None and highest is not None:
        new.execute(text("SELECT setval(:sequence, :highest)"), {"sequence": sequence, "highest": highest})
