"""Statements that are made once and executed often, without what SQLAlchemy does anew for each execution.

`Transaction.execute` asks here first. A statement that is seen again and again (one built at import, or kept by
`functools.cache`) is compiled once per set of parameter names; then an execution is: parameters into a tuple, the
driver's own `execute`, rows. Measured: 9 instead of 70 microseconds for a small SELECT on SQLite. What its text depends
on the values of (lists in `IN`, inserts of many rows that answer) goes SQLAlchemy's usual way, and so does everything
while somebody listens to the statements of the engine.

Types, errors and rows are SQLAlchemy's: the same processors for parameters and columns, its `Row`s, its exceptions, its
handling of connections that proved dead.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Executable
from sqlalchemy.engine import Connection, IteratorResult, MappingResult, Row
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import MultipleResultsFound, NoResultFound
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import SelectBase

Processor = Callable[[Any], Any]

_AFTER = 3
"""Sightings of one statement object before it is compiled here: those that are built for one execution never are."""


class Rows:
    """The rows of one execution, all of them fetched, with those methods of SQLAlchemy's results that are used here;
    `rowcount` is that of an UPDATE, DELETE or INSERT."""

    __slots__ = ("_metadata", "_raw", "rowcount")

    def __init__(self, metadata: SimpleResultMetaData, raw: list[tuple[Any, ...]], rowcount: int) -> None:
        self._metadata, self._raw, self.rowcount = metadata, raw, rowcount

    def __iter__(self) -> Iterator[Row[*tuple[Any, ...]]]:
        return map(self._row, self._raw)

    def all(self) -> list[Row[*tuple[Any, ...]]]:
        return [self._row(raw) for raw in self._raw]

    fetchall = all

    def first(self) -> Row[*tuple[Any, ...]] | None:
        return self._row(self._raw[0]) if self._raw else None

    def one_or_none(self) -> Row[*tuple[Any, ...]] | None:
        """Raises MultipleResultsFound."""
        if len(self._raw) > 1:
            raise MultipleResultsFound("Multiple rows were found when one or none was required")
        return self.first()

    def one(self) -> Row[*tuple[Any, ...]]:
        """Raises MultipleResultsFound, NoResultFound."""
        row = self.one_or_none()
        if row is None:
            raise NoResultFound("No row was found when one was required")
        return row

    def scalar(self) -> Any:
        """The first row's first column; None when there is no row."""
        row = self.first()
        return None if row is None else row[0]

    def scalar_one_or_none(self) -> Any:
        """Raises MultipleResultsFound."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """Raises MultipleResultsFound, NoResultFound."""
        return self.one()[0]

    def scalars(self) -> "Scalars":
        return Scalars(row[0] for row in self)

    def mappings(self) -> MappingResult:
        return self._result().mappings()

    def partitions(self, size: int) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
        return self._result().partitions(size)

    def _row(self, raw: tuple[Any, ...]) -> Row[*tuple[Any, ...]]:
        metadata = self._metadata
        return Row(metadata, metadata._processors, metadata._key_to_index, raw)

    def _result(self) -> IteratorResult[*tuple[Any, ...]]:
        return IteratorResult(self._metadata, iter(self._raw))


class Scalars(list[Any]):
    """The first columns of rows."""

    def all(self) -> list[Any]:
        return self

    def first(self) -> Any:
        return self[0] if self else None


class _Seen:
    """One statement object: how often it came, and what it was compiled to, by the names of its parameters."""

    __slots__ = ("compiled", "times")

    def __init__(self) -> None:
        self.times = 0
        self.compiled: dict[tuple[str, ...], _Compiled | None] = {}


class _Parameter(NamedTuple):
    """Where a parameter's value comes from: by name from the caller, else fixed in the statement."""

    name: str
    fixed: Any
    process: Processor | None


