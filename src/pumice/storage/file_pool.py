"""A file pool as the driver holds it: mounted, opened and locked, and proven anew for every use.

    away --start--> opened --(the path leads elsewhere, the marker is gone)--> away --check, start--> opened

Reflinks are found by trying at start; an XFS image is mounted where the file system has none and we may (`xfs_pool`).
Called by the file driver only.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pumice.outcomes import Problem
from pumice.storage import sparse, xfs_pool
from pumice.storage.config import PoolConfig
from pumice.storage.contract import BackendDown, NoSpace, PoolStats, StorageError
from pumice.storage.image_cache import ImageCache
from pumice.storage.pool_directory import SNAPSHOT, VOLUME, PoolDirectory, PoolOwned, errors_read, open_pool


class FilePool:
    """One pool. `start` first; `used` and `stats` raise BackendDown until it succeeded."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self.reflinks = False
        """Known once started."""
        self.cache: ImageCache | None = None
        """Of the opened pool."""
        self._starting = threading.Lock()
        self._opened: PoolDirectory | None = None
        self._why_not = f"pool {config.name} has not been started"
        """Why it is not open, when it is not."""

    def start(self) -> None:
        with self._starting:
            if self._opened is not None and self._works(self._opened):
                return
            away, self._opened, self.cache = self._opened, None, None
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
        opened, self._opened, self.cache = self._opened, None, None
        if opened is not None:
            opened.close()

    @contextmanager
    def used(self) -> Iterator[PoolDirectory]:
        """The opened pool, proven to be the right one; errors of the system in the block become the contract's."""
        opened = self._opened
        if opened is None:
            raise BackendDown(self._why_not)
        with opened.used():
            opened.verify()
            with errors_read(self._config.name):
                yield opened

    def check(self) -> list[Problem]:
        """Also brings back a pool that was away (mounted again, marker there again)."""
        name = self._config.name
        try:
            self.start()
            with self.used() as pool:
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
        with self.used() as pool:
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
        self.reflinks = sparse.can_reflink(opened.work)
        cached = self._config.cached_images if self.reflinks else 0
        cache = ImageCache(opened.images, cached, self._config.cached_image_bytes)
        cache.sweep()
        self._opened, self.cache = opened, cache

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
