"""How a file of the pool is made: filled under a work name, then given its final one by one rename.

    attempt registered -> work file -> filled -> synced -> renamed, unless a newer attempt came in between -> synced

What fills it: nothing (`blank`), a volume or snapshot of the pool (`copy`), a file from outside (`take`). Copies are
reflinks where the pool can, else sparse. Called by the file driver only; fault points bear the driver's method.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pumice import durable, faults
from pumice.outcomes import Made
from pumice.storage import sparse
from pumice.storage.contract import NotFound, Progress, StorageError, Unsupported
from pumice.storage.fence import Attempt, Fence
from pumice.storage.file_pool import FilePool
from pumice.storage.image_cache import ImageCache
from pumice.storage.pool_directory import SNAPSHOT, PoolDirectory, Thing, note_volume

Fill = Callable[[PoolDirectory, int, Attempt], None]
"""Gives the new empty file (a descriptor) its bytes and size; may be called again after a full pool was relieved."""


class Maker:
    """Makes the files of one pool, one attempt at a time for each. Answers ALREADY_THERE for what is there, unless it
    is to be replaced. Raises Superseded, and what the contract says of the method."""

    def __init__(self, pool: FilePool, fence: Fence) -> None:
        self._pool = pool
        self._fence = fence

    def blank(self, method: str, wanted: Thing, size_bytes: int, epoch: int) -> Made:
        def fill(_pool: PoolDirectory, copy: int, _attempt: Attempt) -> None:
            os.ftruncate(copy, size_bytes)

        return self._make(wanted, epoch, method, fill)

    def copy(
        self,
        method: str,
        source: Thing,
        wanted: Thing,
        size_bytes: int | None,
        epoch: int,
        progress: Progress,
        *,
        replace: bool = False,
    ) -> Made:
        """Make `wanted` from the data of `source`, grown to size_bytes (None: as it is)."""

        def fill(pool: PoolDirectory, copy: int, attempt: Attempt) -> None:
            with durable.closing(pool.open(source, os.O_RDONLY)) as data:
                if size_bytes is not None:
                    _require_fits(os.fstat(data).st_size, size_bytes, str(source))
                sparse.copy_or_reflink(data, copy, attempt.watched(progress))
            if size_bytes is not None:
                os.ftruncate(copy, size_bytes)
            if wanted.kind == SNAPSHOT:
                note_volume(copy, source.id)

        return self._make(wanted, epoch, method, fill, replace=replace)

    def take(
        self,
        method: str,
        path: str,
        wanted: Thing,
        size_bytes: int,
        epoch: int,
        progress: Progress,
        *,
        image_key: str | None,
        replace: bool,
    ) -> Made:
        """Make `wanted` from a file outside the pool; image_key: what its content is kept by for the next one."""

        def fill(_pool: PoolDirectory, copy: int, attempt: Attempt) -> None:
            with _foreign_file(path) as source:
                _require_fits(os.fstat(source).st_size, size_bytes, "the image")
                watch = attempt.watched(progress)
                if image_key is None or not self._pool.reflinks or self._pool.cache is None:
                    sparse.copy_or_reflink(source, copy, watch)
                else:
                    _import_cached(self._pool.cache, image_key, source, copy, watch)
            os.ftruncate(copy, size_bytes)

        return self._make(wanted, epoch, method, fill, replace=replace)

    def _make(self, wanted: Thing, epoch: int, method: str, fill: Fill, *, replace: bool = False) -> Made:
        """Fill a work file and give it the final name. A full pool is relieved of kept images once."""
        with self._pool.used() as pool, self._fence.attempt(wanted.id, epoch) as attempt:
            if not replace and pool.find(wanted) is not None:
                pool.sync(wanted.kind)
                return Made.ALREADY_THERE
            try:
                return self._make_once(pool, attempt, wanted, method, fill, replace)
            except OSError as error:
                if error.errno != errno.ENOSPC or self._pool.cache is None or not self._pool.cache.empty():
                    raise
            return self._make_once(pool, attempt, wanted, method, fill, replace)

    def _make_once(
        self, pool: PoolDirectory, attempt: Attempt, wanted: Thing, method: str, fill: Fill, replace: bool
    ) -> Made:
        with attempt.publishing():
            copy = pool.open_work(wanted, attempt.epoch)
        with durable.closing(copy):
            try:
                faults.point(f"file.{method}:opened")
                fill(pool, copy, attempt)
                os.fsync(copy)
                faults.point(f"file.{method}:made")
                with attempt.publishing():
                    there = pool.find(wanted) is not None
                    if there and not replace:
                        return Made.ALREADY_THERE
                    if replace and not there:
                        raise NotFound(f"{wanted} is not in pool {pool.name}")
                    pool.publish(wanted, attempt.epoch)
                faults.point(f"file.{method}:published")
                pool.sync(wanted.kind)
            finally:
                with self._fence.lock:
                    pool.drop_work(wanted, attempt.epoch, copy)
        return Made.CREATED


def _import_cached(cache: ImageCache, key: str, source: int, copy: int, progress: Progress) -> None:
    """From the kept copy where there is one; else copied once and kept."""
    with cache.filling(key, progress):
        kept = cache.open(key)
        if kept is None:
            sparse.copy_or_reflink(source, copy, progress)
            cache.keep(key, copy)
            return
    with durable.closing(kept):
        sparse.copy_or_reflink(kept, copy, progress)


def _require_fits(found: int, size_bytes: int, what: str) -> None:
    if found > size_bytes:
        raise Unsupported(f"{what} has {found} bytes and does not fit into {size_bytes}")


@contextmanager
def _foreign_file(path: str) -> Iterator[int]:
    """A raw file from outside the pool, by descriptor. Raises StorageError for anything but a regular file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"the image file cannot be opened: {os.strerror(error.errno or 0)}") from error
    with durable.closing(fd):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise StorageError("the image to import is not a regular file")
        yield fd