class _Compiled:
    """One statement for one dialect and set of parameter names."""

    __slots__ = ("_columns", "_dialect", "_keyed", "_metadata", "_parameters", "returns_rows", "text")

    def __init__(self, compiled: SQLCompiler, dialect: Dialect) -> None:
        self.text = str(compiled)
        self._dialect = dialect
        self._keyed = not compiled.positional
        fixed = compiled.construct_params(_check=False)
        processors = cast(Mapping[str, Processor], compiled._bind_processors)
        names: Sequence[str] = compiled.positiontup if compiled.positiontup is not None else list(fixed)
        self._parameters = [_Parameter(name, fixed[name], processors.get(name)) for name in names]
        self._columns = compiled._result_columns
        self.returns_rows = bool(self._columns)
        self._metadata: SimpleResultMetaData | None = None

    def values(self, given: Mapping[str, Any]) -> Any:
        """The driver's parameters: a tuple for SQLite, a dict for psycopg."""
        found = [
            given.get(name, fixed) if process is None else process(given.get(name, fixed))
            for name, fixed, process in self._parameters
        ]
        return dict(zip((one.name for one in self._parameters), found, strict=True)) if self._keyed else tuple(found)

    def rows(self, cursor: Any) -> Rows:
        """What the driver's cursor has, all of it."""
        if not self.returns_rows:
            return Rows(_NOTHING, [], cursor.rowcount)
        return Rows(self._metadata or self._described(cursor.description), cursor.fetchall(), cursor.rowcount)

    def _described(self, description: Sequence[Sequence[Any]]) -> SimpleResultMetaData:
        processors = [
            column.type._cached_result_processor(self._dialect, described[1])
            for column, described in zip(self._columns, description, strict=True)
        ]
        names = [str(column.keyname) for column in self._columns]
        self._metadata = SimpleResultMetaData(names, _processors=processors)
        return self._metadata


_NOTHING = SimpleResultMetaData([])


class PreparedStatements:
    """Of one database; may be used by several threads, each with a connection of its own."""

    def __init__(self) -> None:
        self._seen: WeakKeyDictionary[Executable, _Seen] = WeakKeyDictionary()

    def execute(
        self, connection: Connection, statement: Executable, parameters: Mapping[str, Any] | None
    ) -> Rows | None:
        """The rows; None when the statement must go the usual way. Raises what SQLAlchemy raises."""
        seen = self._seen.get(statement)
        if seen is None:
            seen = self._seen[statement] = _Seen()
        seen.times += 1
        if seen.times < _AFTER or connection.dispatch.before_cursor_execute:
            return None
        given = parameters or {}
        names = tuple(given)
        if names not in seen.compiled:
            seen.compiled[names] = _compiled(statement, names, connection.dialect)
        compiled = seen.compiled[names]
        return None if compiled is None else _run(connection, compiled, compiled.values(given))


def _run(connection: Connection, compiled: _Compiled, values: Any) -> Rows:
    cursor = cast(Any, connection.connection.driver_connection).cursor()
    try:
        cursor.execute(compiled.text, values)
        rows = compiled.rows(cursor)
    except connection.dialect.loaded_dbapi.Error as error:
        connection._handle_dbapi_exception(
            error, compiled.text, values, cursor, None
        )  # raises SQLAlchemy's in its place
        raise
    cursor.close()
    return rows


def _compiled(statement: Executable, names: Sequence[str], dialect: Dialect) -> _Compiled | None:
    """None: its text or its parameters depend on more than the names."""
    if not isinstance(statement, SelectBase | UpdateBase) or statement.get_execution_options():
        return None
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    special = (
        compiled.post_compile_params
        or compiled.literal_execute_params
        or compiled.escaped_bind_names
        or compiled.implicit_returning
        or (compiled.isinsert and compiled.insert_prefetch)
        or (compiled.isupdate and compiled.update_prefetch)
        or (compiled._result_columns and not compiled._ordered_columns)
    )
    required = {compiled.bind_names[bind] for bind in compiled.binds.values() if bind.required}
    return None if special or not required <= set(names) else _Compiled(compiled, dialect)
