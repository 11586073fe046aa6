"""The unit of `deploy/systemd`: systemd accepts it, and a restart or a crash leaves guests with their volumes alive."""

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_commands import pumice
from tests.demo.narration import Narrator
from tests.demo.stage import Guest, Stage
from tests.deployment.unit import FILE, Unit, UnitCloud, environment_of
from tests.support.databases import Databases
from tests.support.processes import BIN
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "pumice.service"
    unit.write_text(FILE.read_text().replace("/usr/bin/pumice", str(BIN / "pumice")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "pumice" in line]
    assert (done.returncode, said) == (0, [])
    unit.write_text(unit.read_text().replace("KillMode=process", "KillMode=proces"))
    wrong = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Failed to parse kill mode" in wrong.stderr


def test_the_unit_stays_in_the_mount_namespace_of_the_host() -> None:
    """What is mounted in a namespace of the unit's own is not seen by its next start, which would mount it again."""
    own_namespace = r"Private(?!Users)\w+|Protect(System|Home|Kernel\w+|ControlGroups|Proc)|(ReadOnly|ReadWrite|Inaccessible|Exec|NoExec|Bind|BindReadOnly)Paths|TemporaryFileSystem|RootDirectory|RootImage|DynamicUser|MountFlags|PrivateMounts|ProcSubset"  # noqa: E501
    unit = Unit.read()
    assert [name for name in unit.names if re.fullmatch(own_namespace, name)] == []
    assert (unit["KillMode"], unit["OOMPolicy"], unit["Type"]) == ("process", "continue", "notify")
    assert "MemoryDenyWriteExecute" not in unit.names


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A cloud that runs as the unit, with the guest's images uploaded."""
    directory = Path(tempfile.mkdtemp(prefix="pumice-unit-"))
    cloud = UnitCloud(directory, Unit.read())
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "PUMICE_STATE"):
            patch.delenv(name, raising=False)
        try:
            cloud.start()
            made = Stage(Narrator(), cloud)
            made.upload_image()
            yield made
            made.eyes.close()
        finally:
            cloud.close()
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def cloud(stage: Stage) -> UnitCloud:
    assert isinstance(stage.cloud, UnitCloud)
    return stage.cloud


@pytest.fixture(scope="module")
def guest(stage: Stage) -> Guest:
    return stage.boot("guest")


def test_ready_is_told_once_requests_are_served_and_then_that_it_lives(cloud: UnitCloud) -> None:
    wait_until(lambda: "READY=1" in cloud.notes(), 30, "READY=1")
    assert cloud.healthy()
    assert f"MAINPID={cloud.pid}" in cloud.notes()
    assert any(note.startswith(f"STATUS=serves at {cloud.url}") for note in cloud.notes())
    alive = cloud.notes().count("WATCHDOG=1")
    wait_until(lambda: cloud.notes().count("WATCHDOG=1") >= alive + 2, 20, "the watchdog is kept quiet")
    for name in ("api", "agent"):
        assert "NOTIFY_SOCKET" not in environment_of(cloud.wait_for_process(name)), name


def test_a_restart_leaves_a_guest_and_its_volume_alive(stage: Stage, cloud: UnitCloud, guest: Guest) -> None:
    volume = stage.volume("through-the-restart")
    stage.attach(guest, "through-the-restart", volume)
    guest.write(volume, "before")
    process = cloud.guest_process(guest.id)
    assert process is not None
    assert "NOTIFY_SOCKET" not in environment_of(process)

    assert cloud.end_main(signal.SIGTERM) == 0
    assert "STOPPING=1" in cloud.notes()
    guest.write(volume, "while it was away", offset=8192)
    cloud.start()

    assert cloud.guest_process(guest.id) == process
    stage.agree(guest, {volume})
    assert guest.read(volume, 6) == "before"
    stage.detach(guest, "through-the-restart", volume)
    stage.agree(guest, set())


def test_a_killed_main_process_leaves_a_guest_and_its_volume_alive(
    stage: Stage, cloud: UnitCloud, guest: Guest
) -> None:
    volume = stage.volume("through-the-crash")
    stage.attach(guest, "through-the-crash", volume)
    process = cloud.guest_process(guest.id)
    assert cloud.end_main(signal.SIGKILL) == -signal.SIGKILL
    guest.write(volume, "nobody serves")
    cloud.start()
    assert cloud.guest_process(guest.id) == process
    stage.detach(guest, "through-the-crash", volume)
    stage.agree(guest, set())


def test_a_cloud_moves_to_postgresql_while_its_guest_works(
    stage: Stage, cloud: UnitCloud, guest: Guest, databases: Databases
) -> None:
    volume = stage.volume("moved")
    stage.attach(guest, "moved", volume)
    before = {one["id"]: one["status"] for one in stage.eyes.volumes()}
    with databases.fresh("postgresql") as url:
        refused = pumice("db", "copy", "--to", url, state=cloud.state)
        assert refused.returncode == 1
        assert f"(process {cloud.pid}) runs in" in refused.stderr
        cloud.stop()
        guest.write(volume, "while the rows move")
        copied = pumice("db", "copy", "--to", url, state=cloud.state)
        assert copied.returncode == 0, copied.stderr
        setting = copied.stderr.splitlines()[-1]
        (cloud.state / "pumice.toml").write_text(f"{setting}\n")
        (cloud.state / "pumice.db").rename(cloud.state / "old.db")
        try:
            cloud.launch().wait_for_output("Pumice is ready", 60)
            assert {one["id"]: one["status"] for one in stage.eyes.volumes()} == before
            stage.demo.run(f"openstack server remove volume {guest.id} {volume}")
            stage.eyes.wait_for_volume(volume)
            guest.wait_sees(set())
        finally:
            cloud.stop()
            (cloud.state / "pumice.toml").unlink()
            (cloud.state / "old.db").rename(cloud.state / "pumice.db")
