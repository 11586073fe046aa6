"""Real guests with an operating system: what their kernel sees of attach, detach, growth and of our own end."""

import json
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.hypervisors.contract import DetachRefused, Disk, Guest, GuestState, HypervisorError
from pumice.hypervisors.domain_xml import alias_of, disk_xml, slot_of
from pumice.hypervisors.libvirt import LibvirtHypervisor
from pumice.hypervisors.libvirt_root import LONGEST_ROOT, end_probes
from pumice.hypervisors.registry import HypervisorConfig
from tests.lab.guest import Image, Inside, end_guests, guest_image, guest_pid
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

BOOT_SECONDS = 60
REPOSITORY = Path(__file__).parent.parent.parent
MIB = 1 << 20


@pytest.fixture(scope="module")
def image() -> Image:
    return guest_image()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A hypervisor's directory whose name is too long for UNIX sockets and not made of plain characters."""
    root = tmp_path / f"{'long' * 20} <&> ü" / "hypervisor"
    root.mkdir(parents=True)
    yield root
    end_guests(root)
    note = root / "short_name"
    if note.exists():
        Path(note.read_text()).unlink()


def volume(directory: Path, size: int = 8 * MIB) -> Path:
    path = directory / f"{uuid.uuid4()}.raw"
    with path.open("wb") as file:
        file.truncate(size)
    return path


def disk(path: Path, bus: str = "scsi") -> Disk:
    connection_info = {"driver_volume_type": "local", "data": {"device_path": str(path)}}
    return Disk(serial=path.stem, connection_info=connection_info, bus=bus)


def owner(processes: Processes, root: Path, *words: str | Path) -> Process:
    """A process that owns the hypervisor of this root."""
    return processes.start("python", "-m", "tests.lab.hypervisor_owner", root, *words, directory=REPOSITORY)


def test_a_guest_outlives_its_killed_owner_and_the_next_one_detaches_its_disk(
    processes: Processes, root: Path, image: Image
) -> None:
    server, path = str(uuid.uuid4()), volume(root)
    first = owner(processes, root, "own", server, image.kernel, image.ramdisk, path)
    first.wait_for_output("owned", BOOT_SECONDS)
    assert len(os.fsencode(root)) > LONGEST_ROOT
    second = owner(processes, root, "look", server, path)
    assert second.wait(BOOT_SECONDS) != 0, "only one process may own the directory"
    pid = guest_pid(root, server)
    assert pid is not None

    first.kill()

    third = owner(processes, root, "look", server, path)
    assert third.wait(BOOT_SECONDS) == 0, third.output
    seen = json.loads(third.output.splitlines()[-1])
    assert seen == {"found": "running", "before": [[path.stem, True, True]], "after": [], "left": []}
    wait_until(lambda: guest_pid(root, server) is None, 10, "the guest's end")


class Lab:
    """One booted guest and the hypervisor it runs on."""

    def __init__(self, hypervisor: LibvirtHypervisor, server_id: str) -> None:
        self.hypervisor = hypervisor
        self.server_id = server_id

    def printed(self, text: str) -> None:
        """Wait until the guest's console shows it."""
        wait_until(lambda: text in self.hypervisor.console_log(self.server_id), BOOT_SECONDS, f"{text!r} printed")

    def seen(self) -> dict[str, tuple[bool, bool]]:
        """(live, stored) of each disk by serial."""
        return {seen.serial: (seen.live, seen.stored) for seen in self.hypervisor.disks(self.server_id)}

    def inside(self) -> Inside:
        return Inside(self.hypervisor.command_socket(self.server_id))


@pytest.fixture
def lab(libvirt_hypervisor: LibvirtHypervisor, image: Image) -> Iterator[Lab]:
    """Defined, not started yet."""
    libvirt_hypervisor.start()
    server = str(uuid.uuid4())
    libvirt_hypervisor.define(
        Guest(
            server_id=server,
            name="lab",
            memory_mib=96,
            vcpus=1,
            kernel_path=str(image.kernel),
            ramdisk_path=str(image.ramdisk),
        )
    )
    yield Lab(libvirt_hypervisor, server)
    libvirt_hypervisor.undefine(server)


def test_a_guest_reads_and_writes_disks_that_come_grow_and_go(lab: Lab, tmp_path: Path) -> None:
    hypervisor, server = lab.hypervisor, lab.server_id
    cold, hot = volume(tmp_path), volume(tmp_path)
    with cold.open("r+b") as file:
        file.write(b"written by the host")
    hypervisor.attach(server, disk(cold))
    hypervisor.start_guest(server)
    lab.printed("GUEST-UP")
    lab.printed(f"serial={cold.stem} size={8 * MIB}")

    hypervisor.attach(server, disk(hot))
    lab.printed(f"serial={hot.stem} size={8 * MIB}")
    with lab.inside() as inside:
        assert set(inside.disks()) == {cold.stem, hot.stem}
        assert bytes.fromhex(inside.command("read", f"serial:{cold.stem}", 0, 19)) == b"written by the host"
        inside.command("write", f"serial:{hot.stem}", 4096, "written inside")
        assert hot.read_bytes()[4096:4110] == b"written inside"

        os.truncate(hot, 16 * MIB)
        hypervisor.disk_grew(server, hot.stem, 16 * MIB)
        wait_until(lambda: inside.disks()[hot.stem]["size"] == 16 * MIB, 10, "the new size inside")

        hypervisor.detach(server, hot.stem)
        wait_until(lambda: set(inside.disks()) == {cold.stem}, 10, "the disk gone inside")
    assert hypervisor.console_log(server, lines=1).count("\n") == 1


