"""The database: one writer and one reader for SQLite, a pool for PostgreSQL; transactions, wake-ups, errors.

    with database.write() as tx:      one write transaction: rows + operation + events; wake-ups go out after it
    with database.read() as tx:       consistent reads; on SQLite the connection refuses writes

There is no ORM session and no lazy loading anywhere. Functions of the domains take a `Transaction` and return frozen
records. In the API process they run in the database's own threads (`call_write`, `call_read`): one hop a request.

SQLite: WAL, synchronous=FULL, BEGIN IMMEDIATE. Several processes write one file, and with the busy handler alone one
of three writers starves the others, so each write transaction first takes a `flock` beside the file.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import msgspec
import psycopg
from sqlalchemy import Engine, String, bindparam, create_engine, event, func, select
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.pool import StaticPool

from pumice.clock import Clock
from pumice.db.group_commit import GroupCommit
from pumice.db.locks import OneAtATime, WriteLock
from pumice.db.prepared import PreparedStatements
from pumice.db.transaction import Transaction as Transaction
from pumice.db.wakeup import DatagramBus, PostgresBus, WakeupBus
from pumice.errors import Conflict, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

_DEADLOCK = "40P01"
_SERIALIZATION = "40001"
_TAKEN = (
    "23503",
    "23505",
    "SQLITE_CONSTRAINT_UNIQUE",
    "SQLITE_CONSTRAINT_PRIMARYKEY",
    "SQLITE_CONSTRAINT_FOREIGNKEY",
)
"""PostgreSQL's states and SQLite's names for a broken unique index or reference; a broken CHECK is a fault of ours."""
_OUR_MISTAKES = ("SQLITE_ERROR", "SQLITE_READONLY")
"""SQLite's names for wrong SQL and for writing through the reader: nothing that passes by itself."""


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached; try again shortly."""

    before_commit = False
    """True: certainly nothing of the transaction was kept. False: its commit may have succeeded."""


class Database:
    """One database, as one process sees it. `url`: "sqlite:///path/pumice.db" or "postgresql+psycopg://..."."""

    def __init__(self, url: str, *, clock: Clock | None = None, threads: int = 8) -> None:
        self.url: URL = make_url(url)
        self.clock = clock or Clock()
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.bus: WakeupBus
        self._kept: dict[Engine, Connection] = {}
        self._prepared = PreparedStatements()
        if self.sqlite:
            if not self.url.database or self.url.database == ":memory:":
                raise ValueError("a SQLite database must be a file, so that several processes can share it")
            path = Path(self.url.database)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = WriteLock(path.with_name(path.name + ".lock"))
            self._writer = _sqlite_engine(self.url, read_only=False)
            self._reader = _sqlite_engine(self.url, read_only=True)
            self._reader_lock = OneAtATime("database.read()")
            self._group = GroupCommit(self.write, self.clock.now)
            self.bus = DatagramBus(path.with_name(path.name + ".wake"))
            self.readers = 1
            """Reads that can go on at once."""
            self.write_threads = ThreadPoolExecutor(1, "db-write")
            self.read_threads = ThreadPoolExecutor(1, "db-read")
        else:
            self._writer = _postgres_engine(self.url, threads)
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")
            self.bus = PostgresBus(self.url)
            self.readers = threads
            self.write_threads = self.read_threads = ThreadPoolExecutor(threads, "db")

    def close(self) -> None:
        self.bus.close()
        self.write_threads.shutdown(wait=True, cancel_futures=True)
        self.read_threads.shutdown(wait=True, cancel_futures=True)
        for connection in self._kept.values():
            connection.close()
        self._reader.dispose()
        self._writer.dispose()
        if self.sqlite:
            self._lock.close()

    @property
    def engine(self) -> Engine:
        """The writer's engine, for migrations."""
        return self._writer

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """One write transaction; commits at the end, rolls back on any exception, then raises it.

        Raises DatabaseUnavailable when the database cannot be reached."""
        if self.sqlite:
            with self._lock:
                tx = yield from self._transaction()
        else:
            tx = yield from self._transaction()
        for call in tx.then:
            call()
        if tx.topics:
            self.bus.send(tx.topics)

    @contextmanager
    def alone(self) -> Iterator[Path]:
        """The file of a SQLite database while nobody writes to it, in this process or another."""
        with self._lock:
            yield Path(self.url.database or "")

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        """A connection; on SQLite always the same one: taking it anew cost a tenth of a request."""
        if not self.sqlite:
            with engine.connect() as connection:
                yield connection
            return
        kept = self._kept.get(engine)
        if kept is None or kept.closed or kept.invalidated:
            kept = self._kept[engine] = engine.connect()
        yield kept

    def _transaction(self) -> Generator[Transaction, None, Transaction]:
        committing = False
        try:
            with self._connected(self._writer) as connection, connection.begin():
                tx = Transaction(connection, self.clock.now(), self.sqlite, self._prepared)
                yield tx
                if not self.sqlite and tx.topics:
                    tx.execute(_NOTIFY, {"topics": "\n".join(tx.topics)})
                committing = True
        except (OperationalError, InterfaceError) as error:
            translated = _translate(error)
            if isinstance(translated, DatabaseUnavailable):
                translated.before_commit = not committing
            raise translated from error
        return tx

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Reads. On SQLite one snapshot for the whole block; on PostgreSQL each statement sees the newest commit."""
        try:
            if self.sqlite:
                with self._reader_lock, self._connected(self._reader) as connection, connection.begin():
                    yield Transaction(connection, self.clock.now(), True, self._prepared)
            else:
                with self._reader.connect() as connection:
                    yield Transaction(connection, self.clock.now(), False, self._prepared)
        except (OperationalError, InterfaceError) as error:
            raise _translate(error) from error

    async def call_write(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run `function(tx, *args, **kwargs)` as one write transaction in the writer's thread.

        It may share its transaction with others on SQLite (`group_commit.py`), and on PostgreSQL a deadlock's victim is
        run again: the function has no effect but its rows."""
        if self.sqlite:
            asked = self._group.ask(partial(_with_transaction, function, args, kwargs))
            self.write_threads.submit(self._group.serve)
            return await asyncio.wrap_future(asked)
        return await asyncio.wrap_future(self.write_threads.submit(self.run_write, function, *args, **kwargs))

    async def call_read(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run `function(tx, *args, **kwargs)` with a reader's transaction in a reader's thread."""
        future: Future[T] = self.read_threads.submit(self.run_read, function, *args, **kwargs)
        return await asyncio.wrap_future(future)

    def run_read(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """`call_read` for callers that have a thread of their own. Asks again once when a connection proves dead."""
        for attempt in range(2):
            try:
                with self.read() as tx:
                    return function(tx, *args, **kwargs)
            except DatabaseUnavailable:
                if attempt:
                    raise
        raise AssertionError("unreachable")

    def run_write(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """`call_write` for callers that have a thread of their own: one transaction.

        Runs the function again when PostgreSQL chose it as the victim of a deadlock, and once when the connection
        proved dead before the commit (a restarted server leaves dead connections in the pool)."""
        if self.sqlite:
            return self._group.run(partial(_with_transaction, function, args, kwargs))
        reconnected = False
        for attempt in range(4):
            try:
                with self.write() as tx:
                    return function(tx, *args, **kwargs)
            except DatabaseUnavailable as error:
                if reconnected or not error.before_commit:
                    raise
                reconnected = True
            except DBAPIError as error:
                if attempt == 3 or _sqlstate(error) not in (_DEADLOCK, _SERIALIZATION):
                    raise
        raise AssertionError("unreachable")


def _with_transaction(function: Callable[..., T], args: Any, kwargs: Any, tx: Transaction) -> T:
    return function(tx, *args, **kwargs)


_NOTIFY = select(func.pg_notify("pumice", bindparam("topics", type_=String)))
_encode = msgspec.json.Encoder().encode


def _json_options() -> dict[str, Any]:
    return {"json_serializer": lambda value: _encode(value).decode(), "json_deserializer": msgspec.json.decode}


def _postgres_engine(url: URL, threads: int) -> Engine:
    engine = create_engine(url, pool_size=threads, max_overflow=threads, pool_pre_ping=False, **_json_options())

    @event.listens_for(engine, "connect")
    def connected(connection: psycopg.Connection[Any], _record: object) -> None:
        # The tables fit into memory. With the server's default of 4, meant for disks that turn, a page of one host's
        # volumes is looked for among everybody's newest ones instead of by the index of hosts.
        connection.execute("SET random_page_cost = 1.1")
        connection.commit()

    return engine


def _sqlite_engine(url: URL, *, read_only: bool) -> Engine:
    first = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    engine = create_engine(
        url, poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 30.0}, **_json_options()
    )

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "auto_vacuum=INCREMENTAL",  # of a file that is made now; see `db.space`
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-32000",
            f"mmap_size={268435456 if read_only else 0}",
            f"query_only={'ON' if read_only else 'OFF'}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Not `exec_driver_sql`, which prepares as much as for any statement.
        try:
            cast(Any, connection.connection.driver_connection).execute(first)
        except sqlite3.Error as error:
            connection._handle_dbapi_exception(error, first, (), None, None)

    return engine


@contextmanager
def races_told() -> Iterator[None]:
    """What was written is there already, or what it refers to is gone: another transaction was faster. Raises Conflict
    in place of the database's own error."""
    try:
        yield
    except IntegrityError as error:
        if _sqlstate(error) in _TAKEN or getattr(error.orig, "sqlite_errorname", None) in _TAKEN:
            raise Conflict("Another request has just changed the same thing; look at it, and try again.") from error
        raise


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _translate(error: OperationalError | InterfaceError) -> Exception:
    """A lost connection or a full disk is Unavailable; a deadlock stays what it is, to be run again."""
    if _sqlstate(error) in (_DEADLOCK, _SERIALIZATION):
        return error
    if getattr(error.orig, "sqlite_errorname", None) in _OUR_MISTAKES:
        return error
    unavailable = DatabaseUnavailable(
        f"The database cannot be reached now ({type(error.orig).__name__}); try again shortly."
    )
    unavailable.cause = (str(error.orig).strip().splitlines() or [""])[0]
    return unavailable
