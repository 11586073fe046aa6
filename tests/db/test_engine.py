"""The database as processes see it: transactions, wake-ups, fairness of writers, a server that goes away."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from pumice.db.engine import Database, DatabaseUnavailable, Transaction
from tests.operations import toy
from tests.operations.test_engine_campaign import prepare
from tests.support.databases import Databases
from tests.support.postgres import PostgresServer
from tests.support.processes import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture
def url(databases: Databases, database_kind: str) -> Iterator[str]:
    with databases.fresh(database_kind, prepare) as fresh:
        yield fresh


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()


def put(tx: Transaction, name: str) -> None:
    tx.execute(insert(toy.things).values(id=name, status="new"))


def names(tx: Transaction) -> list[str]:
    return sorted(tx.execute(select(toy.things.c.id)).scalars())


def test_a_failed_transaction_leaves_nothing_and_wakes_nobody(database: Database) -> None:
    heard: list[str] = []
    database.bus.listen(heard.append)

    def fail(tx: Transaction) -> None:
        put(tx, "a")
        tx.wake("never")
        tx.after_commit(lambda: heard.append("never"))
        put(tx, "a")

    with pytest.raises(IntegrityError):
        database.run_write(fail)
    with database.write() as tx:
        put(tx, "b")
        tx.wake("now")
        tx.after_commit(lambda: heard.append("committed"))
    wait_until(lambda: "now" in heard, 5, "the wake-up came")
    assert sorted(heard) == ["committed", "now"]
    assert database.run_read(names) == ["b"]


def test_readers_of_sqlite_cannot_write(databases: Databases) -> None:
    with databases.fresh("sqlite", prepare) as url:
        database = Database(url)
        with pytest.raises(OperationalError, match="readonly"), database.read() as tx:
            put(tx, "a")
        database.close()


def test_a_wake_up_reaches_the_other_process_and_dead_ones_are_forgotten(
    processes: Processes, database: Database, url: str, tmp_path: Path
) -> None:
    code = (
        "import sys, threading; from pathlib import Path; from pumice.db.engine import Database\n"
        "database = Database(sys.argv[1]); heard = threading.Event()\n"
        "database.bus.listen(lambda topic: Path(sys.argv[2], topic).touch())\n"
        "Path(sys.argv[2], 'ready').touch(); threading.Event().wait()\n"
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = processes.start(sys.executable, "-c", code, url, tmp_path / "one")
    processes.start(sys.executable, "-c", code, url, tmp_path / "two")
    for name in ("one", "two"):
        wait_until((tmp_path / name / "ready").exists, 20, f"{name} listens")
    one.kill()
    with database.write() as tx:
        tx.wake("hello")
    wait_until((tmp_path / "two" / "hello").exists, 5, "the living one heard it")
    assert not (tmp_path / "one" / "hello").exists()


def test_three_writing_processes_of_sqlite_get_fair_shares(
    processes: Processes, databases: Databases, tmp_path: Path
) -> None:
    code = (
        "import sys, threading, uuid; from pathlib import Path; from pumice.db.engine import Database\n"
        "from tests.db.test_engine import put\n"
        "database = Database(sys.argv[1]); name = sys.argv[2]; count = 0\n"
        "Path(sys.argv[3], name + '.ready').touch()\n"
        "while not Path(sys.argv[3], 'go').exists(): threading.Event().wait(0.001)\n"
        "while not Path(sys.argv[3], 'stop').exists(): database.run_write(put, str(uuid.uuid4())); count += 1\n"
        "Path(sys.argv[3], name).write_text(str(count))\n"
    )
    with databases.fresh("sqlite", prepare) as url:
        writers = [processes.start(sys.executable, "-c", code, url, str(n), tmp_path) for n in range(3)]
        for n in range(3):
            wait_until((tmp_path / f"{n}.ready").exists, 30, "the writer is ready")
        database = Database(url)
        (tmp_path / "go").touch()
        wait_until(lambda: len(database.run_read(names)) >= 600, 60, "600 writes")
        (tmp_path / "stop").touch()
        assert [writer.wait(30) for writer in writers] == [0, 0, 0]
        counts = [int((tmp_path / str(n)).read_text()) for n in range(3)]
        assert min(counts) * 10 > max(counts), counts
        assert len(database.run_read(names)) == sum(counts)
        database.close()


def test_a_restarted_postgresql_is_found_again_without_a_failed_call(
    databases: Databases, postgres_server: PostgresServer
) -> None:
    with databases.fresh("postgresql", prepare) as url:
        database = Database(url)
        heard: list[str] = []
        database.bus.listen(heard.append)
        for name in ("a", "b"):
            database.run_write(put, name)
        postgres_server.stop()
        with pytest.raises(DatabaseUnavailable, match="try again shortly"):
            database.run_write(put, "away")
        postgres_server.start()
        database.run_write(put, "c")
        assert database.run_read(names) == ["a", "b", "c"]

        def woken() -> bool:
            with database.write() as tx:
                tx.wake("again")
            return "again" in heard

        wait_until(woken, 10, "the bus listens again")
        database.close()


def test_a_dead_connection_in_the_pool_is_replaced_unseen(
    databases: Databases, postgres_server: PostgresServer
) -> None:
    with databases.fresh("postgresql", prepare) as url:
        database = Database(url)
        database.run_write(put, "a")
        postgres_server.stop()
        postgres_server.start()
        database.run_write(put, "b")
        assert database.run_read(names) == ["a", "b"]
        database.close()


def test_the_victim_of_a_deadlock_is_run_again(databases: Databases) -> None:
    with databases.fresh("postgresql", prepare) as url:
        database = Database(url)
        for name in ("a", "b"):
            database.run_write(put, name)
        both = threading.Barrier(2, timeout=10)
        runs: list[str] = []

        def lock(tx: Transaction, first: str, second: str) -> None:
            runs.append(first)
            _lock(tx, first)
            if len(runs) <= 2:
                both.wait()
            _lock(tx, second)

        other = threading.Thread(target=database.run_write, args=(lock, "b", "a"))
        other.start()
        database.run_write(lock, "a", "b")
        other.join()
        assert 3 <= len(runs) <= 5  # the victim may meet the other once more
        database.close()


def _lock(tx: Transaction, name: str) -> None:
    tx.execute(text("SELECT 1 FROM toy_things WHERE id = :name FOR UPDATE"), {"name": name})
