"""Many writers, one commit: on SQLite the functions that wait for the writer share its next transaction.

    thread A: run(f) ─┐                       BEGIN IMMEDIATE
    thread B: run(g) ─┼─> whoever comes first   SAVEPOINT; f(tx); RELEASE
    thread C: run(h) ─┘   serves them all       SAVEPOINT; g(tx) raises; ROLLBACK TO; RELEASE
                                                SAVEPOINT; h(tx); RELEASE
                                              COMMIT                       one lock, one fsync, one wake-up

Each function has its own part: what it raises undoes that part alone and is raised to who asked. Nobody gets an answer
before the commit. When the transaction itself breaks (a full disk), nothing of it is kept: each function is then run
once more, in a transaction of its own, which says what is wrong; so a function has no effect but its rows.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar, cast

from sqlalchemy.exc import InterfaceError, OperationalError

from pumice.db.locks import OneAtATime
from pumice.db.transaction import Transaction
from pumice.errors import Unavailable

T = TypeVar("T")

_LARGEST = 32
"""Functions a transaction: what waits behind it waits for all of them."""


class _Caught:
    """Keeps what its block raises: for somebody else."""

    error: BaseException | None = None

    def __enter__(self) -> "_Caught":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self.error = error
        return True


class _Asked:
    """One function, and who waits for it."""

    __slots__ = ("error", "function", "future", "result", "then")

    def __init__(self, function: Callable[[Transaction], Any]) -> None:
        self.function = function
        self.future: Future[Any] = Future()
        self.result: Any = None
        self.error: BaseException | None = None
        self.then: list[Callable[[], None]] = []


class _Broken(Exception):
    """The shared transaction cannot go on."""


class GroupCommit:
    """For one writer. `transaction` opens a write transaction, committed at its end."""

    def __init__(
        self, transaction: Callable[[], AbstractContextManager[Transaction]], clock: Callable[[], int]
    ) -> None:
        self._transaction = transaction
        self._clock = clock
        self._asked: deque[_Asked] = deque()
        self._turn = OneAtATime("database.write()")

    def run(self, function: Callable[[Transaction], T]) -> T:
        """What the function returns, once it is committed. Raises what it raises, or DatabaseUnavailable."""
        future = self.ask(function)
        while not future.done():
            self.serve()
        return future.result()

    def ask(self, function: Callable[[Transaction], T]) -> "Future[T]":
        """Put it in the queue; some thread must `serve`."""
        asked = _Asked(function)
        self._asked.append(asked)
        return asked.future

    def serve(self) -> None:
        """Run and commit what waits, with those that ask before the writer is ours. Raises nothing of theirs."""
        with self._turn:
            if not self._asked:
                return
            batch: list[_Asked] = []
            committed: list[bool] = []
            with _Caught() as caught, self._transaction() as tx:
                tx.after_commit(lambda: committed.append(True))
                batch = self._take()
                if len(batch) == 1:
                    batch[0].result = batch[0].function(tx)
                else:
                    for asked in batch:
                        self._part(tx, asked)
            batch = batch or self._take()
            if len(batch) > 1 and not committed and not isinstance(caught.error, Unavailable):
                for asked in batch:
                    self._alone(asked)
            else:
                for asked in batch:
                    self._answer(asked, caught.error)

    def _take(self) -> list[_Asked]:
        waiting = [self._asked.popleft() for _ in range(min(_LARGEST, len(self._asked)))]
        return [asked for asked in waiting if asked.future.set_running_or_notify_cancel()]

    def _alone(self, asked: _Asked) -> None:
        """In a transaction of its own, for the second time."""
        asked.error, asked.then = None, []
        with _Caught() as caught, self._transaction() as tx:
            asked.result = asked.function(tx)
        self._answer(asked, caught.error)

    @staticmethod
    def _answer(asked: _Asked, error: BaseException | None) -> None:
        """Tell who asked, after the calls that its function left for after the commit."""
        error = asked.error or error
        with _Caught() as afterwards:
            for call in asked.then if error is None else ():
                call()
        error = error or afterwards.error
        if error is not None:
            asked.future.set_exception(error)
        else:
            asked.future.set_result(asked.result)

    def _part(self, tx: Transaction, asked: _Asked) -> None:
        """Run one function in a savepoint. Raises _Broken when the whole transaction is lost."""
        raw = cast(Any, tx.connection.connection.driver_connection)
        part = tx.part(self._clock())
        raw.execute("SAVEPOINT part")
        with _Caught() as caught:
            asked.result = asked.function(part)
        asked.error = caught.error
        if asked.error is None:
            for topic in part.topics:
                tx.wake(topic)
            asked.then = part.then
        elif not raw.in_transaction or isinstance(asked.error, OperationalError | InterfaceError):
            raise _Broken
        else:
            raw.execute("ROLLBACK TO part")
        raw.execute("RELEASE part")
