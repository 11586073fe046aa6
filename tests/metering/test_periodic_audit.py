"""The usage audit that runs by itself: each period once, none left out, whatever ends it in between."""

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from pumice.caller import system_caller
from pumice.clock import DAY, HOUR, ManualClock
from pumice.db import schema
from pumice.db.engine import Database, DatabaseUnavailable
from pumice.metering.periodic_audit import due, run_due
from pumice.metering.periods import parse_time, shown
from tests.block.cloud import prepare
from tests.retention.rows import add
from tests.support.databases import Databases

pytestmark = pytest.mark.fast

START = parse_time("2026-11-01 00:30:00")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def database(databases: Databases, database_kind: str, clock: ManualClock) -> Iterator[Database]:
    """With one volume that was made long ago and lives."""
    with databases.fresh(database_kind, prepare) as url:
        opened = Database(url, clock=clock)
        with opened.write() as tx:
            kind = add(tx, schema.volume_types)
            add(tx, schema.volumes, volume_type_id=kind["id"], life="making", metadata={}, created_at=1)
        yield opened
        opened.close()


def periods_told(database: Database) -> list[str]:
    """The begins of the periods for which volume.exists was stored, in order."""
    with database.read() as tx:
        payloads = tx.execute(select(schema.events.c.payload).order_by(schema.events.c.sequence)).scalars().all()
    return [payload["audit_period_beginning"] for payload in payloads]


def test_it_runs_at_the_border_and_once(database: Database, clock: ManualClock) -> None:
    caller = system_caller()
    assert len(run_due(database, "hour@0", caller=caller)) == 1
    clock.advance(29 * 60 * 1_000_000)
    assert run_due(database, "hour@0", caller=caller) == []
    clock.advance(60 * 1_000_000)  # 01:00:00 exactly
    assert len(run_due(database, "hour@0", caller=caller)) == 1
    assert periods_told(database) == ["2026-10-31 23:00:00", "2026-11-01 00:00:00"]


def test_periods_that_ended_while_nobody_ran_are_made_up_for(database: Database, clock: ManualClock) -> None:
    run_due(database, "day@6", caller=system_caller())
    clock.advance(3 * DAY)
    assert len(run_due(database, "day@6", caller=system_caller())) == 3
    days = ["2026-10-30 06:00:00", "2026-10-31 06:00:00", "2026-11-01 06:00:00", "2026-11-02 06:00:00"]
    assert periods_told(database)[1:] == days[1:]
    assert len(periods_told(database)) == 4


class Cut(ManualClock):
    """A clock that takes the database away at its nth look: a crash in the middle of an audit."""

    def __init__(self, now: int, looks: int) -> None:
        super().__init__(now)
        self.looks = looks

    def now(self) -> int:
        self.looks -= 1
        if self.looks == 0:
            raise DatabaseUnavailable
        return super().now()


@pytest.mark.parametrize("looks", range(1, 9))
def test_an_audit_that_was_cut_off_is_finished_by_the_next_and_stores_nothing_twice(
    database: Database, looks: int
) -> None:
    database.clock = Cut(START, looks)
    with contextlib.suppress(DatabaseUnavailable):
        run_due(database, "hour@0", caller=system_caller())
    database.clock = ManualClock(START)
    run_due(database, "hour@0", caller=system_caller())
    assert periods_told(database) == ["2026-10-31 23:00:00"]
    with database.read() as tx:
        assert tx.execute(select(func.count()).select_from(schema.usage_audits)).scalar_one() == 1


def test_what_is_due() -> None:
    assert [shown(one.begin) for one in due("month@1", START, None)] == ["2026-10-01 00:00:00"]
    finished = parse_time("2026-08-01 00:00:00")
    assert [shown(one.begin)[:7] for one in due("month@1", START, finished)] == ["2026-08", "2026-09", "2026-10"]
    assert due("month@1", START, parse_time("2026-11-01 00:00:00")) == []
    # The setting was moved: the time since the last finished end is in a period that is whole.
    assert [shown(one.begin) for one in due("hour@15", START, START - HOUR)] == ["2026-10-31 23:15:00"]
