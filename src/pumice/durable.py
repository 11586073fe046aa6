"""Small files that survive a power cut: written beside, synced, renamed, directory synced.

Used by the drivers for their markers and records. Everything is relative to an open directory, so that nobody
who swaps a directory for a symbolic link can lead a write elsewhere.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pumice import faults

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_directory(path: str | Path, dir_fd: int | None = None) -> int:
    """Descriptor of a directory. Raises OSError (ENOENT, ENOTDIR). Final symbolic links are followed only where
    no dir_fd is given: below an open directory there must be none."""
    flags = _DIRECTORY if dir_fd is None else _DIRECTORY | os.O_NOFOLLOW
    return os.open(path, flags, dir_fd=dir_fd)


@contextmanager
def directory(path: str | Path) -> Iterator[int]:
    """An open directory for the length of the block."""
    fd = open_directory(path)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def closing(fd: int) -> Iterator[int]:
    """An open descriptor, closed at the end of the block."""
    try:
        yield fd
    finally:
        os.close(fd)


def read_file(dir_fd: int, name: str, limit: int = 1 << 16) -> bytes | None:
    """Content of a small regular file (its first `limit` bytes), None where it is absent. Raises OSError."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, limit)
    finally:
        os.close(fd)


def write_file(dir_fd: int, name: str, content: bytes) -> None:
    """Make or replace the file, mode 0600; after it returns the content is on the disk under that name. One
    writer a name at a time. A kill leaves the old content, and perhaps `scratch_name(name)`. Raises OSError."""
    scratch = scratch_name(name)
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    faults.point("durable.write_file:made")
    os.rename(scratch, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    os.fsync(dir_fd)


def scratch_name(name: str) -> str:
    """Where `write_file` prepares the content of `name`."""
    return f".{name}.new"


def remove_file(dir_fd: int, name: str) -> bool:
    """True when it was there; after it returns the name is gone from the disk too. Raises OSError."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        # An earlier attempt may have been killed between its unlink and its sync.
        os.fsync(dir_fd)
        return False
    os.fsync(dir_fd)
    return True
