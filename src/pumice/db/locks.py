"""Locks of the writer: across threads, and across processes that write one SQLite file."""

import fcntl
import os
import threading
from pathlib import Path


class OneAtATime:
    """A lock that says so when a thread that holds it wants it again, instead of waiting for itself for ever."""

    def __init__(self, what: str) -> None:
        self._what, self._lock = what, threading.Lock()
        self._holder: int | None = None

    def __enter__(self) -> None:
        if self._holder == threading.get_ident():
            raise RuntimeError(f"{self._what} within {self._what} in one thread: pass the transaction on instead")
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        self._holder = None
        self._lock.release()


class WriteLock:
    """Across threads and processes: one write transaction at a time."""

    def __init__(self, path: Path) -> None:
        self._thread = OneAtATime("database.write()")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        self._thread.__enter__()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except BaseException:
            self._thread.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._thread.__exit__()

    def close(self) -> None:
        os.close(self._file)
