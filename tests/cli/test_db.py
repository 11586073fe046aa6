"""`pumice db` beside the database of a cloud, and one that is not there."""

import json
from pathlib import Path

import pytest

from pumice.caller import new_id
from pumice.clock import DAY
from pumice.db import schema
from pumice.db.engine import Database
from pumice.db.upgrade import upgrade
from tests.cli.test_commands import pumice
from tests.retention.rows import add
from tests.support.ports import free_port

pytestmark = pytest.mark.real


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A database with 1,200 volumes that were deleted long ago, and one that lives."""
    directory = tmp_path / "state"
    database = Database(f"sqlite:///{directory / 'pumice.db'}")
    upgrade(database)
    with database.write() as tx:
        kind = add(tx, schema.volume_types)
        for number in range(1200):
            over = {"life": "gone", "created_at": 1, "deleted_at": tx.now - 500 * DAY - number}
            add(tx, schema.volumes, volume_type_id=kind["id"], status="deleted", description="x" * 2000, **over)
        add(tx, schema.volumes, id=new_id(), volume_type_id=kind["id"], life="making", created_at=1)
    database.close()
    return directory


def test_purge_says_what_it_would_remove_and_removes_it(state: Path) -> None:
    looked = pumice("db", "purge", "--dry-run", state=state)
    assert looked.returncode == 0, looked.stderr
    line = next(line for line in looked.stdout.splitlines() if line.startswith("volumes\t"))
    assert line.split("\t")[1::2] == ["deleted volumes", "1200"]
    kept = pumice("db", "purge", "--json", state=state, PUMICE_RETENTION_VOLUMES="600")
    assert {one["rows"] for one in json.loads(kept.stdout)["rules"]} == {0}

    removed = json.loads(pumice("db", "purge", "--json", state=state).stdout)
    assert {one["table"]: one["rows"] for one in removed["rules"] if one["rows"]} == {"volumes": 1200}
    assert removed["bytes_given_back"] > 2**20
    again = pumice("db", "purge", "--compact", state=state)
    assert again.returncode == 0, again.stderr
    assert "volumes\tdeleted volumes" in again.stdout


@pytest.mark.parametrize("command", [("user", "list"), ("doctor",), ("serve",)])
def test_a_database_that_is_not_there_is_told_with_the_reason(command: tuple[str, ...], tmp_path: Path) -> None:
    url = f"postgresql+psycopg://pumice@127.0.0.1:{free_port()}/pumice"
    told = pumice(*command, state=tmp_path, PUMICE_DATABASE=url, PUMICE_BIND=f"127.0.0.1:{free_port()}")
    assert told.returncode == {"user": 4, "doctor": 3, "serve": 1}[command[0]]
    assert "Connection refused" in told.stdout + told.stderr
