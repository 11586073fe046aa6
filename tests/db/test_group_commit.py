"""Functions of several threads in one transaction: each its own part, all of them committed before anybody is told."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

from pumice.db.engine import Database, DatabaseUnavailable, Transaction
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fast

METADATA = MetaData()
ROWS = Table("rows", METADATA, Column("name", String(40), primary_key=True), Column("number", Integer))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'group.db'}")
    METADATA.create_all(made.engine)
    yield made
    made.close()


def names(database: Database) -> set[str]:
    with database.read() as tx:
        return set(tx.execute(select(ROWS.c.name)).scalars())


def add(tx: Transaction, name: str) -> str:
    tx.execute(insert(ROWS).values(name=name, number=1))
    return name


class Crowd:
    """Functions that all wait for the writer: while it is held, they queue up; then one transaction takes them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.pool = ThreadPoolExecutor(16)

    def run(self, *functions: Callable[[Transaction], Any]) -> list[Future[Any]]:
        """Their futures, done."""
        with self.database.write():
            futures = [self.pool.submit(self.database.run_write, function) for function in functions]
            queue = self.database._group._asked
            wait_until(lambda: len(queue) >= len(functions) - 1, 10, "all wait")
        self.pool.shutdown(wait=True)
        return futures


def test_each_gets_what_its_function_returned_and_all_are_kept(database: Database) -> None:
    wanted = [f"row-{number}" for number in range(10)]
    futures = Crowd(database).run(*(partial(add, name=name) for name in wanted))
    assert [future.result() for future in futures] == wanted
    assert names(database) == set(wanted)


def test_what_one_raises_undoes_its_part_alone(database: Database) -> None:
    def broken(tx: Transaction) -> None:
        add(tx, "half done")
        raise LookupError("changed its mind")

    first, second, third = Crowd(database).run(lambda tx: add(tx, "a"), broken, lambda tx: add(tx, "b"))
    assert isinstance(second.exception(), LookupError)
    assert (first.result(), third.result()) == ("a", "b")
    assert names(database) == {"a", "b"}


def test_a_broken_unique_index_is_told_to_the_second_alone(database: Database) -> None:
    futures = Crowd(database).run(*(lambda tx: add(tx, "same") for _ in range(4)))
    assert sorted(future.exception() is None for future in futures) == [False, False, False, True]
    assert names(database) == {"same"}


def test_one_sees_what_those_before_it_wrote(database: Database) -> None:
    def count(tx: Transaction) -> int:
        tx.execute(insert(ROWS).values(name=f"seen {len(tx.execute(select(ROWS.c.name)).all())}"))
        return len(tx.execute(select(ROWS.c.name)).all())

    futures = Crowd(database).run(*[count] * 8)
    assert sorted(future.result() for future in futures) == list(range(1, 9))


def test_wake_ups_and_calls_come_after_the_commit_and_only_of_what_was_kept(database: Database) -> None:
    heard: list[str] = []
    seen: list[set[str]] = []
    database.bus.listen(heard.append)

    def kept(tx: Transaction) -> None:
        add(tx, "kept")
        tx.wake("kept")
        tx.after_commit(lambda: seen.append(names(database)))

    def undone(tx: Transaction) -> None:
        tx.wake("undone")
        tx.after_commit(lambda: seen.append({"never"}))
        raise LookupError

    Crowd(database).run(kept, undone, lambda tx: add(tx, "other"))
    assert seen == [{"kept", "other"}]
    wait_until(lambda: "kept" in heard, 10, "the wake-up is heard")
    assert "undone" not in heard


def test_when_the_transaction_breaks_each_runs_alone(database: Database) -> None:
    """A full disk ends SQLite's whole transaction: those that need no more room are kept all the same."""
    with database.write() as tx:
        pages = tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")

    def large(tx: Transaction) -> None:
        for number in range(100):
            tx.execute(insert(ROWS).values(name=f"{number:04}-{'x' * 36}"))
            tx.connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS filler_{number} (x)")

    first, second, third = Crowd(database).run(lambda tx: add(tx, "a"), large, lambda tx: add(tx, "b"))
    assert isinstance(second.exception(), DatabaseUnavailable)
    assert (first.result(), third.result()) == ("a", "b")
    assert names(database) == {"a", "b"}


def test_writing_within_a_write_is_refused_and_nobody_waits_for_ever(database: Database) -> None:
    def nested(tx: Transaction) -> None:
        database.run_write(lambda inner: add(inner, "inner"))

    first, second = Crowd(database).run(lambda tx: add(tx, "a"), nested)
    assert first.result() == "a"
    with pytest.raises(RuntimeError, match="within"):
        second.result()


def test_many_threads_share_commits(database: Database) -> None:
    """So that the lock and the disk are waited for once: fewer commits than functions, none of them lost."""
    opened = database._group._transaction
    commits: list[int] = []

    @contextmanager
    def counted() -> Iterator[Transaction]:
        with opened() as tx:
            yield tx
        commits.append(1)

    transaction: Callable[[], AbstractContextManager[Transaction]] = counted
    database._group._transaction = transaction
    futures = Crowd(database).run(*(partial(add, name=f"row-{number}") for number in range(12)))
    assert len({future.result() for future in futures}) == len(names(database)) == 12
    assert len(commits) <= 2
