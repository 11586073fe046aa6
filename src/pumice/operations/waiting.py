"""Waiting for an operation to end, for calls of the API that answer with its result.

    row = await waiter.wait(operation_id, deadline=30)     holds no thread and no connection while it waits
    row = waiter.wait_blocking(operation_id, deadline=30)

Woken by the bus ("operation:ID"); looks by itself twice a second in case a wake-up is lost. After the deadline the
operation goes on; asking again later returns its result.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pumice.db.engine import Database, Transaction
from pumice.errors import DeadlineExceeded, NotFound
from pumice.operations import store
from pumice.operations.model import OperationRow

T = TypeVar("T")
Read = Callable[[Callable[[Transaction], Any]], Awaitable[Any]]

_POLL_SECONDS = 0.5


class OperationWaiter:
    """One a process. `close` it before the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        database.bus.listen(self._heard)

    def close(self) -> None:
        self._database.bus.forget(self._heard)

    async def wait(self, operation_id: str, deadline: float) -> OperationRow:
        """The operation once it is done or undone (then `error` says why). deadline: seconds from now.

        Raises DeadlineExceeded, NotFound."""
        return await self.wait_then(operation_id, deadline, lambda _tx, row: row, self._database.call_read)

    async def wait_then(
        self, operation_id: str, deadline: float, then: Callable[[Transaction, OperationRow], T], read: Read
    ) -> T:
        """`then(tx, row)` of the ended operation, in the same transaction that saw its end. Raises as `wait` does, and
        what `then` raises. read: runs a function with a read transaction, as `Database.call_read` does."""

        def look(tx: Transaction) -> tuple[T] | None:
            row = _ended(store.get(tx, operation_id), operation_id)
            return None if row is None else (then(tx, row),)

        loop = asyncio.get_running_loop()
        moved = asyncio.Event()

        def notice() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(moved.set)

        topic = store.moved_topic(operation_id)
        end = time.monotonic() + deadline
        self._add(topic, notice)
        try:
            while True:
                moved.clear()
                seen: tuple[T] | None = await read(look)
                if seen is not None:
                    return seen[0]
                left = end - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded
                try:
                    async with asyncio.timeout(min(left, _POLL_SECONDS)):
                        await moved.wait()
                except TimeoutError:
                    continue
        finally:
            self._remove(topic, notice)

    def wait_blocking(self, operation_id: str, deadline: float) -> OperationRow:
        """`wait` for a caller with a thread of its own."""
        moved = threading.Event()
        topic = store.moved_topic(operation_id)
        end = time.monotonic() + deadline
        notice = moved.set
        self._add(topic, notice)
        try:
            while True:
                moved.clear()
                row = _ended(self._database.run_read(store.get, operation_id), operation_id)
                if row is not None:
                    return row
                left = end - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded
                moved.wait(min(left, _POLL_SECONDS))
        finally:
            self._remove(topic, notice)

    def _heard(self, topic: str) -> None:
        with self._guard:
            notices = tuple(self._waiting.get(topic, ()))
        for notice in notices:
            notice()

    def _add(self, topic: str, notice: Callable[[], None]) -> None:
        with self._guard:
            self._waiting.setdefault(topic, []).append(notice)

    def _remove(self, topic: str, notice: Callable[[], None]) -> None:
        with self._guard:
            others = [other for other in self._waiting[topic] if other is not notice]
            if others:
                self._waiting[topic] = others
            else:
                del self._waiting[topic]


def _ended(row: OperationRow | None, operation_id: str) -> OperationRow | None:
    if row is None:
        raise NotFound.of("Operation", operation_id)
    return row if row.finished_at is not None else None
