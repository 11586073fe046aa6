"""The worker: one loop that finds what this session may run now, and threads that run it (`runner.py`).

The loop wakes on the bus's "operations", when a thread has ended and nothing more is ready, when the next `not_before`
has come, and once a second. What a place's owner gets with the enqueue needs no claim of its own: the loop only reads
then. What it found beyond the free threads stays `ready`: a thread that ends takes its next from there.

Two rules keep work from starving: steps declared `long` take at most half of the threads; operations that have seen two
workers die run one at a time, so that a step that kills its worker is found out and its neighbours are not blamed.
Operations of kinds that this process does not know are left alone.
"""

import logging
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pumice.clock import SECOND
from pumice.db.engine import Database, DatabaseUnavailable, Transaction
from pumice.operations import claiming, store
from pumice.operations.claiming import Waiting
from pumice.operations.model import OperationRow, Registry
from pumice.operations.runner import Runner
from pumice.operations.sessions import WorkerSession

_log = logging.getLogger(__name__)

DEFAULT_THREADS = 4
_POLL_SECONDS = 1.0
_LOOK_AHEAD = 200
_SUSPECT_CRASHES = 2


class Worker:
    """Runs the operations of one session. `start` it, `stop` it; `running` tells whether the loop lives."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        world: Any,
        session: WorkerSession,
        *,
        threads: int = DEFAULT_THREADS,
    ) -> None:
        self._database = database
        self._registry = registry
        self._session = session
        self._threads = threads
        self._long_limit = max(1, threads // 2)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._runner = Runner(database, registry, world, session, self._stopping)
        self._pool = ThreadPoolExecutor(threads, "step")
        self._guard = threading.Lock()
        self._in_hand: dict[str, Waiting] = {}
        self._ready: list[Waiting] = []
        self._idle = threading.Condition(self._guard)
        self._loop = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        self._database.bus.listen(self._heard)
        self._loop.start()

    @property
    def running(self) -> bool:
        """False once the loop has ended, asked to or not: the process has nothing to do any more."""
        return self._loop.is_alive()

    @property
    def in_hand(self) -> list[str]:
        """The ids of the operations that run here now."""
        with self._guard:
            return list(self._in_hand)

    def stop(self, grace: float = 10.0) -> bool:
        """Start nothing more, and wait `grace` seconds for the steps at hand; their operations go on later.
        False: some step did not end (end the process; the step runs again in another)."""
        self._stopping.set()
        self._wake.set()
        self._loop.join()
        self._database.bus.forget(self._heard)
        with self._guard:
            self._pool.shutdown(wait=False)  # what was handed out and has not begun sees that we stop
        with self._idle:
            return self._idle.wait_for(lambda: not self._in_hand, grace)

    # ---- the loop

    def _heard(self, topic: str) -> None:
        if topic == store.CLAIMABLE_TOPIC:
            self._wake.set()

    def _work(self) -> None:
        while not (self._stopping.is_set() or self._session.lost.is_set()):
            self._wake.clear()
            try:
                pause = self._turn()
            except DatabaseUnavailable as error:
                _log.warning("the worker waits: %s", error)
                pause = _POLL_SECONDS
            self._wake.wait(pause)

    def _turn(self) -> float:
        """Start what may start now; returns the seconds until there may be more without a wake-up."""
        with self._guard:
            free = self._threads - len(self._in_hand)
        if free <= 0:
            return _POLL_SECONDS  # a thread that ends wakes us
        kinds, reach = self._registry.kinds(), self._session.reach
        with self._guard:
            # Before the read: what leaves our hands after this line is skipped; what left before is read as it is.
            in_hand = dict(self._in_hand)
            self._ready = []
        with self._database.read() as tx:
            unclaimed = claiming.claimable(tx, reach, kinds)
            if not unclaimed:
                waiting, due, now = self._assigned(tx, in_hand)
        if unclaimed:
            self._database.run_write(claiming.claim, self._session.id, reach, kinds, free)
            with self._database.read() as tx:
                waiting, due, now = self._assigned(tx, in_hand)
        with self._guard:
            self._ready = [one for one in waiting if one.id not in in_hand]
            self._start_ready()
        return _POLL_SECONDS if due is None else min(_POLL_SECONDS, max(0.0, (due - now) / SECOND))

    def _assigned(self, tx: Transaction, in_hand: Collection[str]) -> tuple[list[Waiting], int | None, int]:
        """What is ours and may run now, when the next may (microseconds), and what time it is."""
        kinds, reach = self._registry.kinds(), self._session.reach
        waiting = claiming.assigned(tx, self._session.id, kinds, len(in_hand) + _LOOK_AHEAD)
        return waiting, claiming.due_at(tx, self._session.id, reach), tx.now

    def _start_ready(self) -> bool:
        """Hand out what is ready to the free threads; was there anything? Called with the guard held."""
        if self._stopping.is_set():
            return False
        chosen = self._choose(self._ready, self._in_hand)
        ids = {one.id for one in chosen}
        self._ready = [one for one in self._ready if one.id not in ids]
        for one in chosen:
            self._in_hand[one.id] = one
            self._pool.submit(self._run, one)
        return bool(chosen)

    def _choose(self, waiting: list[Waiting], in_hand: dict[str, Waiting]) -> list[Waiting]:
        free = self._threads - len(in_hand)
        long_left = self._long_limit - sum(self._is_long(one) for one in in_hand.values())
        suspects_left = 1 - sum(one.crashes >= _SUSPECT_CRASHES for one in in_hand.values())
        chosen: list[Waiting] = []
        for one in waiting:
            if len(chosen) >= free:
                break
            is_long, is_suspect = self._is_long(one), one.crashes >= _SUSPECT_CRASHES
            if (is_long and long_left <= 0) or (is_suspect and suspects_left <= 0):
                continue
            long_left -= is_long
            suspects_left -= is_suspect
            chosen.append(one)
        return chosen

    def _may_go_on(self, row: OperationRow) -> bool:
        """A thread that has done one step goes on with the next, unless that is long and half the threads are."""
        one = Waiting(row.id, row.kind, row.state, row.position, row.crashes)
        with self._guard:
            others = sum(self._is_long(other) for other in self._in_hand.values() if other.id != row.id)
            if self._is_long(one) and others >= self._long_limit:
                return False
            self._in_hand[row.id] = one
        return True

    def _is_long(self, one: Waiting) -> bool:
        return one.state == "running" and self._registry[one.kind].steps[one.position].long

    def _run(self, one: Waiting) -> None:
        ended = False
        try:
            row = self._database.run_read(store.get, one.id)
            if row is not None:
                left = self._runner.run(row, self._may_go_on)
                ended = left is not None and left.finished_at is not None
        except DatabaseUnavailable as error:
            _log.warning("a step waits: %s", error)
        finally:
            with self._idle:
                self._in_hand.pop(one.id, None)
                started = self._start_ready()
                self._idle.notify_all()
            if not (started and ended):
                self._wake.set()
