"""The image store: the bytes of images as files named by image id, in one directory that API and agent share.

    <directory>/<image id>                          published data of an image
    <directory>/.<image id>.<upload id>.upload      an upload under way; its writer holds a flock on it
    <directory>/.converted/                         plain bytes of images in other formats: see `conversions`
    <directory>/.lock                               flock around publishing and removing: neither meets the other

    upload = store.begin(image_id, upload_id)       before the image's row turns to "saving"
    upload.write(...) ... ; upload.publish()        then the row turns to "active"
    upload.close()                                  always; gives up the flock

A row that is "saving" belongs to the upload whose file is locked: `alive` answers whether anybody is still at it, also
after a kill -9 (the kernel drops the lock) and in another process. Used by the image face (`api/image/files.py`), by
`images/uploads.py`, and by operations through `World.images`. What an image is not opaque in is inspected (`formats`)
before it is published; no other program has opened it until then.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from uuid import UUID

import msgspec

from pumice.errors import NotFound, TooLarge
from pumice.faults import point
from pumice.images.formats.inspect import HEAD_BYTES, begins_as, inspect

CHUNK_BYTES = 1 << 20
"""How much is hashed and written, or read, at once."""

_ZEROS = bytes(CHUNK_BYTES)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UPLOAD_SUFFIX = ".upload"

ANY_SIZE = 1 << 62


class StoreFull(TooLarge):
    """The image store is full; nothing of the upload was kept. Free space, or ask the operator to."""


class ImageTooLarge(TooLarge):
    """The data is larger than an image may be; nothing of it was kept."""


class NoData(NotFound):
    """The image has no data."""


class Stored(msgspec.Struct, frozen=True):
    """What an upload has written."""

    size: int
    """Bytes."""
    virtual_size: int
    """Bytes of the disk inside."""
    md5: str
    sha512: str


class ImageStore:
    """Files `<directory>/<image id>`. `size_limit`, `virtual_size_limit`: bytes that an image, and the disk inside of
    one, may have, None for any size. `converted_bytes`: what may be kept of converted images. `reserve`: bytes of the
    file system that are left to others, to the database above all."""

    def __init__(
        self,
        directory: Path,
        size_limit: int | None = None,
        *,
        virtual_size_limit: int | None = None,
        converted_bytes: int = ANY_SIZE,
        reserve: int = 0,
    ) -> None:
        self.directory = directory
        self.size_limit = size_limit
        self.virtual_size_limit = virtual_size_limit
        self.converted_bytes = converted_bytes
        self.reserve = reserve
        self.threads = ThreadPoolExecutor(4, "image-store")
        """Where the API's event loop sends hashing, writing, reading and removing; never the database's threads."""

    def close(self) -> None:
        """Wait for what the threads are at."""
        self.threads.shutdown(wait=True)

    def path(self, image_id: str) -> Path:
        """Where the published bytes of the image are. Raises ValueError when image_id is no UUID."""
        return self.directory / str(UUID(image_id))

    def converted_path(self, image_id: str) -> Path:
        """Where the plain bytes of a converted image are, once they have been made."""
        return self.directory / ".converted" / f"{UUID(image_id)}.raw"

    def expect(self, size: int | None) -> None:
        """Refuse early what cannot fit. `size`: bytes announced, or None. Raises ImageTooLarge, StoreFull."""
        if size is None:
            return
        if self.size_limit is not None and size > self.size_limit:
            raise ImageTooLarge(f"The data has {size} bytes; an image may have {self.size_limit} bytes at most.")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if size > (room := self.room()):
            raise StoreFull(f"The data has {size} bytes, and the image store has {max(0, room)} bytes free.")

    def room(self) -> int:
        """Bytes that may still be written; below 0 where others have taken from the reserve."""
        space = os.statvfs(self.directory)
        return space.f_bavail * space.f_frsize - self.reserve

    def begin(self, image_id: str, upload_id: str) -> "Upload":
        """Make and lock the file of an upload. Raises StoreFull, OSError; FileExistsError: this upload is under way.

        What an earlier attempt of the same upload left is thrown away."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._upload_path(image_id, upload_id)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _explain(error) from error
        if not _try_lock(fd):
            os.close(fd)
            raise FileExistsError(errno.EEXIST, "the upload is under way", upload_id)
        os.ftruncate(fd, 0)
        return Upload(self, image_id, path, fd)

    def alive(self, image_id: str, upload_id: str) -> bool:
        """Is somebody at this upload, from `begin` until `close`?"""
        # In this order: publishing moves the locked file from the first name to the second.
        return _locked(self._upload_path(image_id, upload_id)) or _locked(self.path(image_id))

    def open(self, image_id: str) -> "Reader":
        """The published bytes, for reading by range; they stay readable when the image is deleted meanwhile.

        Raises NoData."""
        try:
            return Reader(os.open(self.path(image_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        except FileNotFoundError:
            raise NoData(f"The data of image {image_id} is missing in the image store.") from None

    def remove(self, image_id: str) -> bool:
        """Remove the published bytes; True where there were any. Raises OSError."""
        with self.exclusive():
            _unlink(self.converted_path(image_id))
            return _unlink(self.path(image_id))

    def remove_upload(self, image_id: str, upload_id: str) -> bool:
        """Remove what a dead upload left; one that lives is left alone. True where something was removed."""
        path = self._upload_path(image_id, upload_id)
        return not _locked(path) and _unlink(path)

    def published(self) -> list[str]:
        """Ids of the images that have published bytes."""
        return [name for name in self._names() if _is_id(name)]

    def uploads(self) -> list[tuple[str, str]]:
        """(image id, upload id) of every upload's file, of live and dead uploads."""
        found = []
        for name in self._names():
            parts = name.removesuffix(_UPLOAD_SUFFIX).split(".")
            if name.endswith(_UPLOAD_SUFFIX) and len(parts) == 3 and _is_id(parts[1]) and _is_id(parts[2]):
                found.append((parts[1], parts[2]))
        return found

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Nothing is published or removed by anybody else until the block ends."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []

    def _upload_path(self, image_id: str, upload_id: str) -> Path:
        return self.directory / f".{UUID(image_id)}.{UUID(upload_id)}{_UPLOAD_SUFFIX}"


class Upload:
    """One upload: bytes in, digests on the way, published at the end. Its methods may be called from any thread, one
    after the other; `close` waits for the one that runs."""

    def __init__(self, store: ImageStore, image_id: str, path: Path, fd: int) -> None:
        self._store = store
        self.image_id = image_id
        self._path = path
        self._fd = fd
        self._guard = threading.Lock()
        self._closed = False
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._head = bytearray()
        self.size = 0
        """Bytes taken so far."""
        self.disk_format: str | None = None
        """What the image says that the bytes are; known before the first of them. None: bytes and nothing else."""

    def write(self, data: bytes | bytearray) -> None:
        """Take the next bytes; blocks of zeros become holes. Raises StoreFull, ImageTooLarge, UnusableImage (as soon as
        its first bytes are there), OSError."""
        limit = self._store.size_limit
        if limit is not None and self.size + len(data) > limit:
            raise ImageTooLarge(f"The data has more than {limit} bytes, which an image may have at most.")
        with self._guard:
            if self._closed:
                raise ValueError("the upload is closed")
            self._md5.update(data)
            self._sha512.update(data)
            try:
                if self._store.room() < len(data):
                    raise StoreFull
                self._write_at(data)
            except OSError as error:
                raise _explain(error) from error
            self.size += len(data)
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
            if len(self._head) == HEAD_BYTES:
                begins_as(self.disk_format, bytes(self._head))

    def _write_at(self, data: bytes | bytearray) -> None:
        view = memoryview(data)
        for start in range(0, len(view), CHUNK_BYTES):
            part = view[start : start + CHUNK_BYTES]
            if part == memoryview(_ZEROS)[: len(part)]:
                continue
            done = 0
            while done < len(part):
                done += os.pwrite(self._fd, part[done:], self.size + start + done)

    def publish(self) -> Stored:
        """Make the bytes durable and give them the image's name. Raises UnusableImage, StoreFull, OSError."""
        with self._guard:
            if self._closed:
                raise ValueError("the upload is closed")
            try:
                os.ftruncate(self._fd, self.size)
                virtual_size = inspect(self._fd, self.disk_format, self._store.virtual_size_limit)
                point("image.publish:written")
                os.fsync(self._fd)
            except OSError as error:
                raise _explain(error) from error
            point("image.publish:synced")
            with self._store.exclusive():
                self._path.rename(self._store.path(self.image_id))
                _sync_directory(self._store.directory)
            point("image.publish:published")
            return Stored(self.size, virtual_size, self._md5.hexdigest(), self._sha512.hexdigest())

    def discard(self) -> None:
        """Remove what was written, published or not; nobody else's bytes. Raises OSError."""
        with self._guard:
            if self._closed:
                return
            mine = os.fstat(self._fd)
            with self._store.exclusive():
                for path in (self._path, self._store.path(self.image_id)):
                    with contextlib.suppress(FileNotFoundError):
                        found = path.lstat()
                        if (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino):
                            path.unlink()

    def close(self) -> None:
        """Give up the lock. What was neither published nor discarded is removed."""
        with self._guard:
            if not self._closed:
                self._closed = True
                with contextlib.suppress(FileNotFoundError):
                    self._path.unlink()
                os.close(self._fd)

    def __enter__(self) -> "Upload":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Reader:
    """Published bytes, open for reading. `close` may come while another thread reads."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._guard = threading.Lock()
        self._closed = False
        self.size = os.fstat(fd).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end, none after `close`. Raises OSError."""
        with self._guard:
            return b"" if self._closed else os.pread(self._fd, size, offset)

    def close(self) -> None:
        with self._guard:
            if not self._closed:
                self._closed = True
                os.close(self._fd)


def _explain(error: OSError) -> OSError | StoreFull:
    return StoreFull() if error.errno in _FULL else error


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked(path: Path) -> bool:
    """Does anybody hold the lock of this file? An absent file has none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask do not see each other.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
