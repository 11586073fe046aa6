"""Image content kept in the pool, so that the next volume from the same image is a reflink.

Called by the file driver, only where the pool can reflink. An entry is a file named by the hash of its key; the
least recently used go first (times of last use are the files' modification times). An entry that is evicted
while somebody clones from it stays readable for that one: it holds it open.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pumice import faults
from pumice.storage import sparse
from pumice.storage.contract import Progress

_SUFFIX = ".raw"
_SCRATCH = ".new"
_WAIT_SECONDS = 0.2


class ImageCache:
    """The kept images of one opened pool. Safe from any thread of the owning process."""

    def __init__(self, dir_fd: int, most_images: int, most_bytes: int) -> None:
        self._dir_fd = dir_fd
        self._most_images = most_images
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._filling: dict[str, threading.Lock] = {}

    def open(self, key: str) -> int | None:
        """Descriptor of the kept content (the caller closes it), None for none. Raises OSError."""
        try:
            fd = os.open(_name(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._dir_fd)
        except FileNotFoundError:
            return None
        os.utime(fd)
        return fd

    @contextmanager
    def filling(self, key: str, progress: Progress) -> Iterator[None]:
        """One at a time for one key: whoever comes second waits for the first and then finds its copy.
        While waiting progress(0, 0) is called, which may raise."""
        with self._lock:
            turn = self._filling.setdefault(key, threading.Lock())
        while not turn.acquire(timeout=_WAIT_SECONDS):
            progress(0, 0)
        try:
            yield
        finally:
            turn.release()

    def keep(self, key: str, content: int) -> None:
        """Keep what the open file holds now, at no cost of space; evict others beyond the bounds. Raises OSError."""
        if self._most_images < 1 or os.fstat(content).st_blocks * 512 > self._most_bytes:
            return
        scratch = _name(key) + _SCRATCH
        self._unlink(scratch)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(scratch, flags, 0o600, dir_fd=self._dir_fd)
        try:
            if sparse.reflink(content, fd):
                os.fsync(fd)
                faults.point("file.cache:made")
                os.rename(scratch, _name(key), src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        finally:
            self._unlink(scratch)
            os.close(fd)
        self._evict()

    def empty(self) -> bool:
        """Give up everything kept. True when there was something."""
        names = self._entries()
        for _, _, name in names:
            self._unlink(name)
        return bool(names)

    def sweep(self) -> None:
        """Remove what a killed `keep` left. Only before anybody uses the cache."""
        for name in os.listdir(self._dir_fd):
            if name.endswith(_SCRATCH):
                self._unlink(name)
        self._evict()

    def _evict(self) -> None:
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        while entries and (len(entries) > self._most_images or total > self._most_bytes):
            _, size, name = entries.pop(0)
            self._unlink(name)
            total -= size

    def _entries(self) -> list[tuple[int, int, str]]:
        """(time of last use in nanoseconds, bytes, name) of each entry."""
        entries = []
        for name in os.listdir(self._dir_fd):
            if not name.endswith(_SUFFIX):
                continue
            try:
                found = os.stat(name, dir_fd=self._dir_fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            entries.append((found.st_mtime_ns, found.st_blocks * 512, name))
        return entries

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._dir_fd)


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest() + _SUFFIX
