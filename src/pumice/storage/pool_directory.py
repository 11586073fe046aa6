"""The directory of a file pool: its marker, its owner's lock, and the open directories inside it.

    POOL/pumice-pool.json             marker: which pool this is
    POOL/volumes/volume-ID.raw        a volume
    POOL/snapshots/snapshot-ID.raw    a snapshot; extended attribute `user.pumice.volume` holds its volume's id
    POOL/.work/KIND-ID.EPOCH          being made by attempt EPOCH
    POOL/unmanaged/NAME               data that is nobody's volume or snapshot (`aside.py`)
    POOL/.images/SHA256.raw           kept image content, for instant clones

Called by the file driver only. Every access goes through directories opened here once, never through a path,
so neither a symbolic link nor another file system mounted over the pool can lead it elsewhere.
"""

import errno
import fcntl
import os
import re
import stat
import threading
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pumice import durable
from pumice.storage.contract import BackendDown, NoSpace, NotFound, StorageError

MARKER = "pumice-pool.json"

VOLUME = "volume"
SNAPSHOT = "snapshot"

_FOLDERS = {VOLUME: "volumes", SNAPSHOT: "snapshots"}
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_WORK = re.compile(rf"({VOLUME}|{SNAPSHOT})-({_ID})\.(\d+)")
_WHOLE_ID = re.compile(_ID)
_FOREIGN_OK = {"lost+found"}
_VOLUME_ATTRIBUTE = "user.pumice.volume"

_GONE = {errno.EIO, errno.ENODEV, errno.ENXIO, errno.EROFS, errno.ESTALE, errno.EUCLEAN}
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Marker(msgspec.Struct, frozen=True):
    """Content of the marker in the pool, and of the record outside it."""

    pool_id: str
    format: int = 1


class Thing(msgspec.Struct, frozen=True):
    """A volume or snapshot by kind and id."""

    kind: str
    id: str

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.id}.raw"

    def work_name(self, epoch: int) -> str:
        return f"{self.kind}-{self.id}.{epoch}"

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


def thing(kind: str, thing_id: str) -> Thing:
    """Raises StorageError when the id is not a lower-case UUID: ids become file names."""
    if not _WHOLE_ID.fullmatch(thing_id):
        raise StorageError(f"{kind} id {thing_id!r} is not a UUID")
    return Thing(kind, thing_id)


def note_volume(snapshot: int, volume_id: str) -> None:
    """The open file of a snapshot knows its volume, where the file system keeps attributes. Raises OSError."""
    try:
        os.setxattr(snapshot, _VOLUME_ATTRIBUTE, volume_id.encode())
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise


class PoolOwned(BackendDown):
    """Another running process holds the pool."""


@contextmanager
def errors_read(pool_name: str) -> Iterator[None]:
    """Turns an OSError of the block into the contract's error, with no path in it."""
    try:
        yield
    except OSError as error:
        raise read_error(pool_name, error) from error


