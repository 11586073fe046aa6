"""Periods end where Cinder's end, follow one another without gap, and refuse what they do not understand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.clock import DAY, HOUR, parse
from pumice.metering.periods import Period, PeriodError, last_completed, parse_time, shown

pytestmark = pytest.mark.fast

NOW = parse("2026-11-21T10:20:30.5")


@pytest.mark.parametrize(
    ("setting", "begin", "end"),
    [
        ("hour", "2026-11-21 09:00:00", "2026-11-21 10:00:00"),
        ("hour@20", "2026-11-21 09:20:00", "2026-11-21 10:20:00"),
        ("hour@21", "2026-11-21 08:21:00", "2026-11-21 09:21:00"),
        ("day", "2026-11-20 00:00:00", "2026-11-21 00:00:00"),
        ("day@10", "2026-11-20 10:00:00", "2026-11-21 10:00:00"),
        ("day@11", "2026-11-19 11:00:00", "2026-11-20 11:00:00"),
        ("month", "2026-10-01 00:00:00", "2026-11-01 00:00:00"),
        ("month@0", "2026-10-01 00:00:00", "2026-11-01 00:00:00"),
        ("month@22", "2026-09-22 00:00:00", "2026-10-22 00:00:00"),
        ("year", "2025-01-01 00:00:00", "2026-01-01 00:00:00"),
        ("year@11", "2025-11-01 00:00:00", "2026-11-01 00:00:00"),
        ("year@12", "2024-12-01 00:00:00", "2025-12-01 00:00:00"),
    ],
)
def test_the_last_completed_period(setting: str, begin: str, end: str) -> None:
    found = last_completed(setting, NOW)
    assert (shown(found.begin), shown(found.end)) == (begin, end)


@pytest.mark.parametrize(
    "setting", ["", "week", "hour@60", "day@24", "month@29", "year@13", "hour@-1", "day@x", "day@²", "day@", "Month"]
)
def test_other_periods_are_refused(setting: str) -> None:
    with pytest.raises(PeriodError):
        last_completed(setting, NOW)


def test_a_period_is_complete_at_its_very_end() -> None:
    midnight = parse("2026-11-01")
    assert last_completed("month", midnight).end == midnight
    assert last_completed("month", midnight - 1).end == parse("2026-10-01")


units = st.sampled_from([("hour", 0, 59), ("day", 0, 23), ("month", 1, 28), ("year", 1, 12)])


@given(unit=units, data=st.data(), now=st.integers(parse("1971-01-01"), parse("2200-01-01")))
def test_periods_follow_one_another_without_gap(unit: tuple[str, int, int], data: st.DataObject, now: int) -> None:
    name, lowest, highest = unit
    setting = f"{name}@{data.draw(st.integers(lowest, highest))}"
    last = last_completed(setting, now)
    before = last_completed(setting, last.end - 1)
    assert last.begin < last.end <= now
    assert before.end == last.begin
    assert now - last.end < {"hour": HOUR, "day": DAY, "month": 31 * DAY, "year": 366 * DAY}[name]


def test_times_of_the_command_line() -> None:
    assert parse_time("2026-11-01 00:00:00") == parse("2026-11-01T00:00:00Z")
    for wrong in ("2026-11-01", "now", "2026-13-01 00:00:00", ""):
        with pytest.raises(PeriodError):
            parse_time(wrong)


def test_an_empty_period_is_refused() -> None:
    with pytest.raises(PeriodError):
        Period(5, 5)
