"""`pumice usage-audit` as operators run it: what it prints, and what its exit status says."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from pumice.db.engine import Database
from pumice.db.schema import volume_types
from pumice.db.upgrade import upgrade
from tests.metering.world import TYPE, Meters
from tests.support.databases import Databases
from tests.support.processes import BIN

OCTOBER = ("--start_time", "2026-10-01 00:00:00", "--end_time", "2026-11-01 00:00:00")


class Operator:
    """Runs the command against one database."""

    def __init__(self, url: str, state: Path) -> None:
        self.url, self.state = url, state
        self.meters = Meters(url)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PUMICE_")}
        return subprocess.run(
            [BIN / "pumice", "usage-audit", *words],
            env={**kept, "PUMICE_DATABASE": self.url, "PUMICE_STATE": str(self.state)},
            capture_output=True,
            text=True,
            timeout=120,
        )


def prepare(url: str) -> None:
    """A database at the newest migration, with one volume type."""
    database = Database(url)
    upgrade(database)
    row = {"id": TYPE, "name": "default", "is_public": True, "is_default": True, "extra_specs": {}, "created_at": 1}
    with database.write() as tx:
        tx.execute(insert(volume_types), row)
    database.close()


@pytest.fixture
def operator(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[Operator]:
    with databases.fresh(database_kind, prepare) as url:
        made = Operator(url, tmp_path)
        yield made
        made.meters.database.close()


def test_all_sent_is_exit_0_and_a_second_run_says_so(operator: Operator) -> None:
    operator.meters.snapshot(operator.meters.volume("2026-10-05"), "2026-10-06")
    first = operator.run(*OCTOBER, "--send_actions")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [
        "volume: 1 alive in the period",
        "snapshot: 1 alive in the period",
        "2026-10-01 00:00:00 to 2026-11-01 00:00:00 (UTC)",
        "volume: 1 of 1 reported, 3 events sent",
        "snapshot: 1 of 1 reported, 3 events sent",
    ]
    again = operator.run(*OCTOBER)
    assert again.returncode == 0
    assert "volume: 1 of 1 reported, 1 events sent, 1 of them known from an earlier run" in again.stdout


def test_a_bad_row_is_exit_1_and_named_on_standard_error(operator: Operator) -> None:
    bad, good = operator.meters.volume("2026-10-05"), operator.meters.volume("2026-10-05")
    with operator.meters.database.write() as tx:
        tx.execute(text("UPDATE volumes SET metadata = '[1]' WHERE id = :id"), {"id": bad})
    done = operator.run(*OCTOBER, "--json")
    assert done.returncode == 1
    assert f"volume {bad} was not reported: its metadata cannot be read" in done.stderr
    told = json.loads(done.stdout)
    assert (told["sent"], told["failed"], told["begin"]) == (1, 1, "2026-10-01 00:00:00")
    assert [failure["id"] for failure in told["failures"]] == [bad]
    assert [event.resource_id for event in operator.meters.events()] == [good]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--period", "week"), "choose hour, day, month or year"),
        (("--period", "day@24"), "0 to 23"),
        (("--start_time", "yesterday"), "write it like"),
        (("--start_time", "2026-11-01 00:00:00", "--end_time", "2026-11-01 00:00:00"), "not before its end"),
        (("--period", "day", *OCTOBER), "either --period or times"),
        (("--colour", "red"), "No such option"),
    ],
)
def test_wrong_usage_is_exit_2_and_says_what_is_right(operator: Operator, words: tuple[str, ...], said: str) -> None:
    done = operator.run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_without_times_the_last_completed_period_is_audited(operator: Operator) -> None:
    now = operator.meters.database.clock.now()
    old = operator.meters.volume(now - 70 * 86_400_000_000)
    operator.meters.volume(now)
    assert operator.run("--period", "day").returncode == 0
    assert [event.resource_id for event in operator.meters.events()] == [old]


def test_a_state_without_a_cloud_is_told(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PUMICE_")}
    command = [BIN / "pumice", "usage-audit", "--state", tmp_path]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "there is no cloud in" in done.stderr