def read_error(pool_name: str, error: OSError) -> StorageError:
    """The contract's error for what the system said."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        return NoSpace(f"pool {pool_name} is full ({reason})")
    if error.errno in _GONE:
        return BackendDown(f"pool {pool_name} does not work: {reason}")
    return StorageError(f"pool {pool_name}: {reason}")


class PoolDirectory:
    """One opened and locked pool. Closed by `close`, or once it is retired and its last user has left: an error that
    is still remembered somewhere must not keep the lock that opening the pool again needs."""

    def __init__(self, name: str, path: str, pool_id: str, descriptors: dict[str, int]) -> None:
        self.name = name
        self.path = path
        self.pool_id = pool_id
        self.root = descriptors["."]
        self.work = descriptors[".work"]
        self.images = descriptors[".images"]
        self.unmanaged = descriptors["unmanaged"]
        self._folders = {kind: descriptors[folder] for kind, folder in _FOLDERS.items()}
        self._identity = _identity(os.fstat(self.root))
        self._use = threading.Lock()
        self._users, self._retired = 0, False
        self.close = weakref.finalize(self, _close_all, list(descriptors.values()))

    @contextmanager
    def used(self) -> Iterator[None]:
        """Open for as long as the block runs. Raises BackendDown when it was retired before."""
        with self._use:
            if self._retired:
                raise BackendDown(f"pool {self.name} was away and is being opened again")
            self._users += 1
        try:
            yield
        finally:
            with self._use:
                self._users -= 1
                last = self._retired and not self._users
            if last:
                self.close()

    def retire(self) -> None:
        """Nobody begins to use it any more; the last user closes it, at once when there is none."""
        with self._use:
            self._retired = True
            unused = not self._users
        if unused:
            self.close()

    def verify(self) -> None:
        """Raises BackendDown unless the configured path still leads to this pool, marker included."""
        try:
            found = _identity(Path(self.path).stat())
            marker = read_marker(self.root)
        except OSError as error:
            raise BackendDown(f"pool {self.name} cannot be reached: {os.strerror(error.errno or 0)}") from error
        if found != self._identity:
            raise BackendDown(f"pool {self.name} is not mounted: another directory is in its place")
        if marker is None or marker.pool_id != self.pool_id:
            raise BackendDown(f"pool {self.name}: its marker {MARKER} is missing or of another pool")

    def folder(self, kind: str) -> int:
        """Descriptor of the directory for volumes or snapshots."""
        return self._folders[kind]

    def path_of(self, wanted: Thing) -> str:
        return str(Path(self.path) / _FOLDERS[wanted.kind] / wanted.name)

    def find(self, wanted: Thing) -> os.stat_result | None:
        """What is there under the final name, None for nothing. Raises StorageError for anything but a file."""
        try:
            found = os.stat(wanted.name, dir_fd=self.folder(wanted.kind), follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise StorageError(f"{wanted} is not a regular file in pool {self.name}")
        return found

    def open(self, wanted: Thing, flags: int) -> int:
        """Descriptor of a published thing. Raises NotFound, StorageError for anything but a file."""
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        if self.find(wanted) is not None:
            try:
                return os.open(wanted.name, flags, dir_fd=self.folder(wanted.kind))
            except FileNotFoundError:
                pass
        raise NotFound(f"{wanted} is not in pool {self.name}")

    def open_work(self, wanted: Thing, epoch: int) -> int:
        """A new empty work file; whatever had its name is gone. Raises OSError."""
        name = wanted.work_name(epoch)
        self._unlink(self.work, name)
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.work)

    def publish(self, wanted: Thing, epoch: int) -> None:
        """The work file takes the final name, replacing what had it. Durable only after `sync`."""
        os.rename(wanted.work_name(epoch), wanted.name, src_dir_fd=self.work, dst_dir_fd=self.folder(wanted.kind))

    def sync(self, kind: str) -> None:
        """Names in the folder are on the disk when this returns."""
        os.fsync(self.folder(kind))

    def remove(self, wanted: Thing) -> bool:
        """True when it was there; durable when this returns."""
        return durable.remove_file(self.folder(wanted.kind), wanted.name)

    def drop_work(self, wanted: Thing, epoch: int, fd: int) -> None:
        """Remove the work file if its name still stands for the open file."""
        name = wanted.work_name(epoch)
        try:
            found = os.stat(name, dir_fd=self.work, follow_symlinks=False)
        except FileNotFoundError:
            return
        if _identity(found) == _identity(os.fstat(fd)):
            self._unlink(self.work, name)

    def discard(self, thing_id: str, epoch: int) -> bool:
        """Remove the work files of this id up to the epoch. True when there was one."""
        names = []
        for name in os.listdir(self.work):
            match = _WORK.fullmatch(name)
            if match and match[2] == thing_id and int(match[3]) <= epoch:
                names.append(name)
        for name in names:
            self._unlink(self.work, name)
        os.fsync(self.work)
        return bool(names)

    def sweep(self) -> None:
        """Remove every work file. Only under the pool's lock and before any attempt runs: their makers are dead."""
        for name in os.listdir(self.work):
            self._unlink(self.work, name)

    def published(self, kind: str) -> Iterator[tuple[str, os.stat_result]]:
        """(id, status) of every volume or snapshot; other files are passed over."""
        pattern = re.compile(rf"{kind}-({_ID})\.raw")
        for name in os.listdir(self.folder(kind)):
            match = pattern.fullmatch(name)
            found = self.find(Thing(kind, match[1])) if match else None
            if match and found is not None:
                yield match[1], found

    def volume_of(self, snapshot: Thing) -> str:
        """Id of the volume that the snapshot was taken of, "" where the file system keeps no attributes."""
        with durable.closing(self.open(snapshot, os.O_RDONLY)) as fd:
            try:
                return os.getxattr(fd, _VOLUME_ATTRIBUTE).decode()
            except OSError as error:
                if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
                    return ""
                raise

    def probe(self) -> None:
        """Prove that a file can be written, synced and removed. Raises OSError."""
        name = f"probe-{threading.get_ident()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self.work)
        try:
            os.write(fd, b"x")
            os.fsync(fd)
        finally:
            os.close(fd)
            self._unlink(self.work, name)

    @staticmethod
    def _unlink(dir_fd: int, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=dir_fd)


