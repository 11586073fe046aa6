"""Copies of sparse files: by reflink where the file system can, else data only, holes stay holes.

Called by the file driver with open descriptors; knows no names. All sizes in bytes.
"""

import errno
import fcntl
import os
from collections.abc import Iterator

from pumice import faults
from pumice.storage.contract import Progress, StorageError

FICLONE = 0x40049409
"""ioctl of linux/fs.h: share all blocks of another file."""

_ZEROS = bytes(1 << 20)

_CANNOT_REFLINK = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.ETXTBSY}


def reflink(source: int, copy: int) -> bool:
    """Make `copy` share all data of `source` as of one instant; False when this file system cannot.
    Raises OSError for everything else (ENOSPC, EIO)."""
    try:
        fcntl.ioctl(copy, FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT_REFLINK:
            return False
        raise
    return True


def can_reflink(dir_fd: int) -> bool:
    """Tries it with two unnamed files in the directory. Raises OSError when not even those can be made."""
    flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
    try:
        source = os.open(".", flags, 0o600, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR):
            return False
        raise
    try:
        os.pwrite(source, _ZEROS[:4096], 0)
        copy = os.open(".", flags, 0o600, dir_fd=dir_fd)
        try:
            return reflink(source, copy)
        finally:
            os.close(copy)
    finally:
        os.close(source)


def has_data(fd: int, offset: int) -> bool:
    """Was anything ever written at or behind the offset? Raises OSError."""
    try:
        os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    return True


def copy_or_reflink(source: int, copy: int, progress: Progress) -> None:
    """Give the empty file `copy` the bytes of `source`. Raises OSError, and what progress raises."""
    size = os.fstat(source).st_size
    if not reflink(source, copy):
        copy_data(source, copy, size, progress)
    progress(size, size)


def copy_data(source: int, copy: int, size: int, progress: Progress) -> None:
    """Copy the first `size` bytes, skipping holes. Raises OSError, StorageError when the source turned shorter,
    and what progress raises."""
    os.ftruncate(copy, size)
    for start, end in data_ranges(source, size):
        at = start
        while at < end:
            done = _copy_chunk(source, copy, at, end - at)
            if done == 0:
                raise StorageError("the file to copy became shorter while it was copied")
            at += done
            faults.point("file.copy:chunk")
            progress(at, size)


def data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The (start, end) of each stretch that may hold data, in order; everything else reads as zeros."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno != errno.EINVAL:
                raise
            yield at, size
            return
        if start >= size:
            return
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield start, end
        at = end


def _copy_chunk(source: int, copy: int, at: int, count: int) -> int:
    """Bytes copied, at most 1 MiB (0: the source ends here). Chunks of zeros become holes: raw images are often
    written in full, which is why copy_file_range is not used."""
    data = os.pread(source, min(count, len(_ZEROS)), at)
    if data != _ZEROS[: len(data)]:
        view = memoryview(data)
        while view:
            view = view[os.pwrite(copy, view, at + len(data) - len(view)) :]
    return len(data)
