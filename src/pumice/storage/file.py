"""The file driver: volumes are raw sparse files in a directory, published by one rename.

Snapshots and clones are reflinks where the file system can (found by trying at start; an XFS image is mounted
where it cannot and we may, see `xfs_pool.py`), else sparse copies. Bytes of volumes and images are data and never
parsed. Space is never allocated beforehand. The pool's files and locks are in `pool_directory.py`.

Constructed by `registry.py`, called by the operations; one process at a time owns a pool.
"""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pumice import faults
from pumice.outcomes import Made, Problem, Removed
from pumice.storage import aside, sparse, xfs_pool
from pumice.storage.config import PoolConfig
from pumice.storage.contract import (
    BackendDown,
    Capabilities,
    Kind,
    Location,
    NoSpace,
    NotFound,
    PoolStats,
    Progress,
    StorageError,
    StoredSnapshot,
    StoredVolume,
    Unmanaged,
    Unsupported,
)
from pumice.storage.fence import Attempt, Fence
from pumice.storage.image_cache import ImageCache
from pumice.storage.pool_directory import (
    SNAPSHOT,
    VOLUME,
    PoolDirectory,
    PoolOwned,
    Thing,
    errors_read,
    open_pool,
    thing,
)

_VOLUME_ATTRIBUTE = "user.pumice.volume"

Fill = Callable[[PoolDirectory, int, Attempt], None]
"""Gives the new empty file (a descriptor) its bytes and size; may be called again after a full pool was relieved."""


