"""The commands as programs: help, output for people and for programs, exit codes, errors in one sentence."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pumice.block import volume_creation, volume_types
from pumice.block.volume_creation import Wanted
from pumice.caller import Caller, new_id
from pumice.cli.main import COMMANDS, main
from pumice.cli.reference import commands, reference
from pumice.db.engine import Database
from pumice.db.schema import attachments
from pumice.db.upgrade import upgrade
from tests.support.processes import BIN
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"


def pumice(*words: str, state: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PUMICE_")}
    if state is not None:
        clean["PUMICE_STATE"] = str(state)
    return subprocess.run(
        [str(BIN / "pumice"), *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean, **environment},
        check=False,
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with an empty cloud."""
    directory = tmp_path / "state"
    database = Database(f"sqlite:///{directory / 'pumice.db'}")
    upgrade(database)
    database.run_write(volume_types.ensure_default)
    database.close()
    return directory


@pytest.fixture
def database(state: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{state / 'pumice.db'}")
    yield opened
    opened.close()


def broken_volume(database: Database) -> tuple[str, str]:
    """A volume without a backend, and a phantom attachment of it by SQL (story 2); (volume id, attachment id)."""
    caller = Caller(request_id="req-1", user_id=new_id(), project_id=new_id(), roles=frozenset({"member"}))
    volume_id = database.run_write(volume_creation.create, caller, Wanted(size=1, name="first")).volume.id
    attachment_id = new_id()
    row: dict[str, Any] = {
        "id": attachment_id,
        "volume_id": volume_id,
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "server_id": new_id(),
        "mode": "rw",
        "origin": "os-attach",
        "shared": False,
        "stage": "attached",
        "attach_status": "attached",
        "created_at": 1,
    }
    with database.write() as tx:
        tx.execute(attachments.insert(), row)
        tx.execute(text("UPDATE volumes SET status = 'in-use', attach_status = 'attached'"))
    return volume_id, attachment_id


def test_help_answers_at_once_and_names_every_command() -> None:
    times = []
    for _ in range(3):
        start = time.monotonic()
        done = pumice("--help")
        times.append(time.monotonic() - start)
        assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert min(times) < 0.4


def test_the_page_of_commands_is_what_the_program_says() -> None:
    assert DOCS.read_text() == reference()


def test_every_option_of_every_command_is_explained() -> None:
    for path, command in commands(main, ("pumice",)):
        assert command.help, path
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or vars(parameter).get("help"), (path, parameter.name)


def test_db_upgrade_makes_the_schema_once(tmp_path: Path) -> None:
    first = pumice("db", "upgrade", "--json", state=tmp_path / "new")
    assert json.loads(first.stdout)["changed"] is True
    second = pumice("db", "upgrade", state=tmp_path / "new")
    assert (second.returncode, second.stdout[:13]) == (0, "nothing to do")


def test_a_newer_database_is_refused_in_one_sentence(state: Path, database: Database) -> None:
    with database.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    refused = pumice("db", "upgrade", state=state)
    assert refused.returncode == 1
    assert "9999" in refused.stderr
    assert "newer Pumice" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_reconcile_heals_story_2_by_one_command(state: Path, database: Database) -> None:
    volume_id, attachment_id = broken_volume(database)
    looked = pumice("reconcile", "--dry-run", "--json", state=state)
    assert looked.returncode == 3
    names = {one["finding"]["name"] for one in json.loads(looked.stdout)["outcomes"]}
    assert names == {"attachment-server-gone", "status-stale"}
    healed = pumice("reconcile", state=state)
    assert healed.returncode == 0, healed.stderr
    assert attachment_id not in pumice("reconcile", "--dry-run", state=state).stdout
    assert "no agent runs" in healed.stderr
    assert pumice("reconcile", "--dry-run", state=state).returncode == 0
    with database.read() as tx:
        status = tx.execute(text("SELECT attach_status FROM volumes WHERE id = :id"), {"id": volume_id}).scalar_one()
    assert status == "detached"


def test_explain_tells_facts_and_what_helps(state: Path, database: Database) -> None:
    volume_id, attachment_id = broken_volume(database)
    told = pumice("explain", volume_id, state=state)
    assert told.returncode == 0
    for expected in (f"volume {volume_id} (first)", attachment_id, "no backend", "What helps"):
        assert expected in told.stdout
    as_data = json.loads(pumice("explain", attachment_id, "--json", state=state).stdout)
    assert as_data["facts"]["volume_id"] == volume_id
    unknown = pumice("explain", new_id(), state=state)
    assert unknown.returncode == 1
    assert "nothing has the id" in unknown.stderr


def test_users_are_made_and_granted_roles(tmp_path: Path, database: Database, state: Path) -> None:
    from pumice.identity.bootstrap import bootstrap

    bootstrap(database, state, "http://127.0.0.1/identity/v3", "RegionOne", "pumice", "secret")
    assert pumice("user", "create", "anna", "--password", "long enough", state=state).returncode == 0
    assert pumice("user", "grant", "anna", "member", "--project", "demo", state=state).returncode == 0
    assert pumice("user", "set-password", "anna", "--password", "another one", state=state).returncode == 0
    assert "member on project demo" in pumice("user", "list", state=state).stdout
    wrong = pumice("user", "grant", "anna", "king", "--system", state=state)
    assert (wrong.returncode, "known are" in wrong.stderr) == (1, True)


def test_a_directory_without_a_cloud_says_what_to_do(tmp_path: Path) -> None:
    missing = pumice("operation", "list", state=tmp_path / "nothing")
    assert missing.returncode == 1
    assert "pumice serve" in missing.stderr


def test_wrong_settings_are_named(state: Path) -> None:
    misspelt, lifetime = {"PUMICE_TOKEN_LIFETIM": "3"}, {"PUMICE_TOKEN_LIFETIME": "600"}
    wrong = pumice("config", state=state, **misspelt)
    assert wrong.returncode == 2
    assert "PUMICE_TOKEN_LIFETIME" in wrong.stderr
    right = pumice("config", "--json", state=state, **lifetime)
    (one,) = [one for one in json.loads(right.stdout) if one["name"] == "token_lifetime"]
    assert (one["value"], one["source"]) == (600, "PUMICE_TOKEN_LIFETIME")


def test_doctor_says_what_is_wrong_and_how_to_fix_it(state: Path) -> None:
    environment = {"PUMICE_HYPERVISOR_DRIVER": "memory", "PUMICE_BACKENDS": '[{"name": "m", "driver": "memory"}]'}
    (state / "clouds.yaml").write_text("secret")
    (state / "clouds.yaml").chmod(0o644)
    state.chmod(0o700)
    found = pumice("doctor", "--json", state=state, **environment)
    assert found.returncode == 3
    results = {one["name"]: one for one in json.loads(found.stdout)}
    assert results["clouds.yaml"]["verdict"] == "bad"
    assert results["clouds.yaml"]["fix"].startswith("chmod 600")
    assert results["backend pumice@m"]["verdict"] == "good"
    (state / "clouds.yaml").chmod(0o600)
    assert pumice("doctor", state=state, **environment).returncode == 0


def test_operations_are_listed_and_shown(state: Path) -> None:
    listed = pumice("operation", "list", "--all", "--json", state=state)
    assert (listed.returncode, json.loads(listed.stdout)) == (0, [])
    assert pumice("operation", "show", new_id(), state=state).returncode == 1
    assert wait_until(lambda: pumice("operation", "list", state=state).stdout.startswith("id\t"), 5, "a header")
