"""The reconciler on real guests: QEMU under embedded libvirt, tampered with as by `virsh`, and a pool that fills up."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pumice.cli import reconcile as command
from pumice.compute import servers
from pumice.compute.operations.observe import observe_guests
from pumice.compute.volume_attachments import attach
from pumice.hypervisors.contract import Disk, GuestState
from pumice.hypervisors.domain_xml import alias_of
from pumice.hypervisors.libvirt import LibvirtHypervisor
from pumice.hypervisors.registry import HypervisorConfig
from pumice.reconcile.model import Finding, Options
from pumice.reconcile.operations import OPERATIONS
from pumice.reconcile.run import reconcile
from tests.block.cloud import prepare
from tests.compute.real_cloud import BOOT_SECONDS, RealCloud
from tests.reconcile.cloud import COMMAND
from tests.support import sweeper
from tests.support.databases import Databases
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

POOL_BYTES = 16 << 20


class Cloud(RealCloud):
    """With the reconciler."""

    def __init__(self, url: str, folder: Path, hypervisor: LibvirtHypervisor, root: Path) -> None:
        super().__init__(url, folder, hypervisor, root)
        self.registry.add(*OPERATIONS)

    def look(self) -> list[Finding]:
        return [one.finding for one in reconcile(self.database, world=self.world, options=Options(dry_run=True))]

    def heal(self) -> None:
        reconcile(self.database, world=self.world, options=COMMAND)
        self.settle()

    def with_volume(self) -> tuple[str, str]:
        """A server that has booted, and a volume that its kernel sees."""
        server, volume = self.booted(), self.volume()
        self.write(attach, self.member, server, volume)
        self.settle()
        assert self.status(volume) == "in-use"
        self.wait_console(server, f"serial={volume}")
        return server, volume

    def halves(self, server: str) -> dict[str, tuple[bool, bool]]:
        """(live, stored) of each disk."""
        return {serial: (disk.live, disk.stored) for serial, disk in self.disks(server).items()}

    def forget_disk(self, server: str, volume: str, flag: str) -> None:
        """`virsh detach-device-alias` of one definition, seen to be done."""
        domain: Any = self.libvirt._domain(server)
        domain.detachDeviceAlias(alias_of(volume), getattr(self.libvirt._libvirt, f"VIR_DOMAIN_AFFECT_{flag}"))
        left = (False, True) if flag == "LIVE" else (True, False)
        wait_until(lambda: self.halves(server)[volume] == left, BOOT_SECONDS, "the disk is in one definition")


@pytest.fixture
def cloud(
    databases: Databases, tmp_path: Path, libvirt_hypervisor: LibvirtHypervisor, libvirt_config: HypervisorConfig
) -> Iterator[Cloud]:
    with databases.fresh("sqlite", prepare) as url:
        made = Cloud(url, tmp_path, libvirt_hypervisor, libvirt_config.directory)
        try:
            yield made
            made.assert_derived()
        finally:
            made.close()


@pytest.fixture
def small_pool(tmp_path: Path) -> Iterator[Path]:
    """The pool's directory has a file system of its own, that is soon full."""
    pool = tmp_path / "pool"
    pool.mkdir()
    sweeper.watch(0, tmp_path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={POOL_BYTES}", "none", pool], check=True)
    try:
        yield pool
    finally:
        subprocess.run(["umount", pool], check=True)


def test_a_disk_that_the_stored_definition_lost_survives_a_stop(cloud: Cloud) -> None:
    server, volume = cloud.with_volume()
    with cloud.inside(server) as inside:
        inside.command("write", f"serial:{volume}", 4096, "mine")
    assert cloud.look() == []
    cloud.forget_disk(server, volume, "CONFIG")
    (finding,) = cloud.look()
    assert (finding.name, finding.evidence["live"], finding.evidence["stored"]) == ("disk-half-there", True, False)

    cloud.heal()
    assert cloud.halves(server) == {volume: (True, True)}
    cloud.libvirt.stop_guest(server)
    cloud.libvirt.start_guest(server)
    cloud.wait_console(server, "GUEST-UP", 2)
    with cloud.inside(server) as inside:
        assert bytes.fromhex(inside.command("read", f"serial:{volume}", 4096, 4)) == b"mine"
    assert cloud.look() == []


def test_the_command_finds_and_mends_what_went_behind_a_guest_that_runs(cloud: Cloud, tmp_path: Path) -> None:
    """The running guest lost its disk, the stored definition has one that is not attached, an export is away."""
    server, volume = cloud.with_volume()
    hidden, leaked = cloud.volume(), cloud.volume()
    cloud.write(attach, cloud.member, server, hidden)
    cloud.settle()
    data = {"device_path": cloud.pool.locate(leaked).path}
    cloud.libvirt.attach(server, Disk(serial=leaked, connection_info={"driver_volume_type": "local", "data": data}))
    for one in (leaked, volume):
        cloud.forget_disk(server, one, "LIVE")
    (record,) = (tmp_path / "exports").glob(f"{hidden}.*.json")
    before = record.read_bytes()
    record.unlink()

    with cloud.working():
        shown, notes = command.run(cloud.database, Options(dry_run=True, by_command=True), 60)
        assert {one.finding.name: one.state for one in shown} == dict.fromkeys(
            ("disk-half-there", "disk-left-over", "export-missing"), "found"
        )
        command.run(cloud.database, COMMAND, 60)
        # Two of the repairs are of the same guest: the second finds it busy, and is done the next time.
        again, _ = command.run(cloud.database, COMMAND, 60)
    assert ({one.state for one in again} | {"repaired"}, notes) == ({"repaired"}, [])
    assert cloud.halves(server) == {volume: (True, True), hidden: (True, True)}
    assert record.read_bytes() == before and cloud.look() == []
    cloud.wait_console(server, f"serial={volume}", 2)
    with cloud.inside(server) as inside:
        assert set(inside.disks()) == {volume, hidden}


def test_a_pause_left_behind_ends_and_a_users_pause_does_not(cloud: Cloud) -> None:
    server = cloud.booted()
    cloud.libvirt.pause(server)
    observe_guests(cloud.database, cloud.world)
    assert cloud.found(server).status == "PAUSED"
    (finding,) = cloud.look()
    assert (finding.name, finding.resource_id, finding.evidence["reason"]) == ("guest-paused", server, "asked")
    cloud.heal()
    assert (cloud.found(server).status, cloud.libvirt.state(server)) == ("ACTIVE", GuestState.RUNNING)

    cloud.write(servers.power, cloud.member, server, "pause")
    cloud.settle()
    cloud.heal()
    assert (cloud.found(server).status, cloud.libvirt.state(server)) == ("PAUSED", GuestState.PAUSED)
    assert cloud.look() == []


def test_a_guest_that_a_full_pool_stopped_goes_on_once_there_is_room(small_pool: Path, cloud: Cloud) -> None:
    server, volume = cloud.with_volume()
    filler = small_pool / "filler"
    filled = subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1M"], capture_output=True, text=True)
    assert "No space left" in filled.stderr
    with cloud.inside(server) as inside:
        writing = threading.Thread(
            target=inside.command, args=("write", f"serial:{volume}", 4 << 20, "written-at-last")
        )
        writing.start()
        wait_until(lambda: cloud.libvirt.state(server) is GuestState.PAUSED, BOOT_SECONDS, "QEMU stops the guest")
        (finding,) = cloud.look()
        assert (finding.name, finding.evidence["reason"]) == ("guest-paused", "io-error")

        cloud.heal()  # there is still no room: it stops again at the same write
        wait_until(lambda: cloud.libvirt.state(server) is GuestState.PAUSED, BOOT_SECONDS, "QEMU stops it again")
        observe_guests(cloud.database, cloud.world)
        assert [one.name for one in cloud.look()] == ["guest-paused"]

        filler.unlink()
        cloud.heal()
        writing.join(BOOT_SECONDS)
        assert not writing.is_alive()
        assert bytes.fromhex(inside.command("read", f"serial:{volume}", 4 << 20, 15)) == b"written-at-last"
    assert cloud.found(server).status == "ACTIVE" and cloud.look() == []
