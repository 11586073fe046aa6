"""The number that caches of identity go by: it only grows, and no number counts for two changes."""

from collections.abc import Iterator

import pytest

from pumice.clock import ManualClock
from pumice.db.engine import Database, Transaction
from pumice.identity import generation
from tests.block.cloud import prepare
from tests.support.databases import Databases

pytestmark = pytest.mark.real


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def database(databases: Databases, database_kind: str, clock: ManualClock) -> Iterator[Database]:
    with databases.fresh(database_kind, prepare) as url:
        opened = Database(url, clock=clock)
        yield opened
        opened.close()


class Lost(Exception):
    """The transaction is not committed."""


def advanced(tx: Transaction) -> int:
    generation.advance(tx)
    return generation.current(tx)


def test_a_number_that_was_seen_in_a_lost_transaction_counts_for_no_later_change(
    database: Database, clock: ManualClock
) -> None:
    first = database.run_write(advanced)
    for _ in range(4):  # the first times, and when the statements are kept
        clock.advance(1)
        with pytest.raises(Lost), database.write() as tx:
            lost = advanced(tx)
            raise Lost
        assert database.run_read(generation.current) == first
        clock.advance(1)
        following = database.run_write(advanced)
        assert following not in (lost, first)
        assert database.run_read(generation.current) == following
        first = following


def test_it_grows_with_each_change_whatever_the_clock_says(database: Database, clock: ManualClock) -> None:
    seen = [database.run_write(advanced)]
    for step in (0, 0, 5, -1_000_000, 0):
        clock.advance(step)
        seen.append(database.run_write(advanced))
    assert seen == sorted(set(seen))
