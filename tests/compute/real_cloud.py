"""The cloud of `tests.compute.cloud` with real guests: QEMU under embedded libvirt, the file pool, the local target.

The guest is the tiny one of `tests/lab`, booted by kernel and ramdisk; it prints what its kernel sees, and obeys.
"""

import dataclasses
from pathlib import Path
from typing import Any

from pumice.compute import servers
from pumice.db.paging import PageRequest
from pumice.hypervisors.libvirt import LibvirtHypervisor
from pumice.operations.world import Backend
from pumice.storage.config import PoolConfig
from pumice.storage.file import FileDriver
from tests.block.cloud import BACKEND
from tests.compute.cloud import ComputeCloud
from tests.lab.guest import Inside, guest_image
from tests.support.waiting import wait_until

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
        self.world = dataclasses.replace(self.world, shutdown_deadline=BOOT_SECONDS / 2)
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

    def ask_server(self, **wanted: Any) -> str:
        """The host has just been heard of, however long its guests have taken to boot."""
        self.report_host()
        return super().ask_server(**wanted)

    def booted(self) -> str:
        server_id = self.server()
        self.wait_console(server_id, "GUEST-UP")
        return server_id

    def inside(self, server_id: str) -> Inside:
        return Inside(self.libvirt.command_socket(server_id))
