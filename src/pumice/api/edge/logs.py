"""The access log: one JSON line a request, without queries, headers or bodies, so that no secret can get in.

Lines are gathered and written a few times a second by the event loop, since a write a request costs more than the rest
of the log.
"""

import asyncio
import os
from typing import Any

import msgspec

_PAUSE = 0.2
_encode = msgspec.json.Encoder().encode


class AccessLog:
    """Writes to a file descriptor; none at all where that is None."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._scheduled = False

    @property
    def enabled(self) -> bool:
        return self._descriptor is not None

    def write(self, line: dict[str, Any]) -> None:
        """Called in the event loop's thread."""
        if self._descriptor is None:
            return
        self._lines.append(_encode(line))
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(_PAUSE, self.flush)

    def flush(self) -> None:
        self._scheduled = False
        lines, self._lines = self._lines, []
        if lines and self._descriptor is not None:
            data = memoryview(b"\n".join(lines) + b"\n")
            while data:
                data = data[os.write(self._descriptor, data) :]
