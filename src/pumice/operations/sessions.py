"""Worker sessions: who is alive, which places each owns, and what happens to the work of the dead.

    registered --heartbeat each third of the lease--> registered --close--> ended
        | its process died (same host: its lock is free), or its lease ran out (elsewhere)
        v
    ended by whoever notices: its operations are free to be claimed, its places to be taken

A session holds a `flock` on `<sessions>/<id>.lock` as long as its process lives: the kernel lets it go on `kill -9`,
so on the same host (strictly: where the same folder is seen) a death shows at once. Elsewhere the lease counts, by the
database's clock on PostgreSQL; on SQLite by this process's own monotonic clock, since it last saw the heartbeat move.

A place (a backend, a compute host) belongs to one live session at a time.
"""

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    case,
    cast,
    delete,
    extract,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from pumice.caller import new_id
from pumice.clock import SECOND
from pumice.db.engine import Database, DatabaseUnavailable, Transaction
from pumice.db.schema import is_live, operations, place_owners, worker_sessions
from pumice.operations.model import ANYWHERE
from pumice.operations.store import CLAIMABLE_TOPIC

_log = logging.getLogger(__name__)

DEFAULT_LEASE = 15.0
"""Seconds."""
_WATCH_SECONDS = 0.5


class PlaceTaken(Exception):
    """Another live session owns a place that this one was to have. `str()` names the place, host and process."""


