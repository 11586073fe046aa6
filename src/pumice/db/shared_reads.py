"""Many readers, one transaction: the reads of requests that arrive while a reader is busy share its next one.

One thread switch, one BEGIN and one look at the generation of identity serve all of them, and each was asked before
that transaction began. SQLite has one reader. Of PostgreSQL's, a second one begins when the first has been busy for a
while, as with a long list: threads that take turns at the interpreter are slower than one, but nobody waits for a slow
answer of the server.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from pumice.db.engine import Database, Transaction
from pumice.errors import PumiceError

T = TypeVar("T")

_LARGEST = 32
"""Functions a transaction."""
_PATIENCE = 0.002
"""Seconds that a busy reader is waited for before another one begins."""


class SharedReads:
    """Runs functions with a read transaction; of one process, used in its event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Callable[..., Any], tuple[Any, ...], asyncio.Future[Any]]] = []
        self._busy = 0
        self._begun = 0.0
        """When the last of them began."""
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """`function(tx, *arguments)` in a reader's thread. What it raises is raised here; it may be run twice."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((function, arguments, future))
        self._go_on(loop)
        return await future

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with what waits if a reader is free, or if all that are busy have been for long."""
        while self._waiting and self._busy < self._database.readers:
            left = self._begun + _PATIENCE - loop.time() if self._busy else 0.0
            if left > 0:
                if self._timer is None:
                    self._timer = loop.call_later(left, self._waited, loop)
                return
            self._start(loop)

    def _waited(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._go_on(loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting[:_LARGEST], self._waiting[_LARGEST:]
        self._busy += 1
        self._begun = loop.time()
        self._database.read_threads.submit(self._work, loop, batch)

    def _work(self, loop: asyncio.AbstractEventLoop, batch: list[Any]) -> None:
        """What raises unexpectedly ends the batch: it and those behind it run again, each alone (`_deliver`)."""
        results: list[tuple[bool, Any]] = []

        def each(tx: Transaction) -> None:
            results.clear()
            for function, arguments, _ in batch:
                results.append(_attempt(tx, function, arguments))

        try:
            self._database.run_read(each)
        except PumiceError as error:
            results = [(False, error)] * len(batch)
        finally:
            loop.call_soon_threadsafe(self._deliver, loop, batch, results)

    def _deliver(self, loop: asyncio.AbstractEventLoop, batch: list[Any], results: list[tuple[bool, Any]]) -> None:
        self._busy -= 1
        self._go_on(loop)
        for (_, _, future), (done, value) in zip(batch, results, strict=False):
            if future.cancelled():
                continue
            if done:
                future.set_result(value)
            else:
                future.set_exception(value)
        for function, arguments, future in batch[len(results) :]:
            self._alone(loop, function, arguments, future)

    def _alone(
        self, loop: asyncio.AbstractEventLoop, function: Callable[..., T], arguments: Any, future: "asyncio.Future[T]"
    ) -> None:
        """Run again by itself what failed unexpectedly, so that the database layer can say what it means."""

        def hand_over(task: "asyncio.Task[T]") -> None:
            if future.cancelled():
                return
            error = task.exception()
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(task.result())

        loop.create_task(self._database.call_read(function, *arguments)).add_done_callback(hand_over)


def _attempt(tx: Transaction, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, function(tx, *arguments)
    except PumiceError as error:
        return False, error
