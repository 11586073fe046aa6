"""Attach and detach seen from inside real guests: QEMU under embedded libvirt, the file pool, the local target.

The guest is the tiny one of `tests/lab`, booted by kernel and ramdisk; it prints what its kernel sees.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.compute import servers
from pumice.compute.operations.observe import observe_guests
from pumice.compute.volume_attachments import attach, detach
from pumice.db.paging import PageRequest
from pumice.errors import BadRequest
from pumice.hypervisors.libvirt import LibvirtHypervisor
from pumice.hypervisors.registry import HypervisorConfig
from pumice.operations.world import Backend
from pumice.storage.config import PoolConfig
from pumice.storage.file import FileDriver
from tests.block.cloud import BACKEND, prepare
from tests.compute.cloud import ComputeCloud
from tests.lab.guest import Inside, guest_image, guest_pid
from tests.support.databases import Databases
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

BOOT_SECONDS = 60.0


class RealCloud(ComputeCloud):
    """Volumes are files, guests are real."""

    def __init__(self, url: str, folder: Path, hypervisor: LibvirtHypervisor, root: Path) -> None:
        self.libvirt, self.root = hypervisor, root
        super().__init__(url, folder, hypervisor)
        config = PoolConfig(name="file", path=str(folder / "pool"), record_path=str(folder / "pool.json"))
        self.pool = FileDriver(config)
        self.pool.start()
        backend = Backend(BACKEND, f"{BACKEND}#pool", "memory", "nova", self.pool, self.target)
        self.world.backends[BACKEND] = backend  # type: ignore[index]
        image = guest_image()
        kernel = self.image(image.kernel.read_bytes(), disk_format="aki")
        ramdisk = self.image(image.ramdisk.read_bytes(), disk_format="ari")
        self.bootable = self.image(b"", properties={"kernel_id": kernel, "ramdisk_id": ramdisk})

    def close(self) -> None:
        """The hypervisor is the whole session's; our guests are not."""
        for server in self.read(servers.page, self.admin, PageRequest(), all_projects=True, deleted=False).items:
            self.libvirt.undefine(server.server.id)
        super().close()
        self.libvirt.start()
        self.pool.close()

    def console(self, server_id: str) -> str:
        return self.libvirt.console_log(server_id)

    def wait_console(self, server_id: str, words: str, count: int = 1) -> None:
        wait_until(lambda: self.console(server_id).count(words) >= count, BOOT_SECONDS, f"the guest prints {words!r}")

    def booted(self) -> str:
        server_id = self.server()
        self.wait_console(server_id, "GUEST-UP")
        return server_id

    def inside(self, server_id: str) -> Inside:
        return Inside(self.libvirt.command_socket(server_id))


@pytest.fixture
def cloud(
    databases: Databases, tmp_path: Path, libvirt_hypervisor: LibvirtHypervisor, libvirt_config: HypervisorConfig
) -> Iterator[RealCloud]:
    """On SQLite: what depends on the database is in the other tests."""
    with databases.fresh("sqlite", prepare) as url:
        made = RealCloud(url, tmp_path, libvirt_hypervisor, libvirt_config.directory)
        try:
            yield made
            made.assert_derived()
        finally:
            made.close()


def test_a_guest_reads_and_writes_its_volume_also_when_it_was_attached_while_stopped(cloud: RealCloud) -> None:
    server, volume = cloud.booted(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use"
    cloud.wait_console(server, f"serial={volume}")
    with cloud.inside(server) as inside:
        assert volume in inside.disks()
        inside.command("write", f"serial:{volume}", 4096, "old-bytes")

    cloud.write(detach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "available"
    cloud.wait_console(server, "BLOCK remove")
    assert b"old-bytes" in Path(cloud.pool.locate(volume).path).read_bytes()[4096:8192]

    cloud.write(servers.power, cloud.member, server, "stop")
    cloud.settle()
    assert cloud.found(server).status == "SHUTOFF"
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use"
    cloud.write(servers.power, cloud.member, server, "start")
    cloud.settle()
    cloud.wait_console(server, "GUEST-UP", 2)
    with cloud.inside(server) as inside:
        wait_until(lambda: volume in inside.disks(), BOOT_SECONDS, "the guest sees the volume")
        assert bytes.fromhex(inside.command("read", f"serial:{volume}", 4096, 9)) == b"old-bytes"
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert (cloud.found(server).status, cloud.status(volume)) == ("DELETED", "available")
    assert guest_pid(cloud.root, server) is None


def test_a_storm_of_attach_and_detach_leaves_nothing_in_the_guest(cloud: RealCloud) -> None:
    server, volumes = cloud.booted(), [cloud.volume() for _ in range(2)]
    with cloud.working():
        for round_ in range(20):
            volume = volumes[round_ % 2]

            def asked(volume: str = volume) -> bool:
                try:
                    cloud.write(attach, cloud.member, server, volume)
                except BadRequest:
                    return False  # the detach before is still under way: refused at once, nothing taken
                return True

            wait_until(asked, BOOT_SECONDS, "the volume is free again")
            cloud.write(detach, cloud.member, server, volume)
        cloud.wait_idle()
    assert [cloud.status(volume) for volume in volumes] == ["available", "available"]
    assert cloud.disks(server) == {} and cloud.exports() == set()
    with cloud.inside(server) as inside:
        assert not set(volumes) & set(inside.disks())


def test_a_guest_whose_process_died_is_shutoff_and_keeps_its_volume(cloud: RealCloud) -> None:
    server, volume = cloud.booted(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    process = guest_pid(cloud.root, server)
    assert process is not None
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: observe_guests(cloud.database, cloud.world), BOOT_SECONDS, "the end is observed")
    assert (cloud.found(server).status, cloud.status(volume)) == ("SHUTOFF", "in-use")
    cloud.write(detach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "available"