class WorkerSession:
    """This process as a worker. `open` it, keep it while working, `close` it; `lost` is set when others ended it."""

    def __init__(self, database: Database, host: str, places: Iterable[str], folder: Path, lease: float) -> None:
        self.id = new_id()
        self.host = host
        self.places = frozenset(places)
        self.lost = threading.Event()
        self._database = database
        self._folder = folder
        self._lease = lease
        self._ending = threading.Event()
        self._seen: dict[str, tuple[int, float]] = {}
        self._threads: list[threading.Thread] = []
        self._lock = -1

    @property
    def reach(self) -> list[str]:
        """Every place whose steps this session may run."""
        return [*sorted(self.places), ANYWHERE]

    @classmethod
    def open(
        cls,
        database: Database,
        *,
        host: str,
        places: Iterable[str],
        folder: Path,
        lease: float = DEFAULT_LEASE,
        wait: float = 0.0,
    ) -> "WorkerSession":
        """Register and take the places, from dead sessions too; then the heartbeat runs in its own thread.

        folder: `<state>/sessions`. wait: seconds to wait for places that a live session owns. Raises PlaceTaken."""
        session = cls(database, host, places, folder, lease)
        session._take_lock()
        try:
            session._register(wait)
        except BaseException:
            session._drop_lock()
            raise
        for name, work in (("heartbeat", session._beat), ("sessions", session._watch)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            session._threads.append(thread)
        return session

    def close(self) -> None:
        """The clean end: what it had claimed is free at once, and no step counts as having crashed it."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        with contextlib.suppress(DatabaseUnavailable), self._database.write() as tx:
            end_session(tx, self.id, crashed=False)
        self._drop_lock()

    # ---- the lock that the kernel lets go

    def _lock_path(self, session_id: str) -> Path:
        return self._folder / f"{session_id}.lock"

    def _take_lock(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._lock_path(self.id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _drop_lock(self) -> None:
        self._lock_path(self.id).unlink(missing_ok=True)
        os.close(self._lock)

    # ---- registering

    def _register(self, wait: float) -> None:
        deadline = self._database.clock.monotonic() + wait
        pause = threading.Event()
        while True:
            self.end_dead()
            try:
                with self._database.write() as tx:
                    self._insert(tx)
                return
            except (PlaceTaken, IntegrityError):  # the latter: somebody takes the same place right now
                if self._database.clock.monotonic() >= deadline:
                    raise
                pause.wait(0.1)

    def _insert(self, tx: Transaction) -> None:
        moment = _database_now(tx)
        tx.execute(
            insert(worker_sessions).values(
                id=self.id,
                host=self.host,
                process_id=os.getpid(),
                started_at=tx.now,
                heartbeat_at=moment,
                lease=int(self._lease * SECOND),
            )
        )
        for place in sorted(self.places):
            take_place(tx, place, self.id)
        tx.wake(CLAIMABLE_TOPIC)

    # ---- the two threads

    def _beat(self) -> None:
        while not self._ending.wait(self._lease / 3):
            try:
                with self._database.write() as tx:
                    if not heartbeat(tx, self.id):
                        _log.error("worker session %s was ended by others; this process must start again", self.id)
                        self.lost.set()
                        return
            except DatabaseUnavailable:
                _log.warning("the heartbeat of session %s waits for the database", self.id)

    def _watch(self) -> None:
        while not self._ending.wait(_WATCH_SECONDS):
            with contextlib.suppress(DatabaseUnavailable):
                self.end_dead()

    # ---- the dead

    def end_dead(self) -> list[str]:
        """End every session that is dead as seen from here; returns their ids."""
        with self._database.read() as tx:
            others = tx.execute(
                select(worker_sessions, _expired(tx).label("expired")).where(
                    worker_sessions.c.ended_at.is_(None), worker_sessions.c.id != self.id
                )
            ).all()
        self._seen = {other.id: self._seen[other.id] for other in others if other.id in self._seen}
        dead = [(other, how) for other in others if (how := self._why_dead(other)) is not None]
        ended = []
        for other, how in dead:
            with self._database.write() as tx:
                if end_session(tx, other.id, crashed=True, heartbeat_at=other.heartbeat_at):
                    _log.warning("worker session %s of %s is dead (%s)", other.id, other.host, how)
                    ended.append(other.id)
            self._lock_path(other.id).unlink(missing_ok=True)
        return ended

    def _why_dead(self, other: Row[Any]) -> str | None:
        if other.host == self.host and _is_free(self._lock_path(other.id)):
            return "its process has ended"
        if not self._database.sqlite:
            return "its lease ran out" if other.expired else None
        now = self._database.clock.monotonic()
        beat, since = self._seen.get(other.id, (None, now))
        if beat != other.heartbeat_at:
            since = now
        self._seen[other.id] = (other.heartbeat_at, since)
        return "its lease ran out" if now - since > other.lease / SECOND else None


def _is_free(path: Path) -> bool:
    """True when the lock's file is here and nobody holds it. A missing file says nothing (another host or folder)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _database_now(tx: Transaction) -> Any:
    """Microseconds: PostgreSQL's own clock, so that hosts with wrong clocks agree; this host's on SQLite."""
    if tx.sqlite:
        return tx.now
    return cast(extract("epoch", func.clock_timestamp()) * SECOND, BigInteger)


def _expired(tx: Transaction) -> ColumnElement[bool]:
    if tx.sqlite:
        return false()
    expired: ColumnElement[bool] = worker_sessions.c.heartbeat_at + worker_sessions.c.lease < _database_now(tx)
    return expired


def heartbeat(tx: Transaction, session_id: str) -> bool:
    """Renew the lease. False: the session has been ended."""
    statement = (
        update(worker_sessions)
        .where(worker_sessions.c.id == session_id, worker_sessions.c.ended_at.is_(None))
        .values(heartbeat_at=_database_now(tx))
    )
    return bool(tx.execute(statement).rowcount)


def take_place(tx: Transaction, place: str, session_id: str) -> None:
    """Make the session the owner of the place. Raises PlaceTaken while a live session owns it."""
    owner = tx.execute(
        select(
            place_owners.c.session_id, worker_sessions.c.host, worker_sessions.c.process_id, worker_sessions.c.ended_at
        )
        .join(worker_sessions, worker_sessions.c.id == place_owners.c.session_id)
        .where(place_owners.c.place == place)
        .with_for_update()
    ).first()
    if owner is None:
        tx.execute(insert(place_owners).values(place=place, session_id=session_id, since=tx.now))
    elif owner.ended_at is None:
        raise PlaceTaken(
            f"{place} is worked on by the process {owner.process_id} of the host {owner.host}; "
            "end that agent, or give this one other backends"
        )
    else:
        tx.execute(
            update(place_owners).where(place_owners.c.place == place).values(session_id=session_id, since=tx.now)
        )


def end_session(tx: Transaction, session_id: str, *, crashed: bool, heartbeat_at: int | None = None) -> bool:
    """End the session, free its operations and places. False: it has ended already, or its heartbeat has moved on.

    crashed: lay the crash at the door of what it had in its hands: on the first crash that is everything it had
    claimed; an operation that has seen a crash before is marked when it starts, so only those running count again.
    heartbeat_at: the heartbeat that made it look dead."""
    which = and_(worker_sessions.c.id == session_id, worker_sessions.c.ended_at.is_(None))
    if heartbeat_at is not None:
        which = and_(which, worker_sessions.c.heartbeat_at == heartbeat_at)
    if not tx.execute(update(worker_sessions).where(which).values(ended_at=tx.now)).rowcount:
        return False
    values: dict[str, Any] = {"session_id": None, "started": False}
    if crashed:
        crashes = operations.c.crashes
        suspect = or_(operations.c.started, crashes == 0)
        values["crashes"] = crashes + case((suspect, 1), else_=0)
        # At once after the first crash, then more and more patient: 0, 0.25, 1, 2.25, 4 s ... a minute.
        pause = case((crashes > 15, 60 * SECOND), else_=crashes * crashes * (SECOND // 4))
        values["not_before"] = case(
            (and_(suspect, crashes > 0), literal(tx.now, BigInteger) + pause), else_=operations.c.not_before
        )
    tx.execute(update(operations).where(operations.c.session_id == session_id, is_live()).values(**values))
    tx.execute(delete(place_owners).where(place_owners.c.session_id == session_id))
    tx.wake(CLAIMABLE_TOPIC)
    return True


def working(tx: Transaction) -> tuple[str, int] | None:
    """Host and process of an agent that works on this database now, as its heartbeat tells; None: nobody does."""
    row = tx.execute(
        select(worker_sessions.c.host, worker_sessions.c.process_id).where(
            worker_sessions.c.ended_at.is_(None),
            worker_sessions.c.heartbeat_at + worker_sessions.c.lease > _database_now(tx),
        )
    ).first()
    return None if row is None else (row.host, row.process_id)


def end_all(tx: Transaction) -> int:
    """End every session: of a database that was restored or copied, whose processes are not here; how many."""
    found = tx.execute(select(worker_sessions.c.id).where(worker_sessions.c.ended_at.is_(None))).scalars().all()
    return sum(end_session(tx, session_id, crashed=True) for session_id in found)