class FileDriver:
    """One pool of raw files. `start` first; every other method raises BackendDown until it succeeded."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._fence = Fence()
        self._starting = threading.Lock()
        self._opened: PoolDirectory | None = None
        self._why_not = f"pool {config.name} has not been started"
        """Why it is not open, when it is not."""
        self._cache: ImageCache | None = None
        self._reflinks = False

    @property
    def capabilities(self) -> Capabilities:
        """Instant and atomic only once `start` has seen that the pool can reflink."""
        return Capabilities(
            storage_protocol="file",
            vendor_name="Pumice",
            driver_version="1.0",
            instant_clone=self._reflinks,
            atomic_snapshot=self._reflinks,
            extend_in_use=True,
            multiattach=True,
            thin=True,
        )

    def start(self) -> None:
        with self._starting:
            if self._opened is not None and self._works(self._opened):
                return
            away, self._opened, self._cache = self._opened, None, None
            if away is not None:
                away.retire()
            try:
                self._open()
            except OSError as error:
                reason = os.strerror(error.errno or 0)
                self._why_not = f"pool {self._config.name} cannot be started: {reason}"
                raise BackendDown(self._why_not) from error
            except StorageError as error:
                self._why_not = str(error)
                raise

    def close(self) -> None:
        """Let go of the pool, so that another process may own it or it may be unmounted. No call may be running."""
        opened, self._opened, self._cache = self._opened, None, None
        if opened is not None:
            opened.close()

    def check(self) -> list[Problem]:
        """Also brings back a pool that was away (mounted again, marker there again)."""
        name = self._config.name
        try:
            self.start()
            with self._pool() as pool:
                pool.probe()
        except NoSpace as error:
            return [Problem("pool-full", str(error), f"delete volumes or enlarge pool {name}")]
        except PoolOwned as error:
            return [Problem("pool-owned", str(error), "stop the other process, or give it a pool of its own")]
        except StorageError as error:
            return [Problem("pool-missing", str(error), f"mount the file system of pool {name}, or correct its path")]
        stats = self.stats()
        if stats.free_bytes <= 0:
            sentence = f"pool {name} has no space left of {stats.total_bytes} bytes, with what is reserved"
            return [Problem("pool-full", sentence, f"delete volumes or enlarge pool {name}")]
        return []

    def stats(self) -> PoolStats:
        with self._pool() as pool:
            found = os.fstatvfs(pool.root)
            total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
            image = xfs_pool.backing_image(self._config.path)
            if image is not None:
                used = total - found.f_bfree * found.f_frsize
                total, free = xfs_pool.limited_below(image, total, free)
            else:
                used = sum(entry.st_blocks * 512 for kind in (VOLUME, SNAPSHOT) for _, entry in pool.published(kind))
            return PoolStats(
                name=self._config.name,
                total_bytes=total,
                free_bytes=max(0, free - self._config.reserved_bytes),
                allocated_bytes=used,
            )

    def create(self, volume_id: str, size_bytes: int, epoch: int) -> Made:
        def fill(_pool: PoolDirectory, copy: int, _attempt: Attempt) -> None:
            os.ftruncate(copy, size_bytes)

        return self._make(thing(VOLUME, volume_id), epoch, "create", fill)

    def clone(self, source_volume_id: str, volume_id: str, size_bytes: int, epoch: int, progress: Progress) -> Made:
        source = thing(VOLUME, source_volume_id)
        return self._copy("clone", source, thing(VOLUME, volume_id), size_bytes, epoch, progress)

    def clone_snapshot(self, snapshot_id: str, volume_id: str, size_bytes: int, epoch: int, progress: Progress) -> Made:
        source = thing(SNAPSHOT, snapshot_id)
        return self._copy("clone_snapshot", source, thing(VOLUME, volume_id), size_bytes, epoch, progress)

    def import_file(
        self,
        path: str,
        volume_id: str,
        size_bytes: int,
        epoch: int,
        progress: Progress,
        *,
        image_key: str | None = None,
        replace: bool = False,
    ) -> Made:
        def fill(_pool: PoolDirectory, copy: int, attempt: Attempt) -> None:
            with _foreign_file(path) as source:
                _require_fits(os.fstat(source).st_size, size_bytes, "the image")
                watch = attempt.watched(progress)
                if image_key is None or not self._reflinks or self._cache is None:
                    sparse.copy_or_reflink(source, copy, watch)
                else:
                    self._import_cached(self._cache, image_key, source, copy, watch)
            os.ftruncate(copy, size_bytes)

        return self._make(thing(VOLUME, volume_id), epoch, "import_file", fill, replace=replace)

    def export_file(self, volume_id: str, path: str, progress: Progress) -> None:
        target = Path(path)
        part = target.with_name(target.name + ".part")
        with self._pool() as pool, _closing(pool.open(thing(VOLUME, volume_id), os.O_RDONLY)) as source:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with _closing(os.open(part, flags, 0o600)) as copy:
                try:
                    sparse.copy_or_reflink(source, copy, progress)
                    os.fsync(copy)
                    faults.point("file.export_file:made")
                    part.rename(target)
                except BaseException:
                    part.unlink(missing_ok=True)
                    raise

    def extend(self, volume_id: str, size_bytes: int) -> Made:
        with self._pool() as pool, _closing(pool.open(thing(VOLUME, volume_id), os.O_RDWR)) as fd:
            found = os.fstat(fd).st_size
            if found > size_bytes:
                raise Unsupported(f"volume {volume_id} has {found} bytes and cannot shrink to {size_bytes}")
            if found < size_bytes:
                os.ftruncate(fd, size_bytes)
                faults.point("file.extend:made")
            os.fsync(fd)
            return Made.ALREADY_THERE if found == size_bytes else Made.CREATED

    def shrink_back(self, volume_id: str, size_bytes: int) -> Removed:
        try:
            with self._pool() as pool, _closing(pool.open(thing(VOLUME, volume_id), os.O_RDWR)) as fd:
                if os.fstat(fd).st_size <= size_bytes:
                    return Removed.WAS_ABSENT
                if sparse.has_data(fd, size_bytes):
                    raise Unsupported(f"volume {volume_id} has data behind byte {size_bytes} and cannot be cut there")
                os.ftruncate(fd, size_bytes)
                faults.point("file.shrink_back:made")
                os.fsync(fd)
                return Removed.DELETED
        except NotFound:
            return Removed.WAS_ABSENT

    def delete(self, volume_id: str) -> Removed:
        return self._remove(thing(VOLUME, volume_id), "delete")

    def discard(self, volume_id: str, epoch: int) -> Removed:
        wanted = thing(VOLUME, volume_id)
        with self._pool() as pool:
            self._fence.supersede(wanted.id, epoch)
            return Removed.DELETED if pool.discard(wanted.id, epoch) else Removed.WAS_ABSENT

    def create_snapshot(self, volume_id: str, snapshot_id: str, epoch: int, progress: Progress) -> Made:
        source = thing(VOLUME, volume_id)
        return self._copy("create_snapshot", source, thing(SNAPSHOT, snapshot_id), None, epoch, progress)

    def delete_snapshot(self, volume_id: str, snapshot_id: str) -> Removed:
        thing(VOLUME, volume_id)
        return self._remove(thing(SNAPSHOT, snapshot_id), "delete_snapshot")

    def revert(self, volume_id: str, snapshot_id: str, epoch: int, progress: Progress) -> Made:
        """The size stays what it is when the volume was extended after the snapshot. Answers CREATED every time."""
        volume = thing(VOLUME, volume_id)
        with self._pool() as pool, _closing(pool.open(volume, os.O_RDONLY)) as now:
            size = os.fstat(now).st_size
        return self._copy("revert", thing(SNAPSHOT, snapshot_id), volume, size, epoch, progress, replace=True)

    def set_aside(self, kind: Kind, thing_id: str, name: str) -> Removed:
        wanted = thing(kind, thing_id)
        with self._pool() as pool, self._fence.lock:
            self._fence.supersede(wanted.id)
            moved = aside.set_aside(pool, wanted, name)
            faults.point("file.set_aside:made")
            return Removed.DELETED if moved else Removed.WAS_ABSENT

    def take_in(self, kind: Kind, thing_id: str, name: str, volume_id: str) -> Made:
        wanted = thing(kind, thing_id)
        with self._pool() as pool, self._fence.lock:
            moved = aside.take_in(pool, wanted, name)
            faults.point("file.take_in:made")
            if kind == SNAPSHOT:
                with _closing(pool.open(wanted, os.O_RDWR)) as found:
                    _note_volume(found, volume_id)
            return Made.CREATED if moved else Made.ALREADY_THERE

    def unmanaged(self) -> Iterator[Unmanaged]:
        with self._pool() as pool:
            return iter(list(aside.listed(pool)))

    def locate(self, volume_id: str) -> Location:
        volume = thing(VOLUME, volume_id)
        with self._pool() as pool:
            found = pool.find(volume)
            if found is None:
                raise NotFound(f"{volume} is not in pool {pool.name}")
            return Location(kind="file", path=pool.path_of(volume), size_bytes=found.st_size)

    def volumes(self) -> Iterator[StoredVolume]:
        with self._pool() as pool:
            return iter([StoredVolume(volume_id, found.st_size) for volume_id, found in pool.published(VOLUME)])

    def snapshots(self) -> Iterator[StoredSnapshot]:
        with self._pool() as pool:
            found = []
            for snapshot_id, status in pool.published(SNAPSHOT):
                try:
                    volume_id = self._volume_of(pool, snapshot_id)
                except NotFound:
                    continue
                found.append(StoredSnapshot(snapshot_id, volume_id, status.st_size))
            return iter(found)

    # How things are made

    def _make(self, wanted: Thing, epoch: int, method: str, fill: Fill, *, replace: bool = False) -> Made:
        """Fill a work file and give it the final name. A full pool is relieved of kept images once."""
        with self._pool() as pool, self._fence.attempt(wanted.id, epoch) as attempt:
            if not replace and pool.find(wanted) is not None:
                pool.sync(wanted.kind)
                return Made.ALREADY_THERE
            try:
                return self._make_once(pool, attempt, wanted, method, fill, replace)
            except OSError as error:
                if error.errno != errno.ENOSPC or self._cache is None or not self._cache.empty():
                    raise
            return self._make_once(pool, attempt, wanted, method, fill, replace)

    def _make_once(
        self, pool: PoolDirectory, attempt: Attempt, wanted: Thing, method: str, fill: Fill, replace: bool
    ) -> Made:
        with attempt.publishing():
            copy = pool.open_work(wanted, attempt.epoch)
        with _closing(copy):
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

    def _copy(
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
            with _closing(pool.open(source, os.O_RDONLY)) as data:
                if size_bytes is not None:
                    _require_fits(os.fstat(data).st_size, size_bytes, str(source))
                sparse.copy_or_reflink(data, copy, attempt.watched(progress))
            if size_bytes is not None:
                os.ftruncate(copy, size_bytes)
            if wanted.kind == SNAPSHOT:
                _note_volume(copy, source.id)

        return self._make(wanted, epoch, method, fill, replace=replace)

    @staticmethod
    def _import_cached(cache: ImageCache, key: str, source: int, copy: int, progress: Progress) -> None:
        """From the kept copy where there is one; else copied once and kept."""
        with cache.filling(key, progress):
            kept = cache.open(key)
            if kept is None:
                sparse.copy_or_reflink(source, copy, progress)
                cache.keep(key, copy)
                return
        with _closing(kept):
            sparse.copy_or_reflink(kept, copy, progress)

    def _remove(self, wanted: Thing, method: str) -> Removed:
        with self._pool() as pool:
            self._fence.supersede(wanted.id)
            faults.point(f"file.{method}:opened")
            removed = pool.remove(wanted)
            faults.point(f"file.{method}:made")
            return Removed.DELETED if removed else Removed.WAS_ABSENT

    # The pool

    @contextmanager
    def _pool(self) -> Iterator[PoolDirectory]:
        """The opened pool, proven to be the right one; errors of the system in the block become the contract's."""
        opened = self._opened
        if opened is None:
            raise BackendDown(self._why_not)
        with opened.used():
            opened.verify()
            with errors_read(self._config.name):
                yield opened

    @staticmethod
    def _works(opened: PoolDirectory) -> bool:
        try:
            opened.verify()
        except BackendDown:
            return False
        return True

    def _open(self) -> None:
        """Mount, open, lock, and clear away what a killed owner left. Raises OSError, BackendDown, NoSpace."""
        self._mount()
        opened = open_pool(self._config.name, self._config.path, self._config.record_path)
        opened.sweep()
        self._reflinks = sparse.can_reflink(opened.work)
        cached = self._config.cached_images if self._reflinks else 0
        cache = ImageCache(opened.images, cached, self._config.cached_image_bytes)
        cache.sweep()
        self._opened, self._cache = opened, cache

    def _mount(self) -> None:
        """Make the directory, and where it cannot reflink mount an XFS image there (see PoolConfig.loop_image)."""
        path, image = Path(self._config.path), self._config.loop_image
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(self._config.record_path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if image is None:
            return
        if Path(image).exists():
            xfs_pool.mount(image, self._config.path)
        elif not Path(self._config.record_path).exists() and xfs_pool.wanted(self._config.path):
            xfs_pool.create(image, self._config.size_bytes)
            xfs_pool.mount(image, self._config.path)

    @staticmethod
    def _volume_of(pool: PoolDirectory, snapshot_id: str) -> str:
        """Id of the volume that the snapshot was taken of, "" where the file system keeps no attributes."""
        with _closing(pool.open(thing(SNAPSHOT, snapshot_id), os.O_RDONLY)) as fd:
            try:
                return os.getxattr(fd, _VOLUME_ATTRIBUTE).decode()
            except OSError as error:
                if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
                    return ""
                raise


def _note_volume(snapshot: int, volume_id: str) -> None:
    try:
        os.setxattr(snapshot, _VOLUME_ATTRIBUTE, volume_id.encode())
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise


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
    with _closing(fd):
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise StorageError("the image to import is not a regular file")
        yield fd


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
