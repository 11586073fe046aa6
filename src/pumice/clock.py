"""Time as Pumice keeps it: integers, microseconds since the epoch, UTC.

`Clock` is the system's; `ManualClock` is the simulator that tests of periods and leases move by hand.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock:
    """The system's clocks."""

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that only grow; for deadlines inside one process."""
        return time.monotonic()


class ManualClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self, now: int = 1_700_000_000 * SECOND) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._now / SECOND

    def advance(self, microseconds: int) -> None:
        self._now += microseconds


@lru_cache(maxsize=16384)
def isoformat(microseconds: int | None) -> str | None:
    """`2026-11-21T10:00:00.000000`, as the Block Storage API prints times (no zone); None stays None.

    Cached: two times a volume are a third of what a list of volumes costs to render, and lists are asked again."""
    if microseconds is None:
        return None
    seconds, fraction = divmod(microseconds, SECOND)
    return f"{_second(seconds)}.{fraction:06d}"


def isoformat_z(microseconds: int | None) -> str | None:
    """`2026-11-21T10:00:00Z`, as the compute and image APIs print times; None stays None."""
    return None if microseconds is None else _second(microseconds // SECOND) + "Z"


def parse(text: str) -> int:
    """Read an ISO 8601 time, with or without zone (then UTC), as microseconds. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def _second(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    return f"{_minute(minutes)}{second:02d}"


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> str:
    """`2026-11-21T10:00:`; a list of volumes shows few different minutes."""
    year, month, day, hour, minute = time.gmtime(minutes * 60)[:5]
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:"
