"""The agent: the process that owns places (backends, a hypervisor) and runs the operations there.

    leave(Agent(database=..., registry=..., world=..., host=..., places=[...], state=..., jobs=[Job(...)]).run())

Everything is built before and given in; what this file adds is the life of the process: session, worker, periodic
jobs, the watchdog, the answer to the supervisor. It ends (and the supervisor starts another) when others declared its
session dead, when the worker's loop has ended, and when a call into the hypervisor's library is stuck: a stuck thread
cannot be ended, only its process can.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from pumice.db.engine import Database
from pumice.operations.model import Registry
from pumice.operations.sessions import DEFAULT_LEASE, WorkerSession
from pumice.operations.worker import DEFAULT_THREADS, Worker
from pumice.processes.liveness import BEAT_SECONDS, Liveness

_log = logging.getLogger(__name__)

ENDED = 0
SESSION_LOST = 3
WORKER_ENDED = 4
STUCK = 5


@dataclass(frozen=True)
class Job:
    """Something to do now and then, in a thread of its own: reports of health, the reconciler, retention. What it
    raises is logged; it runs again when its time has come, and never twice at once."""

    name: str
    period: float
    """Seconds from start to start."""
    function: Callable[[], object]


@dataclass(kw_only=True)
class Agent:
    """See the head of this file. stuck_since: `Hypervisor.stuck_since`. state: the state directory."""

    database: Database
    registry: Registry
    world: Any
    host: str
    places: Iterable[str]
    state: Path
    jobs: Iterable[Job] = ()
    stuck_since: Callable[[], float | None] = lambda: None
    threads: int = DEFAULT_THREADS
    lease: float = DEFAULT_LEASE
    wait_for_places: float = 30.0
    liveness: Liveness = field(default_factory=Liveness.from_environment)

    def run(self) -> int:
        """Work until SIGTERM or SIGINT, or until only a new process can help; returns the exit status.

        The caller ends with `leave`: a stuck step's thread must not hold the process. Raises PlaceTaken."""
        asked = threading.Event()

        def ask(number: int, frame: FrameType | None) -> None:
            asked.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask)
        threading.excepthook = _log_uncaught
        session = self._open_session()
        worker = Worker(self.database, self.registry, self.world, session, threads=self.threads)
        worker.start()
        status = self._watch(asked, session, worker)
        if status == STUCK:
            return status
        worker.stop()
        session.close()
        return status

    def _open_session(self) -> WorkerSession:
        """Answers the supervisor while it waits for places that another agent still owns."""
        opened = threading.Event()

        def beat() -> None:
            while not opened.wait(BEAT_SECONDS):
                self.liveness.beat()

        threading.Thread(target=beat, name="opening", daemon=True).start()
        try:
            return WorkerSession.open(
                self.database,
                host=self.host,
                places=self.places,
                folder=self.state / "sessions",
                lease=self.lease,
                wait=self.wait_for_places,
            )
        finally:
            opened.set()

    def _watch(self, asked: threading.Event, session: WorkerSession, worker: Worker) -> int:
        jobs = [_Running(job) for job in self.jobs]
        while not asked.is_set():
            since = self.stuck_since()
            if since is not None:
                _log.critical("a call into the hypervisor's library is stuck (since %r): the agent ends", since)
                return STUCK
            if session.lost.is_set():
                return SESSION_LOST
            if not worker.running:
                return WORKER_ENDED
            self.liveness.beat()
            for job in jobs:
                job.start_if_due()
            asked.wait(min([BEAT_SECONDS, *(job.seconds_left for job in jobs)]))
        return ENDED


class _Running:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._due = time.monotonic()
        self._thread: threading.Thread | None = None

    @property
    def seconds_left(self) -> float:
        return max(0.05, self._due - time.monotonic())

    def start_if_due(self) -> None:
        now = time.monotonic()
        if now < self._due or (self._thread is not None and self._thread.is_alive()):
            return
        self._due = now + self._job.period
        self._thread = threading.Thread(target=self._job.function, name=f"job {self._job.name}", daemon=True)
        self._thread.start()


def _log_uncaught(arguments: threading.ExceptHookArgs) -> None:
    name = arguments.thread.name if arguments.thread is not None else "a thread"
    error = arguments.exc_value or arguments.exc_type()
    _log.error("%s failed", name, exc_info=error)


def leave(status: int) -> None:
    """End the process now, whatever threads still hang."""
    logging.shutdown()
    os._exit(status)
