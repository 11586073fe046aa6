"""Who works in a state directory: the lock of `pumice serve`. Light to import.

with state_lock.held(settings): ...      nobody serves here now, and nobody starts to
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pumice.settings import Settings


class StateTaken(Exception):
    """Somebody works in this state directory; the text says who and what helps."""


def take(settings: Settings) -> int:
    """The descriptor that holds the lock; the kernel ends it with the process. Raises StateTaken."""
    state = settings.state
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateTaken(
            f"the state directory {state} cannot be written ({os.strerror(error.errno or 0)}): "
            "correct its owner or mode, or give another with --state"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "?"
        os.close(lock)
        raise StateTaken(
            f"another pumice serve (process {owner}) runs in {state}: end it, or give another directory with --state"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    """The lock, as long as the block lasts. Raises StateTaken."""
    lock = take(settings)
    try:
        yield
    finally:
        os.close(lock)
