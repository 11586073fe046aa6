"""Console logs of guests: files that a guest can write to without end, kept and read within bounds.

QEMU opens them for appending, so that cutting them from outside is safe. Called by the drivers.
"""

import os
from pathlib import Path

LONGEST_ANSWER = 1024 * 1024
"""Bytes of a console log that are ever returned."""
LONGEST_LOG = 4 * LONGEST_ANSWER
"""Bytes after which a log is cut to its end."""


def tail(path: Path, lines: int | None = None) -> str:
    """The end of the log, at most 1 MiB and `lines` lines; "" when there is none or no line is asked for."""
    old = path.with_suffix(".old")
    text = read_end(path, LONGEST_ANSWER)
    if len(text) < LONGEST_ANSWER:
        text = read_end(old, LONGEST_ANSWER - len(text)) + text
    decoded = text.decode("utf-8", "replace")
    if lines is None:
        return decoded
    return "".join(decoded.splitlines(keepends=True)[-lines:]) if lines > 0 else ""


def read_end(path: Path, size: int) -> bytes:
    """The last `size` bytes of the file; b"" when it is not there."""
    try:
        with path.open("rb") as log:
            length = log.seek(0, os.SEEK_END)
            log.seek(max(0, length - size))
            return log.read(size)
    except FileNotFoundError:
        return b""


def trim(path: Path) -> None:
    """Cut a log that has grown too long; its end is kept beside it. What is printed meanwhile may be lost."""
    try:
        if path.stat().st_size <= LONGEST_LOG:
            return
    except FileNotFoundError:
        return
    fresh = path.with_suffix(".new")
    fresh.write_bytes(read_end(path, LONGEST_ANSWER))
    fresh.replace(path.with_suffix(".old"))
    os.truncate(path, 0)


def forget(path: Path) -> None:
    """Remove the log and what was kept of it."""
    for name in (path, path.with_suffix(".old"), path.with_suffix(".new")):
        name.unlink(missing_ok=True)
