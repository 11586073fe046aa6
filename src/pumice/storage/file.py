"""The file driver: volumes are raw sparse files in a directory, published by one rename.

    file_pool.py        the pool: found, mounted, opened, proven to be the right one
    pool_directory.py   its files and locks               xfs_pool.py      a pool where the file system cannot reflink
    file_making.py      how a file is made                sparse.py        the copy: a reflink, or the data only
    fence.py            late writers kept out             image_cache.py   images kept for the next volume
    aside.py            data that is nobody's volume

Here: what the contract asks for, each in a few lines. Bytes of volumes and images are data and never parsed. Space is
never allocated beforehand. Constructed by `registry.py`, called by the operations; one process at a time owns a pool.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pumice import durable, faults
from pumice.outcomes import Made, Problem, Removed
from pumice.storage import aside, sparse
from pumice.storage.config import PoolConfig
from pumice.storage.contract import (
    Capabilities,
    Kind,
    Location,
    NotFound,
    PoolStats,
    Progress,
    StoredSnapshot,
    StoredVolume,
    Unmanaged,
    Unsupported,
)
from pumice.storage.fence import Fence
from pumice.storage.file_making import Maker
from pumice.storage.file_pool import FilePool
from pumice.storage.pool_directory import SNAPSHOT, VOLUME, Thing, note_volume, thing


class FileDriver:
    """One pool of raw files. `start` first; every other method raises BackendDown until it succeeded."""

    def __init__(self, config: PoolConfig) -> None:
        self._pool = FilePool(config)
        self._fence = Fence()
        self._maker = Maker(self._pool, self._fence)

    @property
    def capabilities(self) -> Capabilities:
        """Instant and atomic only once `start` has seen that the pool can reflink."""
        return Capabilities(
            storage_protocol="file",
            vendor_name="Pumice",
            driver_version="1.0",
            instant_clone=self._pool.reflinks,
            atomic_snapshot=self._pool.reflinks,
            extend_in_use=True,
            multiattach=True,
            thin=True,
        )

    def start(self) -> None:
        self._pool.start()

    def close(self) -> None:
        """Let go of the pool, so that another process may own it or it may be unmounted. No call may be running."""
        self._pool.close()

    def check(self) -> list[Problem]:
        return self._pool.check()

    def stats(self) -> PoolStats:
        return self._pool.stats()

    def create(self, volume_id: str, size_bytes: int, epoch: int) -> Made:
        return self._maker.blank("create", thing(VOLUME, volume_id), size_bytes, epoch)

    def clone(self, source_volume_id: str, volume_id: str, size_bytes: int, epoch: int, progress: Progress) -> Made:
        source = thing(VOLUME, source_volume_id)
        return self._maker.copy("clone", source, thing(VOLUME, volume_id), size_bytes, epoch, progress)

    def clone_snapshot(self, snapshot_id: str, volume_id: str, size_bytes: int, epoch: int, progress: Progress) -> Made:
        source = thing(SNAPSHOT, snapshot_id)
        return self._maker.copy("clone_snapshot", source, thing(VOLUME, volume_id), size_bytes, epoch, progress)

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
        wanted = thing(VOLUME, volume_id)
        return self._maker.take(
            "import_file", path, wanted, size_bytes, epoch, progress, image_key=image_key, replace=replace
        )

    def export_file(self, volume_id: str, path: str, progress: Progress) -> None:
        target = Path(path)
        part = target.with_name(target.name + ".part")
        with self._pool.used() as pool, durable.closing(pool.open(thing(VOLUME, volume_id), os.O_RDONLY)) as source:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with durable.closing(os.open(part, flags, 0o600)) as copy:
                try:
                    sparse.copy_or_reflink(source, copy, progress)
                    os.fsync(copy)
                    faults.point("file.export_file:made")
                    part.rename(target)
                except BaseException:
                    part.unlink(missing_ok=True)
                    raise

    def extend(self, volume_id: str, size_bytes: int) -> Made:
        with self._pool.used() as pool, durable.closing(pool.open(thing(VOLUME, volume_id), os.O_RDWR)) as fd:
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
            with self._pool.used() as pool, durable.closing(pool.open(thing(VOLUME, volume_id), os.O_RDWR)) as fd:
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
        with self._pool.used() as pool:
            self._fence.supersede(wanted.id, epoch)
            return Removed.DELETED if pool.discard(wanted.id, epoch) else Removed.WAS_ABSENT

    def create_snapshot(self, volume_id: str, snapshot_id: str, epoch: int, progress: Progress) -> Made:
        source = thing(VOLUME, volume_id)
        return self._maker.copy("create_snapshot", source, thing(SNAPSHOT, snapshot_id), None, epoch, progress)

    def delete_snapshot(self, volume_id: str, snapshot_id: str) -> Removed:
        thing(VOLUME, volume_id)
        return self._remove(thing(SNAPSHOT, snapshot_id), "delete_snapshot")

    def revert(self, volume_id: str, snapshot_id: str, epoch: int, progress: Progress) -> Made:
        """The size stays what it is when the volume was extended after the snapshot. Answers CREATED every time."""
        volume = thing(VOLUME, volume_id)
        with self._pool.used() as pool, durable.closing(pool.open(volume, os.O_RDONLY)) as now:
            size = os.fstat(now).st_size
        return self._maker.copy("revert", thing(SNAPSHOT, snapshot_id), volume, size, epoch, progress, replace=True)

    def set_aside(self, kind: Kind, thing_id: str, name: str) -> Removed:
        wanted = thing(kind, thing_id)
        with self._pool.used() as pool, self._fence.lock:
            self._fence.supersede(wanted.id)
            moved = aside.set_aside(pool, wanted, name)
            faults.point("file.set_aside:made")
            return Removed.DELETED if moved else Removed.WAS_ABSENT

    def take_in(self, kind: Kind, thing_id: str, name: str, volume_id: str) -> Made:
        wanted = thing(kind, thing_id)
        with self._pool.used() as pool, self._fence.lock:
            moved = aside.take_in(pool, wanted, name)
            faults.point("file.take_in:made")
            if kind == SNAPSHOT:
                with durable.closing(pool.open(wanted, os.O_RDWR)) as found:
                    note_volume(found, volume_id)
            return Made.CREATED if moved else Made.ALREADY_THERE

    def unmanaged(self) -> Iterator[Unmanaged]:
        with self._pool.used() as pool:
            return iter(list(aside.listed(pool)))

    def locate(self, volume_id: str) -> Location:
        volume = thing(VOLUME, volume_id)
        with self._pool.used() as pool:
            found = pool.find(volume)
            if found is None:
                raise NotFound(f"{volume} is not in pool {pool.name}")
            return Location(kind="file", path=pool.path_of(volume), size_bytes=found.st_size)

    def volumes(self) -> Iterator[StoredVolume]:
        with self._pool.used() as pool:
            return iter([StoredVolume(volume_id, found.st_size) for volume_id, found in pool.published(VOLUME)])

    def snapshots(self) -> Iterator[StoredSnapshot]:
        with self._pool.used() as pool:
            found = []
            for snapshot_id, status in pool.published(SNAPSHOT):
                try:
                    volume_id = pool.volume_of(thing(SNAPSHOT, snapshot_id))
                except NotFound:
                    continue
                found.append(StoredSnapshot(snapshot_id, volume_id, status.st_size))
            return iter(found)

    def _remove(self, wanted: Thing, method: str) -> Removed:
        with self._pool.used() as pool:
            self._fence.supersede(wanted.id)
            faults.point(f"file.{method}:opened")
            removed = pool.remove(wanted)
            faults.point(f"file.{method}:made")
            return Removed.DELETED if removed else Removed.WAS_ABSENT
