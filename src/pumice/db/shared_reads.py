"""Many readers, one transaction: the reads of requests that arrive while a reader is busy share its next one.

One thread switch, one BEGIN and one look at the generation of identity serve all of them, and each was asked before
that transaction began. SQLite has one reader. Of PostgreSQL's, a second one begins when the first has been busy for a
while, as with a long list: threads that take turns at the interpreter are slower than one. Nobody waits for a slow
answer of the server: what has ended before it is told, and what has not begun goes to another reader.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from pumice.db.engine import Database, Transaction
from pumice.errors import PumiceError

T = TypeVar("T")

_LARGEST = 32
"""Functions a transaction."""
_PATIENCE = 0.002
"""Seconds that a busy reader is waited for before another one begins."""
_SLOW = 0.01
"""Seconds that one function takes before the others of its transaction are looked after."""


class _Asked(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: asyncio.Future[Any]


class _Batch:
    """What shares a transaction. The reader's thread takes from its left, the event loop takes back from its right."""

    __slots__ = ("asked", "begun", "ended", "error", "since")

    def __init__(self, asked: list[_Asked]) -> None:
        self.asked = deque(asked)
        self.begun: _Asked | None = None
        """What runs; at the end, what raised unexpectedly."""
        self.since = math.inf
        """When that began (`time.monotonic`)."""
        self.ended: deque[tuple[_Asked, bool, Any]] = deque()
        """With its result (True) or what it raised (False)."""
        self.error: PumiceError | None = None
        """What ended the transaction: the database cannot be reached."""

    def run(self, tx: Transaction) -> None:
        """All that nobody took back or gave up, in a new transaction what raised in the one before too."""
        while True:
            try:
                one = self.begun or self.asked.popleft()
            except IndexError:
                return
            self.begun, self.since = one, time.monotonic()
            if not one.future.cancelled():
                self.ended.append((one, *_attempt(tx, one)))
            self.begun = None

    def take_back(self) -> list[_Asked]:
        """What has not begun, in its order."""
        taken: deque[_Asked] = deque()
        while True:
            try:
                taken.appendleft(self.asked.pop())
            except IndexError:
                return list(taken)


class SharedReads:
    """Runs functions with a read transaction; of one process, used in its event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Asked] = []
        self._running: list[_Batch] = []
        self._begun = 0.0
        """When the last of them began."""
        self._timer: asyncio.TimerHandle | None = None
        self._next_look: asyncio.TimerHandle | None = None

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """`function(tx, *arguments)` in a reader's thread. What it raises is raised here; it may be run twice."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Asked(function, arguments, future))
        self._go_on(loop)
        return await future

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with what waits if a reader is free, or if all that are busy have been for long."""
        while self._waiting and len(self._running) < self._database.readers:
            left = self._begun + _PATIENCE - loop.time() if self._running else 0.0
            if left > 0:
                if self._timer is None:
                    self._timer = loop.call_later(left, self._waited, loop)
                return
            self._start(loop)

    def _waited(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._go_on(loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = _Batch(self._waiting[:_LARGEST]), self._waiting[_LARGEST:]
        self._running.append(batch)
        self._begun = loop.time()
        self._database.read_threads.submit(self._work, loop, batch)
        if self._next_look is None:
            self._next_look = loop.call_later(_SLOW, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """While readers are busy: nobody waits for a slow function who need not."""
        slow = time.monotonic() - _SLOW
        for batch in self._running:
            if batch.since < slow:
                self._deliver(batch)
                if len(self._running) < self._database.readers:
                    self._waiting[:0] = batch.take_back()
        self._go_on(loop)
        self._next_look = loop.call_later(_SLOW, self._look, loop) if self._running else None

    def _work(self, loop: asyncio.AbstractEventLoop, batch: _Batch) -> None:
        """What raises unexpectedly ends the batch: it and those behind it run again, each alone (`_end`)."""
        try:
            self._database.run_read(batch.run)
        except PumiceError as error:
            batch.error = error
        finally:
            loop.call_soon_threadsafe(self._end, loop, batch)

    def _end(self, loop: asyncio.AbstractEventLoop, batch: _Batch) -> None:
        self._running.remove(batch)
        self._go_on(loop)
        self._deliver(batch)
        if batch.error is None:
            again = [*([] if batch.begun is None else [batch.begun]), *batch.asked]
        elif batch.begun is None:  # no transaction could be begun
            _refuse(batch.asked, batch.error)
            again = []
        else:
            _refuse([batch.begun], batch.error)
            again = list(batch.asked)
        for one in again:
            self._alone(loop, one)

    @staticmethod
    def _deliver(batch: _Batch) -> None:
        """Tell what has ended."""
        while batch.ended:
            one, done, value = batch.ended.popleft()
            if one.future.cancelled():
                continue
            if done:
                one.future.set_result(value)
            else:
                one.future.set_exception(value)

    def _alone(self, loop: asyncio.AbstractEventLoop, one: _Asked) -> None:
        """Run again by itself what failed unexpectedly, so that the database layer can say what it means."""

        def hand_over(task: "asyncio.Task[Any]") -> None:
            if one.future.cancelled():
                return
            error = task.exception()
            if error is not None:
                one.future.set_exception(error)
            else:
                one.future.set_result(task.result())

        loop.create_task(self._database.call_read(one.function, *one.arguments)).add_done_callback(hand_over)


def _attempt(tx: Transaction, one: _Asked) -> tuple[bool, Any]:
    try:
        return True, one.function(tx, *one.arguments)
    except PumiceError as error:
        return False, error


def _refuse(asked: "deque[_Asked] | list[_Asked]", error: PumiceError) -> None:
    for one in asked:
        if not one.future.cancelled():
            one.future.set_exception(error)