def test_a_disk_is_completed_under_another_name_where_its_own_is_taken(lab: Lab, tmp_path: Path) -> None:
    hypervisor, server, mine, other = lab.hypervisor, lab.server_id, volume(tmp_path), volume(tmp_path)
    hypervisor.start_guest(server)
    name = hypervisor.attach(server, disk(mine)).device
    domain, stored_only = hypervisor._domain(server), hypervisor._libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain.detachDeviceAlias(alias_of(mine.stem), stored_only)
    domain.attachDeviceFlags(disk_xml(disk(other), slot_of(name)), stored_only)
    assert lab.seen() == {mine.stem: (True, False), other.stem: (False, True)}
    hypervisor.complete(server, disk(mine))
    assert lab.seen() == {mine.stem: (True, True), other.stem: (False, True)}


def test_a_guest_that_did_not_let_go_in_time_keeps_the_disk_until_asked_again(lab: Lab, tmp_path: Path) -> None:
    hypervisor, server, path = lab.hypervisor, lab.server_id, volume(tmp_path)
    hypervisor.start_guest(server)
    lab.printed("GUEST-UP")
    hypervisor.attach(server, disk(path, bus="virtio"))
    lab.printed(f"serial={path.stem[:20]} size={8 * MIB}")
    hypervisor.pause(server)
    with pytest.raises(DetachRefused):
        hypervisor.detach(server, path.stem, deadline=0.3)
    assert lab.seen() == {path.stem: (True, True)}
    hypervisor.resume(server)
    hypervisor.detach(server, path.stem)
    assert lab.seen() == {}
    lab.printed("BLOCK remove vda")


def test_a_call_that_the_guest_process_never_answers_is_seen_as_stuck(
    lab: Lab, libvirt_hypervisor: LibvirtHypervisor, libvirt_config: HypervisorConfig, tmp_path: Path
) -> None:
    impatient = LibvirtHypervisor(host="node1", root=libvirt_config.directory, grace_seconds=0.2)
    impatient.start()
    lab.hypervisor.start_guest(lab.server_id)
    pid = guest_pid(libvirt_config.directory, lab.server_id)
    assert pid is not None and impatient.stuck_since() is None
    path = volume(tmp_path)
    asking = threading.Thread(target=impatient.attach, args=(lab.server_id, disk(path), 0.2))
    os.kill(pid, signal.SIGSTOP)
    try:
        asking.start()
        wait_until(lambda: impatient.stuck_since() is not None, 10, "the call seen as stuck")
        assert lab.hypervisor.state(lab.server_id) is GuestState.RUNNING, "other calls are still answered"
    finally:
        os.kill(pid, signal.SIGCONT)
    asking.join(30)
    assert not asking.is_alive() and impatient.stuck_since() is None
    assert lab.seen() == {path.stem: (True, True)}
    impatient.close()


def test_a_guest_whose_process_dies_has_crashed_and_can_be_started_again(
    lab: Lab, libvirt_config: HypervisorConfig, tmp_path: Path
) -> None:
    hypervisor, server, path = lab.hypervisor, lab.server_id, volume(tmp_path)
    hypervisor.start_guest(server)
    hypervisor.attach(server, disk(path))
    pid = guest_pid(libvirt_config.directory, server)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: hypervisor.state(server) is GuestState.CRASHED, 10, "the crash seen")
    assert lab.seen() == {path.stem: (False, True)}
    hypervisor.start_guest(server)
    assert lab.seen() == {path.stem: (True, True)}


def test_what_cannot_be_attached_is_told_in_a_sentence_and_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    hypervisor, server, path = lab.hypervisor, lab.server_id, volume(tmp_path)
    hypervisor.start_guest(server)
    path.unlink()
    with pytest.raises(HypervisorError, match="No such file"):
        hypervisor.attach(server, disk(path))
    path.mkdir()
    with pytest.raises(HypervisorError, match="neither a regular file nor a block device"):
        hypervisor.attach(server, disk(path))
    too_many = [disk(volume(tmp_path), bus="virtio") for _number in range(9)]
    for plugged in too_many[:8]:
        hypervisor.attach(server, plugged)
    with pytest.raises(HypervisorError, match=r"could not attach the volume .*PCI"):
        hypervisor.attach(server, too_many[8])
    assert lab.seen() == {plugged.serial: (True, True) for plugged in too_many[:8]}


def test_a_console_that_grows_without_end_is_cut_to_its_end(lab: Lab, libvirt_config: HypervisorConfig) -> None:
    hypervisor, server = lab.hypervisor, lab.server_id
    log = libvirt_config.directory / "console" / f"{server}.log"
    log.write_text("line\n" * MIB + "the last line\n")
    assert len(hypervisor.console_log(server)) == MIB
    assert hypervisor.check() == []
    assert log.stat().st_size == 0
    hypervisor.start_guest(server)
    lab.printed("GUEST-UP")
    assert "the last line\n" in hypervisor.console_log(server)
    assert log.stat().st_size < MIB


def test_a_qemu_that_libvirt_was_asking_when_it_died_is_ended(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "qemu" / "qmp-ABC123"
    folder.mkdir(parents=True)
    (tmp_path / "lib" / "qemu" / "qmp-GONE").mkdir()
    (tmp_path / "lib" / "qemu" / "qmp-GONE" / "qmp.pid").write_text("1")
    note = folder / "qmp.pid"
    command = ["qemu-system-x86_64", "-S", "-nodefaults", "-nographic", "-machine", "none"]
    subprocess.run([*command, "-pidfile", str(note), "-daemonize"], check=True)
    pid = int(note.read_text())
    assert end_probes(tmp_path) == 1
    wait_until(lambda: is_over(pid), 10, "QEMU ends")
    assert end_probes(tmp_path) == 0


def is_over(pid: int) -> bool:
    """No such process, or one that only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] == "Z"
    except FileNotFoundError:
        return True