def open_pool(name: str, path: str, record_path: str) -> PoolDirectory:
    """Open, lock and if it is new mark the pool. Raises BackendDown with what is missing or who holds it, NoSpace."""
    descriptors: dict[str, int] = {}
    try:
        descriptors["."] = durable.open_directory(path)
        _lock(descriptors["."], name)
        pool_id = _pool_id(name, descriptors["."], Path(record_path))
        for folder in (*_FOLDERS.values(), "unmanaged", ".work", ".images"):
            descriptors[folder] = _open_folder(descriptors["."], folder)
        os.fsync(descriptors["."])
        return PoolDirectory(name, path, pool_id, descriptors)
    except OSError as error:
        _close_all(list(descriptors.values()))
        read = read_error(name, error)
        if isinstance(read, NoSpace):
            raise read from error
        raise BackendDown(f"pool {name} cannot be opened: {os.strerror(error.errno or 0)}") from error
    except StorageError:
        _close_all(list(descriptors.values()))
        raise


def read_marker(root: int) -> Marker | None:
    """The pool's marker, None where it is absent or unreadable as one. Raises OSError."""
    content = durable.read_file(root, MARKER)
    try:
        return None if content is None else msgspec.json.decode(content, type=Marker)
    except msgspec.MsgspecError:
        return None


def _lock(root: int, name: str) -> None:
    """One process owns a pool; the lock ends with the process however it ends."""
    try:
        fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise PoolOwned(f"pool {name} is owned by another running process") from error


def _pool_id(name: str, root: int, record: Path) -> str:
    """The id that marker and record agree on. A new id only where there is neither and the directory is empty."""
    marker = read_marker(root)
    with durable.directory(record.parent) as outside:
        content = durable.read_file(outside, record.name)
        recorded = None if content is None else msgspec.json.decode(content, type=Marker).pool_id
        if recorded is not None:
            if marker is None or marker.pool_id != recorded:
                found = "missing" if marker is None else "of another pool"
                raise BackendDown(f"pool {name} is not mounted or damaged: its marker {MARKER} is {found}")
            return recorded
        if marker is None:
            foreign = sorted(set(os.listdir(root)) - _FOREIGN_OK - {durable.scratch_name(MARKER)})
            if foreign:
                raise BackendDown(f"the directory for pool {name} is neither empty nor a pool: it holds {foreign[0]!r}")
            marker = Marker(pool_id=str(uuid.uuid4()))
            durable.write_file(root, MARKER, msgspec.json.encode(marker))
        durable.write_file(outside, record.name, msgspec.json.encode(marker))
    return marker.pool_id


def _open_folder(root: int, folder: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700, dir_fd=root)
    return durable.open_directory(folder, root)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _close_all(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)
