"""Fences late writers inside one process: of several attempts at one thing only the newest may publish.

A pool on local disks has one owning process (the host lock of the pool), so a late writer can only be a thread
of this process that hung and woke up. Each attempt registers here for as long as it runs; a newer attempt, a
discard or a delete turns the older ones stale, and a stale attempt cannot publish any more. Nothing is
remembered once the attempts have ended, so epochs of different operations are never compared.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pumice.storage.contract import Progress, StorageError


class Superseded(StorageError):
    """A newer attempt at the same thing, its discard or its deletion came in between."""

    transient = True


class Attempt:
    """One running try to make something."""

    def __init__(self, fence: "Fence", thing_id: str, epoch: int) -> None:
        self._fence = fence
        self.thing_id = thing_id
        self.epoch = epoch
        self.stale = False

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """While the block runs no other attempt can start, publish or turn this one stale. Raises Superseded."""
        with self._fence.lock:
            self.require()
            yield

    def require(self) -> None:
        """Raises Superseded when this attempt must not go on."""
        if self.stale:
            raise Superseded(f"attempt {self.epoch} at {self.thing_id} was given up: a newer one took its place")

    def watched(self, progress: Progress) -> Progress:
        """The same progress function, which also stops a stale attempt."""

        def watch(done: int, total: int) -> None:
            self.require()
            progress(done, total)

        return watch


class Fence:
    """The running attempts of one pool."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._running: dict[str, list[Attempt]] = {}

    @contextmanager
    def attempt(self, thing_id: str, epoch: int) -> Iterator[Attempt]:
        """Register a try; older and equal ones still running turn stale. Raises Superseded when a newer one runs."""
        attempt = Attempt(self, thing_id, epoch)
        with self.lock:
            running = self._running.get(thing_id, [])
            attempt.stale = any(other.epoch > epoch and not other.stale for other in running)
            attempt.require()
            self.supersede(thing_id, epoch)
            self._running.setdefault(thing_id, []).append(attempt)
        try:
            yield attempt
        finally:
            with self.lock:
                left = [other for other in self._running[thing_id] if other is not attempt]
                if left:
                    self._running[thing_id] = left
                else:
                    del self._running[thing_id]

    def supersede(self, thing_id: str, epoch: int | None = None) -> None:
        """Running attempts of this epoch or an older one (None: all) may not publish any more."""
        with self.lock:
            for other in self._running.get(thing_id, []):
                if epoch is None or other.epoch <= epoch:
                    other.stale = True
