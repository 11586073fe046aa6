"""The engine with real processes: racing, paused and resumed, on other hosts, with the database taken away."""

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select

from pumice.db.engine import Database, DatabaseUnavailable
from pumice.db.schema import worker_sessions
from pumice.operations import store
from pumice.operations.model import OperationRow
from tests.operations import toy
from tests.operations.harness import working
from tests.operations.test_engine_campaign import prepare
from tests.support.databases import Databases
from tests.support.postgres import PostgresServer
from tests.support.processes import Process, Processes
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


def start_worker(
    processes: Processes,
    url: str,
    directory: Path,
    *,
    host: str = "host-a",
    lease: float = 15,
    places: str = toy.PLACE,
    faults: str = "",
) -> Process:
    words = ["-m", "tests.operations.toy_worker", url, str(directory), host, str(lease), places]
    return processes.start(sys.executable, *words, environment={"PUMICE_FAULTS": faults})


def row_of(database: Database, operation_id: str) -> OperationRow:
    with database.read() as tx:
        row = store.get(tx, operation_id)
    assert row is not None
    return row


def live(database: Database) -> int:
    with database.read() as tx:
        return len(store.list_operations(tx, live=True))


def sessions(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(select(func.count()).where(worker_sessions.c.ended_at.is_(None))).scalar_one())


def log_lines(directory: Path) -> list[str]:
    log = directory / "log"
    return log.read_text().splitlines() if log.exists() else []


def hang_in_fill(directory: Path) -> str:
    reached, until = directory / "reached", directory / "until"
    return f'[{{"point": "operation:toy.make/fill:inside", "action": "hang", "once": "{reached}", "until": "{until}"}}]'


def test_two_processes_do_each_of_500_operations_once(
    processes: Processes, database: Database, url: str, tmp_path: Path
) -> None:
    # Work that may be done anywhere: neither owns it, so both race for every claim.
    start_worker(processes, url, tmp_path, places="")
    start_worker(processes, url, tmp_path, places="")
    wait_until(lambda: sessions(database) == 2, 60, "both workers are there")
    for number in range(500):
        toy.ask_note(database, f"{number}")
    wait_until(lambda: live(database) == 0, 120, "all operations have ended")
    done = Counter(line.split()[1] for line in log_lines(tmp_path) if line.startswith("note "))
    assert done == {str(number): 1 for number in range(500)}
    workers = {line.split()[2] for line in log_lines(tmp_path) if line.startswith("note ")}
    assert len(workers) == 2


def test_a_paused_worker_that_wakes_after_its_work_was_taken_over_writes_nothing(
    processes: Processes, database: Database, url: str, tmp_path: Path
) -> None:
    paused = start_worker(processes, url, tmp_path, host="host-a", lease=0.5, faults=hang_in_fill(tmp_path))
    operation_id = toy.ask_make(database)
    wait_until((tmp_path / "reached").exists, 20, "the worker is inside the step")
    paused.send(signal.SIGSTOP)
    with working(database, toy.REGISTRY, toy.Shelf(tmp_path), [toy.PLACE], tmp_path):
        taken = ended(database, operation_id)
    assert taken.state == "done"
    (tmp_path / "until").touch()
    paused.send(signal.SIGCONT)
    assert paused.wait(20) == 3  # it saw that its session was ended by others
    after = row_of(database, operation_id)
    assert after == taken


def ended(database: Database, operation_id: str, deadline: float = 20) -> OperationRow:
    wait_until(lambda: row_of(database, operation_id).finished_at, deadline, "the operation has ended")
    return row_of(database, operation_id)


def _dead_or_done(worker: Process, database: Database, operation_id: str) -> bool:
    return not worker.running or row_of(database, operation_id).finished_at is not None


def test_the_work_of_a_killed_process_of_this_host_is_taken_over_at_once(
    processes: Processes, database: Database, url: str, tmp_path: Path
) -> None:
    first = start_worker(processes, url, tmp_path, lease=3600, faults=hang_in_fill(tmp_path))
    operation_id = toy.ask_make(database)
    wait_until((tmp_path / "reached").exists, 20, "the worker is inside the step")
    first.kill()
    start_worker(processes, url, tmp_path, lease=3600)
    row = ended(database, operation_id)  # long before the lease ends
    assert row.state == "done"


def test_a_step_that_kills_its_worker_each_time_fails_for_good(
    processes: Processes, database: Database, url: str, tmp_path: Path
) -> None:
    operation_id = toy.ask_make(database)
    deaths = 0
    kill = '[{"point": "operation:toy.make/fill:before", "action": "kill"}]'
    while row_of(database, operation_id).finished_at is None:
        worker = start_worker(processes, url, tmp_path, faults=kill)
        wait_until(partial(_dead_or_done, worker, database, operation_id), 30, "dead or done")
        deaths += not worker.running
        database.run_write(store.hasten, operation_id)
    row = row_of(database, operation_id)
    assert (row.state, deaths) == ("undone", 5)
    assert row.error == "5 workers died in the step fill; it is not tried again."
    assert toy.Shelf(tmp_path).names() == []


def test_nothing_accepted_is_lost_when_postgresql_restarts_under_load(
    processes: Processes, databases: Databases, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with databases.fresh("postgresql", prepare) as url:
        database = Database(url)
        start_worker(processes, url, tmp_path)
        ended(database, toy.ask_make(database))  # the worker is there
        accepted: list[str] = []
        enough, over = threading.Event(), threading.Event()

        def ask_on() -> None:
            while not over.is_set():
                try:
                    accepted.append(toy.ask_make(database))
                except DatabaseUnavailable:
                    continue
                if len(accepted) >= 30:
                    enough.set()

        asking = threading.Thread(target=ask_on)
        asking.start()
        assert enough.wait(30)
        before = len(accepted)
        postgres_server.stop()
        postgres_server.start()
        wait_until(lambda: len(accepted) >= before + 30, 30, "requests are accepted again")
        over.set()
        asking.join()
        wait_until(lambda: live(database) == 0, 60, "every operation has ended")
        states = Counter(row_of(database, operation_id).state for operation_id in accepted)
        assert states == {"done": len(accepted)}
        assert len(set(accepted)) == len(accepted)
        database.close()


def test_an_operation_starts_a_few_milliseconds_after_it_was_accepted(
    processes: Processes, database: Database, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_worker(processes, url, tmp_path)
    first = toy.ask_make(database)
    ended(database, first)
    accepted: dict[str, int] = {}
    for number in range(50):
        operation_id = toy.ask_make(database, f"thing-{number}")
        accepted[f"thing-{number}.box"] = time.time_ns()
        ended(database, operation_id)
    boxed = [line.split() for line in log_lines(tmp_path) if line.startswith("put thing-")]
    latencies = sorted((int(when) - accepted[name]) / 1e6 for _, name, when in boxed if name in accepted)
    with capsys.disabled():
        print(f"\n  accepted -> first side effect: median {latencies[25]:.1f} ms, p90 {latencies[45]:.1f} ms")
    assert latencies[25] < 100  # generous: the slow poll alone would make it hundreds
