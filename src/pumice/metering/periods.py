"""Audit periods: hour, day, month, year, each with an offset, as `cinder-volume-usage-audit` has them. All in UTC.

    hour@15    from a quarter past to a quarter past          day@6      from 06:00 to 06:00
    month@10   from the 10th to the 10th (1 to 28)            year@4     from April to April (1 to 12)

A period is [begin, end): what happens exactly at `end` belongs to the next one. Times are microseconds.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from pumice.clock import SECOND

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSETS = {"hour": (0, 59, "minutes"), "day": (0, 23, "hours"), "month": (1, 28, "a day"), "year": (1, 12, "a month")}


class PeriodError(ValueError):
    """The period or time is not understood; `str()` says what would be right."""


class Period(msgspec.Struct, frozen=True):
    """[begin, end) in microseconds since the epoch. Raises PeriodError where it would be empty."""

    begin: int
    end: int

    def __post_init__(self) -> None:
        if self.begin >= self.end:
            raise PeriodError(
                f"the period begins at {shown(self.begin)}, which is not before its end {shown(self.end)}"
            )


def shown(time: int) -> str:
    """`2026-11-01 00:00:00`, with microseconds only where there are some."""
    return str(_moment(time).replace(tzinfo=None))


def parse_time(text: str) -> int:
    """A time of the command line, "%Y-%m-%d %H:%M:%S" in UTC. Raises PeriodError."""
    try:
        return _microseconds(datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC))
    except ValueError:
        raise PeriodError(f"{text!r} is no time; write it like '2026-11-01 00:00:00' (UTC)") from None


def last_completed(setting: str, now: int) -> Period:
    """The last period of this kind ("month", "day@6") that is over at `now`. Raises PeriodError."""
    unit, offset = _parsed(setting)
    end = _LATEST[unit](_moment(now), offset)
    return Period(_microseconds(_before(unit, end)), _microseconds(end))


def _parsed(setting: str) -> tuple[str, int]:
    unit, at, text = setting.partition("@")
    if unit not in _OFFSETS:
        raise PeriodError(f"{setting!r} is no period; choose hour, day, month or year, with an @offset if you like")
    lowest, highest, noun = _OFFSETS[unit]
    if not at:
        return unit, lowest
    offset = int(text) if text.isascii() and text.isdigit() and len(text) <= 2 else -1
    # Cinder's month@0 and year@0 mean the first.
    offset = max(offset, lowest) if offset == 0 else offset
    if not lowest <= offset <= highest:
        raise PeriodError(f"{setting!r}: the offset of {unit} is {noun} from {lowest} to {highest}")
    return unit, offset


def _hour(now: datetime, minute: int) -> datetime:
    end = now.replace(minute=minute, second=0, microsecond=0)
    return end if end <= now else end - timedelta(hours=1)


def _day(now: datetime, hour: int) -> datetime:
    end = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return end if end <= now else end - timedelta(days=1)


def _month(now: datetime, day: int) -> datetime:
    end = now.replace(day=day, hour=0, minute=0, second=0, microsecond=0)
    return end if end <= now else _before("month", end)


def _year(now: datetime, month: int) -> datetime:
    end = now.replace(month=month, day=1, hour=0, minute=0, second=0, microsecond=0)
    return end if end <= now else _before("year", end)


_LATEST: dict[str, Callable[[datetime, int], datetime]] = {"hour": _hour, "day": _day, "month": _month, "year": _year}
"""The latest end of a period that is not after now."""


def _before(unit: str, end: datetime) -> datetime:
    """One period earlier."""
    match unit:
        case "hour":
            return end - timedelta(hours=1)
        case "day":
            return end - timedelta(days=1)
        case "month":
            return (end.replace(day=1) - timedelta(days=1)).replace(day=end.day)
        case _:
            return end.replace(year=end.year - 1)


def _moment(time: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time)


def _microseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds
