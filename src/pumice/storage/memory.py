"""The memory driver: a complete pool inside one process, for tests and for trying Pumice without a disk.

It keeps the whole contract: real bytes (sparse, in blocks), space that runs out, idempotency, fencing, instant
clones. Its `faults` (a `pumice.faults.Plan`) makes it fail, hang or call something at a named point:

    driver.faults.fail("create:before", BackendDown("gone"))     before anything happened
    driver.faults.hang("clone:inside")                           made, not published yet
    driver.faults.call("delete:after", something, nth=2)         done, the caller does not know

Every method of the contract that does something has these three points. `read` and `write` stand for the guest.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pumice.faults import Plan
from pumice.outcomes import Made, Problem, Removed
from pumice.storage import sparse
from pumice.storage.aside import checked
from pumice.storage.config import PoolConfig
from pumice.storage.contract import (
    BackendDown,
    Capabilities,
    InUse,
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

BLOCK = 64 << 10
"""Bytes of one block of data: the smallest space that anything written takes."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Disk:
    """Sparse bytes: number of a block -> its content. A copy shares the blocks, which never change."""

    def __init__(self, size: int, volume_id: str = "", blocks: dict[int, bytes] | None = None) -> None:
        self.size = size
        self.volume_id = volume_id
        self.blocks = dict(blocks or {})

    def read(self, offset: int, count: int) -> bytes:
        count = max(0, min(count, self.size - offset))
        first, last = offset // BLOCK, (offset + count + BLOCK - 1) // BLOCK
        data = b"".join(self.blocks.get(number, bytes(BLOCK)) for number in range(first, last))
        return data[offset - first * BLOCK :][:count]

    def write(self, offset: int, data: bytes) -> None:
        while data:
            number, start = divmod(offset, BLOCK)
            part = data[: BLOCK - start]
            old = self.blocks.get(number, bytes(BLOCK))
            self.blocks[number] = old[:start] + part + old[start + len(part) :]
            data, offset = data[len(part) :], offset + len(part)


