"""A file that a stranger made, read with care: every read is bounded and must be inside of the file."""

import os
from array import array
from sys import byteorder

from pumice.errors import BadRequest

SECTOR = 512
LARGEST_TABLE = 32 << 20
"""Bytes of a table that is read at once; those of sane images are far smaller."""


class UnusableImage(BadRequest):
    """The data is not what the image says, or refers to something outside of itself; nothing of it was kept."""


class Untrusted:
    """An open file of an image in a format that has a name ("qcow2"). limit: the most bytes that its disk may have."""

    def __init__(self, fd: int, disk_format: str, limit: int | None) -> None:
        self._fd = fd
        self._limit = limit
        self.disk_format = disk_format
        self.size = os.fstat(fd).st_size

    def read(self, offset: int, count: int, what: str) -> bytes:
        """Exactly count bytes. Raises UnusableImage when they are not in the file, or are far too many."""
        if count > LARGEST_TABLE:
            raise self.refused(f"its {what} has {count} bytes, where {LARGEST_TABLE} are the most")
        self.holds(offset, count, what)
        data = os.pread(self._fd, count, offset)
        if len(data) != count:
            raise self.refused(f"it ends in its {what}: it is truncated")
        return data

    def holds(self, offset: int, count: int, what: str) -> None:
        """Raises UnusableImage unless these bytes are in the file."""
        if offset < 0 or offset + count > self.size:
            raise self.refused(
                f"its {what} ends at byte {offset + count}, the file at byte {self.size}: it is truncated or damaged"
            )

    def allow(self, disk_size: int) -> None:
        """Raises UnusableImage when a disk may not have so many bytes. Asked before anything is read by them."""
        if not disk_size:
            raise self.refused("its disk has no bytes")
        if self._limit is not None and disk_size > self._limit:
            raise self.refused(
                f"its disk has {disk_size} bytes, in a file of {self.size}; a disk may have {self._limit} at most"
            )

    def numbers(self, offset: int, count: int, code: str, order: str, what: str) -> "array[int]":
        """A table of unsigned numbers; code: "Q" of 8 bytes, "I" of 4; order: "big" or "little"."""
        found = array(code)
        found.frombytes(self.read(offset, count * found.itemsize, what))
        if order != byteorder:
            found.byteswap()
        return found

    def refused(self, reason: str) -> UnusableImage:
        """The error to raise; reason: the end of a sentence that begins with "it" or "its"."""
        return UnusableImage(f"The data cannot be used as a {self.disk_format} image: {reason}.")
