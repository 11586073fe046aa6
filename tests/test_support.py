"""The tests' own helpers: if these lie, every other test does."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from tests.support.databases import Databases
from tests.support.ports import free_port, is_listening
from tests.support.postgres import PostgresServer
from tests.support.processes import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


def make_table(url: str) -> None:
    """What a test's preparation does: bring the schema, close the connections."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE prepared (word VARCHAR(10))"))
        connection.execute(text("INSERT INTO prepared VALUES ('once')"))
    engine.dispose()


def words(url: str) -> list[str]:
    engine = create_engine(url)
    with engine.begin() as connection:
        found = [row.word for row in connection.execute(text("SELECT word FROM prepared"))]
        connection.execute(text("INSERT INTO prepared VALUES ('mine')"))
    engine.dispose()
    return found


def test_a_database_is_empty_and_writable(database_url: str) -> None:
    make_table(database_url)
    assert words(database_url) == ["once"]


def test_copies_of_a_prepared_database_do_not_see_each_other(database_kind: str, databases: Databases) -> None:
    prepared: list[str] = []

    def prepare(url: str) -> None:
        prepared.append(url)
        make_table(url)

    with databases.fresh(database_kind, prepare) as first, databases.fresh(database_kind, prepare) as second:
        assert words(first) == ["once"]
        assert words(second) == ["once"]
        assert words(first) == ["once", "mine"]
    assert len(prepared) == 1


def test_the_servers_processes_are_not_roots(postgres_server: PostgresServer) -> None:
    with postgres_server.connect("postgres") as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        assert Path(f"/proc/{row[0]}").stat().st_uid != 0


def test_a_server_taken_away_comes_back_with_its_data(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        name = server.create_database()
        make_table(server.url(name))
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            server.connect(name)
        server.start()
        assert words(server.url(name)) == ["once"]
    finally:
        server.close()
    assert not server.directory.exists()


def test_a_server_ends_with_the_process_that_started_it(processes: Processes) -> None:
    program = (
        "import signal\nfrom tests.support.postgres import PostgresServer\n"
        "server = PostgresServer()\nprint('up', server.port, server.directory, flush=True)\nsignal.pause()"
    )
    root = Path(__file__).parent.parent
    owner = processes.start(sys.executable, "-c", program, directory=root)
    owner.wait_for_output("up ", deadline=60)
    wait_until(lambda: owner.output.endswith("\n"), 5, "the whole line")
    port, directory = owner.output.split()[1:]
    assert is_listening(int(port))
    owner.kill()
    wait_until(lambda: not is_listening(int(port)), 20, "the server's end")
    wait_until(lambda: not (Path(directory) / "data" / "postmaster.pid").exists(), 20, "its clean shutdown")
    subprocess.run(["rm", "-rf", directory], check=True)


def test_a_process_ends_with_all_that_it_started(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        shell = processes.start("sh", "-c", "sleep 1000 & echo child $!; trap '' TERM; wait")
        shell.wait_for_output("child ", deadline=10)
        wait_until(lambda: shell.output.endswith("\n"), 5, "the whole line")
        child = int(shell.output.split()[1])
        os.kill(child, 0)
        assert shell.end(grace=0.2) == -9

    def gone() -> bool:
        status = Path(f"/proc/{child}/status")
        return not status.exists() or "State:\tZ" in status.read_text()

    wait_until(gone, 5, "the child's end")


CLOUD = """
import signal, sys
from pathlib import Path
from tests.demo.cloud import Cloud
cloud = Cloud(Path(sys.argv[1]))
cloud.start()
print("the cloud runs", flush=True)
signal.pause()
"""


def running_with(word: str) -> list[str]:
    """The commands of the processes that have the word in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(path.read_text(errors="replace"))
    return [command for command in found if word in command]


def test_a_cloud_ends_with_the_tests_that_were_killed(processes: Processes, tmp_path: Path) -> None:
    tests = processes.start("python", "-c", CLOUD, tmp_path, directory=Path(__file__).parent.parent)
    tests.wait_for_output("the cloud runs", 60)
    state = str(tmp_path / "state")
    assert state in Path("/proc/self/mountinfo").read_text()
    tests.kill()
    wait_until(lambda: state not in Path("/proc/self/mountinfo").read_text(), 60, "nothing is mounted any more")
    wait_until(lambda: not running_with(state), 10, "no process of it runs any more")


def test_a_process_that_ends_early_shows_its_output(processes: Processes) -> None:
    process = processes.start("sh", "-c", "echo what went wrong; exit 3")
    with pytest.raises(AssertionError, match="ended with 3:\nwhat went wrong"):
        process.wait_for_output("never", deadline=10)


def test_waiting_tells_what_did_not_happen() -> None:
    with pytest.raises(AssertionError, match=r"the answer: not within 0\.01 s \(last answer: 0\)"):
        wait_until(lambda: 0, 0.01, "the answer")
    answers = iter([0, 0, 7])
    assert wait_until(lambda: next(answers), 5, "the answer") == 7


def test_a_free_port_is_free() -> None:
    assert not is_listening(free_port())


SKIPPING = """
import pytest
def test_skips(): pytest.skip("no such part here")
@pytest.mark.skip(reason="not today")
def test_is_marked(): assert True
@pytest.mark.xfail
def test_is_expected_to_fail(): assert False
def test_passes(): assert True
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_skip_is_a_failure(tmp_path: Path, workers: str) -> None:
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    (tmp_path / "test_module.py").write_text("import pytest\npytest.skip('nothing', allow_module_level=True)\n")
    root = Path(__file__).parent.parent
    options = ["-p", "tests.conftest", "-n", workers, "--continue-on-collection-errors", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", "-c", str(root / "pyproject.toml"), *options, str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0, done.stdout + done.stderr
    assert "A skip is a failure" in done.stdout
    closing_line = done.stdout.splitlines()[-1]
    assert "2 failed, 1 passed, 2 errors" in closing_line


def test_a_sqlite_database_is_a_file_of_its_own(databases: Databases) -> None:
    with databases.fresh("sqlite") as url, closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