class MemoryDriver:
    """One pool in memory; it ends with the object."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._fence = Fence()
        self._lock = self._fence.lock
        self._volumes: dict[str, _Disk] = {}
        self._snapshots: dict[str, _Disk] = {}
        self._aside: dict[str, _Disk] = {}
        self._work: dict[tuple[str, int], _Disk] = {}
        self._started = threading.Event()
        self.faults = Plan()
        self.away = False
        """Set it and the pool is gone: every method raises BackendDown until it is unset."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            storage_protocol="file",
            vendor_name="Pumice",
            driver_version="1.0",
            instant_clone=True,
            atomic_snapshot=True,
            extend_in_use=True,
            multiattach=True,
            thin=True,
        )

    def start(self) -> None:
        self.faults.point("start:before")
        if self.away:
            raise BackendDown(f"pool {self._config.name} is away")
        self._started.set()
        self.faults.point("start:after")

    def close(self) -> None:
        """Whatever is in the pool stays; `start` opens it again."""
        self._started.clear()

    def check(self) -> list[Problem]:
        try:
            with self._call("check"):
                free = self._free()
        except StorageError as error:
            return [Problem("pool-missing", str(error), "bring the pool back")]
        if free <= 0:
            sentence = f"pool {self._config.name} has no space left of {self._config.size_bytes} bytes"
            return [Problem("pool-full", sentence, "delete volumes or enlarge the pool")]
        return []

    def stats(self) -> PoolStats:
        with self._call("stats"), self._lock:
            return PoolStats(
                name=self._config.name,
                total_bytes=self._config.size_bytes,
                free_bytes=max(0, self._free()),
                allocated_bytes=self._used(),
            )

    def create(self, volume_id: str, size_bytes: int, epoch: int) -> Made:
        with self._call("create"):
            return self._make("create", self._volumes, volume_id, epoch, lambda: _Disk(size_bytes))

    def clone(self, source_volume_id: str, volume_id: str, size_bytes: int, epoch: int, progress: Progress) -> Made:
        with self._call("clone"):

            def copy() -> _Disk:
                return self._copy(self._volumes, source_volume_id, size_bytes, progress)

            return self._make("clone", self._volumes, volume_id, epoch, copy)

    def clone_snapshot(self, snapshot_id: str, volume_id: str, size_bytes: int, epoch: int, progress: Progress) -> Made:
        with self._call("clone_snapshot"):

            def copy() -> _Disk:
                return self._copy(self._snapshots, snapshot_id, size_bytes, progress)

            return self._make("clone_snapshot", self._volumes, volume_id, epoch, copy)

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
        with self._call("import_file"):

            def read() -> _Disk:
                return self._read_file(path, size_bytes, progress)

            return self._make("import_file", self._volumes, volume_id, epoch, read, replace=replace)

    def export_file(self, volume_id: str, path: str, progress: Progress) -> None:
        with self._call("export_file"):
            disk = self._find(self._volumes, volume_id)
            part = Path(path + ".part")
            with part.open("wb") as file:
                file.truncate(disk.size)
                for number, block in sorted(disk.blocks.items()):
                    os.pwrite(file.fileno(), block[: disk.size - number * BLOCK], number * BLOCK)
            self.faults.point("export_file:inside")
            progress(disk.size, disk.size)
            part.rename(path)

    def extend(self, volume_id: str, size_bytes: int) -> Made:
        with self._call("extend"), self._lock:
            disk = self._find(self._volumes, volume_id)
            if size_bytes < disk.size:
                raise Unsupported(f"volume {volume_id} has {disk.size} bytes and cannot shrink to {size_bytes}")
            made = Made.ALREADY_THERE if disk.size == size_bytes else Made.CREATED
            disk.size = size_bytes
            self.faults.point("extend:inside")
            return made

    def shrink_back(self, volume_id: str, size_bytes: int) -> Removed:
        with self._call("shrink_back"), self._lock:
            disk = self._volumes.get(_checked(volume_id))
            if disk is None or disk.size <= size_bytes:
                return Removed.WAS_ABSENT
            if any(number * BLOCK >= size_bytes and any(data) for number, data in disk.blocks.items()):
                raise Unsupported(f"volume {volume_id} has data behind byte {size_bytes} and cannot be cut there")
            disk.size = size_bytes
            self.faults.point("shrink_back:inside")
            return Removed.DELETED

    def delete(self, volume_id: str) -> Removed:
        with self._call("delete"):
            return self._remove("delete", self._volumes, volume_id)

    def discard(self, volume_id: str, epoch: int) -> Removed:
        with self._call("discard"), self._lock:
            self._fence.supersede(_checked(volume_id), epoch)
            old = [key for key in self._work if key[0] == volume_id and key[1] <= epoch]
            for key in old:
                del self._work[key]
            self.faults.point("discard:inside")
            return Removed.DELETED if old else Removed.WAS_ABSENT

    def create_snapshot(self, volume_id: str, snapshot_id: str, epoch: int, progress: Progress) -> Made:
        with self._call("create_snapshot"):

            def copy() -> _Disk:
                disk = self._copy(self._volumes, volume_id, None, progress)
                disk.volume_id = volume_id
                return disk

            return self._make("create_snapshot", self._snapshots, snapshot_id, epoch, copy)

    def delete_snapshot(self, volume_id: str, snapshot_id: str) -> Removed:
        with self._call("delete_snapshot"):
            _checked(volume_id)
            return self._remove("delete_snapshot", self._snapshots, snapshot_id)

    def revert(self, volume_id: str, snapshot_id: str, epoch: int, progress: Progress) -> Made:
        with self._call("revert"):
            size = self._find(self._volumes, volume_id).size

            def copy() -> _Disk:
                return self._copy(self._snapshots, snapshot_id, size, progress)

            return self._make("revert", self._volumes, volume_id, epoch, copy, replace=True)

    def set_aside(self, kind: Kind, thing_id: str, name: str) -> Removed:
        with self._call("set_aside"), self._lock:
            shelf = self._volumes if kind == "volume" else self._snapshots
            self._fence.supersede(_checked(thing_id))
            if thing_id not in shelf:
                return Removed.WAS_ABSENT
            if checked(name) in self._aside:
                raise InUse(f"the name {name} is taken in pool {self._config.name}")
            self._aside[name] = shelf.pop(thing_id)
            self.faults.point("set_aside:inside")
            return Removed.DELETED

    def take_in(self, kind: Kind, thing_id: str, name: str, volume_id: str) -> Made:
        with self._call("take_in"), self._lock:
            shelf = self._volumes if kind == "volume" else self._snapshots
            if _checked(thing_id) in shelf:
                return Made.ALREADY_THERE
            if checked(name) not in self._aside:
                raise NotFound(f"pool {self._config.name} has no unmanaged data called {name}")
            shelf[thing_id] = self._aside.pop(name)
            shelf[thing_id].volume_id = volume_id if kind == "snapshot" else ""
            self.faults.point("take_in:inside")
            return Made.CREATED

    def unmanaged(self) -> Iterator[Unmanaged]:
        with self._call("unmanaged"), self._lock:
            return iter([Unmanaged(name, disk.size) for name, disk in sorted(self._aside.items())])

    def locate(self, volume_id: str) -> Location:
        """A path that reads well and leads nowhere."""
        with self._call("locate"):
            size = self._find(self._volumes, volume_id).size
            return Location(kind="file", path=f"/memory/{self._config.name}/volume-{volume_id}.raw", size_bytes=size)

    def volumes(self) -> Iterator[StoredVolume]:
        with self._call("volumes"), self._lock:
            return iter([StoredVolume(volume_id, disk.size) for volume_id, disk in self._volumes.items()])

    def snapshots(self) -> Iterator[StoredSnapshot]:
        with self._call("snapshots"), self._lock:
            return iter([StoredSnapshot(key, disk.volume_id, disk.size) for key, disk in self._snapshots.items()])

    # What a guest would do

    def read(self, volume_id: str, offset: int, count: int) -> bytes:
        """Bytes of the volume, fewer at its end. Raises NotFound."""
        with self._lock:
            return self._find(self._volumes, volume_id).read(offset, count)

    def write(self, volume_id: str, offset: int, data: bytes) -> None:
        """Raises NotFound, NoSpace (then nothing is written), Unsupported beyond the end."""
        with self._lock:
            disk = self._find(self._volumes, volume_id)
            if offset + len(data) > disk.size:
                raise Unsupported(f"volume {volume_id} ends at {disk.size}")
            before = dict(disk.blocks)
            disk.write(offset, data)
            if self._free() < 0:
                disk.blocks = before
                raise NoSpace(f"pool {self._config.name} is full")

    # Insides

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        self.faults.point(f"{method}:before")
        if self.away or not self._started.is_set():
            raise BackendDown(f"pool {self._config.name} is {'away' if self.away else 'not started'}")
        yield
        self.faults.point(f"{method}:after")

    def _make(
        self,
        method: str,
        shelf: dict[str, _Disk],
        key: str,
        epoch: int,
        fill: Callable[[], _Disk],
        *,
        replace: bool = False,
    ) -> Made:
        """Put the disk where `discard` finds it, then publish it unless a newer attempt came."""
        with self._fence.attempt(_checked(key), epoch) as attempt:
            if not replace and key in shelf:
                return Made.ALREADY_THERE
            disk = fill()
            with attempt.publishing():
                self._work[key, epoch] = disk
            try:
                with self._lock:
                    if self._free() < 0:
                        raise NoSpace(f"pool {self._config.name} is full")
                self.faults.point(f"{method}:inside")
                return self._publish(attempt, shelf, key, disk, replace)
            finally:
                with self._lock:
                    if self._work.get((key, epoch)) is disk:
                        del self._work[key, epoch]

    def _publish(self, attempt: Attempt, shelf: dict[str, _Disk], key: str, disk: _Disk, replace: bool) -> Made:
        with attempt.publishing():
            if key in shelf and not replace:
                return Made.ALREADY_THERE
            if replace and key not in shelf:
                raise NotFound(f"{key} is not in pool {self._config.name}")
            shelf[key] = disk
            return Made.CREATED

    def _copy(self, shelf: dict[str, _Disk], key: str, size_bytes: int | None, progress: Progress) -> _Disk:
        with self._lock:
            source = self._find(shelf, key)
            size = source.size if size_bytes is None else size_bytes
            if source.size > size:
                raise Unsupported(f"{key} has {source.size} bytes and does not fit into {size}")
            copy = _Disk(size, blocks=source.blocks)
        progress(size, size)
        return copy

    def _remove(self, method: str, shelf: dict[str, _Disk], key: str) -> Removed:
        with self._lock:
            self._fence.supersede(_checked(key))
            removed = shelf.pop(key, None)
        self.faults.point(f"{method}:inside")
        return Removed.WAS_ABSENT if removed is None else Removed.DELETED

    def _find(self, shelf: dict[str, _Disk], key: str) -> _Disk:
        with self._lock:
            disk = shelf.get(_checked(key))
        if disk is None:
            raise NotFound(f"{key} is not in pool {self._config.name}")
        return disk

    @staticmethod
    def _read_file(path: str, size_bytes: int, progress: Progress) -> _Disk:
        """A disk with the bytes of a raw file."""
        disk = _Disk(size_bytes)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"the image file cannot be opened: {os.strerror(error.errno or 0)}") from error
        try:
            size = os.fstat(fd).st_size
            if size > disk.size:
                raise Unsupported(f"the image has {size} bytes and does not fit into {disk.size}")
            for start, end in sparse.data_ranges(fd, size):
                for at in range(start, end, BLOCK):
                    data = os.pread(fd, min(BLOCK, end - at), at)
                    if data.strip(b"\0"):
                        disk.write(at, data)
                    progress(at + len(data), size)
            progress(size, size)
        finally:
            os.close(fd)
        return disk

    def _used(self) -> int:
        """Bytes that all disks take together; shared blocks count once."""
        shelves = (self._volumes, self._snapshots, self._work, self._aside)
        with self._lock:
            blocks = {id(block) for shelf in shelves for disk in shelf.values() for block in disk.blocks.values()}
        return len(blocks) * BLOCK

    def _free(self) -> int:
        return self._config.size_bytes - self._config.reserved_bytes - self._used()


def _checked(thing_id: str) -> str:
    if not _UUID.fullmatch(thing_id):
        raise StorageError(f"id {thing_id!r} is not a UUID")
    return thing_id
