"""`pumice serve`: from an empty directory to answering, said in a few lines; refused in one sentence; ended cleanly."""

import signal
import socket
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.test_commands import pumice
from tests.support.ports import free_port
from tests.support.processes import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

SIMULATED = {
    "PUMICE_HYPERVISOR_DRIVER": "memory",
    "PUMICE_BACKENDS": '[{"name": "file", "mount": "never"}]',
    "PUMICE_ADMIN_PASSWORD": "chosen by the operator",
}


def test_serve_from_nothing_and_again(processes: Processes, tmp_path: Path) -> None:
    state, port = tmp_path / "state", free_port()
    command = ("pumice", "serve", "--state", state, "--bind", f"127.0.0.1:{port}")
    first = processes.start(*command, environment=SIMULATED)
    first.wait_for_output("openstack --os-cloud demo volume create", 60)
    assert f"Pumice is ready at http://127.0.0.1:{port} (first start" in first.output
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
        assert answer.status == 200
    clouds = state / "clouds.yaml"
    assert "chosen by the operator" in clouds.read_text()
    assert clouds.stat().st_mode & 0o777 == 0o600

    second = pumice("serve", "--bind", "127.0.0.1:1", state=state)
    assert second.returncode == 1
    assert f"(process {first.pid})" in second.stderr
    elsewhere = pumice("serve", "--bind", f"127.0.0.1:{port}", state=tmp_path / "other")
    assert elsewhere.returncode == 1
    assert "another program listens there" in elsewhere.stderr

    def healthy() -> bool:
        return pumice("doctor", state=state, **SIMULATED, PUMICE_BIND=f"127.0.0.1:{port}").returncode == 0

    assert wait_until(healthy, 60, "a doctor without complaints")
    assert pumice("reconcile", state=state, **SIMULATED).stdout == "nothing differs\n"

    first.send(signal.SIGINT)
    assert first.wait(30) == 0
    again = processes.start(*command, environment=SIMULATED)
    again.wait_for_output(f"Pumice is ready at http://127.0.0.1:{port}\n", 60)
    again.send(signal.SIGTERM)
    assert again.wait(30) == 0


def test_a_directory_that_cannot_be_made_is_named() -> None:
    refused = pumice("serve", "--bind", f"127.0.0.1:{free_port()}", state=Path("/proc/pumice"))
    assert refused.returncode == 1
    assert "cannot be written" in refused.stderr
    assert "--state" in refused.stderr


def test_a_newer_database_stops_serve(processes: Processes, tmp_path: Path) -> None:
    assert pumice("db", "upgrade", state=tmp_path / "state").returncode == 0
    with closing(sqlite3.connect(tmp_path / "state" / "pumice.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    refused = pumice("serve", "--bind", f"127.0.0.1:{free_port()}", state=tmp_path / "state")
    assert refused.returncode == 1
    assert "a newer Pumice has upgraded it" in refused.stderr


def test_the_port_is_free_after_the_end(processes: Processes, tmp_path: Path) -> None:
    port = free_port()
    running = processes.start("pumice", "api", "--state", tmp_path / "s", "--bind", f"127.0.0.1:{port}")

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, 60, "the API process listens")
    running.send(signal.SIGTERM)
    running.wait(30)
    assert not answers()
