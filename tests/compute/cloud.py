"""The cloud of `tests.block.cloud` with a compute host: the hypervisor in memory, an image store, a real worker.

server_id = cloud.server()                         a running server, made from a kernel image
cloud.settle()                                     run everything to its end, waiting operations too
with cloud.working(): ...                          the worker runs meanwhile
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from pumice.block import queries as block_queries
from pumice.block import volume_creation
from pumice.block.model import Attachment
from pumice.block.volume_creation import Wanted
from pumice.caller import new_id
from pumice.compute import flavors, hosts, instance_actions, queries, server_creation
from pumice.compute.facts import derived
from pumice.compute.model import Server, WantedServer
from pumice.compute.operations import OPERATIONS
from pumice.compute.status import ServerStatus
from pumice.db.schema import images, messages
from pumice.db.schema import servers as server_rows
from pumice.hypervisors.contract import Hypervisor, ObservedDisk
from pumice.hypervisors.memory import MemoryHypervisor
from pumice.images.store import ImageStore
from pumice.operations import store
from pumice.operations.sessions import WorkerSession
from pumice.operations.worker import Worker
from pumice.operations.world import World
from pumice.outcomes import Problem
from tests.block.cloud import BACKEND, HOST, BlockCloud
from tests.support.waiting import wait_until

DEADLINE = 60.0


class ComputeCloud(BlockCloud):
    """See the head of this file. `hypervisor` can be told to refuse or to lie."""

    def __init__(self, url: str, folder: Path, hypervisor: Hypervisor | None = None) -> None:
        super().__init__(url, folder)
        self.simulator = MemoryHypervisor(host=HOST)
        self.hypervisor: Hypervisor = hypervisor or self.simulator
        self.hypervisor.start()
        self.images = ImageStore(folder / "images")
        self.world = World(
            host=HOST,
            backends=self.world.backends,
            hypervisor=self.hypervisor,
            images=self.images,
            servers=folder / "servers",
        )
        self.registry.add(*OPERATIONS)
        self.session.close()
        self.session = WorkerSession.open(
            self.database, host=HOST, places=[f"backend:{BACKEND}", f"host:{HOST}"], folder=folder / "sessions"
        )
        self.write(flavors.ensure_defaults)
        self.report_host()
        self.kernel = self.image(b"a kernel", disk_format="aki")
        self.ramdisk = self.image(b"a ramdisk", disk_format="ari")
        self.bootable = self.image(b"", properties={"kernel_id": self.kernel, "ramdisk_id": self.ramdisk})

    def close(self) -> None:
        super().close()
        self.images.close()
        self.hypervisor.close()

    def report_host(self, *problems: Problem, memory_mib: int | None = None) -> None:
        """What the agent would say of its host now."""
        info = msgspec.structs.asdict(self.hypervisor.host_info())
        report = hosts.HostReport(**info)
        if memory_mib is not None:
            report = msgspec.structs.replace(report, memory_mib=memory_mib)
        self.write(hosts.report, report, list(problems))

    def image(self, data: bytes, *, disk_format: str = "raw", properties: dict[str, str] | None = None) -> str:
        """An active public image with these bytes."""
        image_id = new_id()
        self.images.directory.mkdir(parents=True, exist_ok=True)
        self.images.path(image_id).write_bytes(data)
        row = {
            "id": image_id,
            "project_id": new_id(),
            "name": "image",
            "status": "active",
            "disk_format": disk_format,
            "container_format": "bare",
            "visibility": "public",
            "protected": False,
            "hidden": False,
            "min_disk": 0,
            "min_ram": 0,
            "size": len(data),
            "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            "hash_algorithm": "sha512",
            "hash_value": hashlib.sha512(data).hexdigest(),
            "properties": properties or {},
            "tags": [],
            "created_at": 1,
            "updated_at": 1,
        }
        with self.database.write() as tx:
            tx.execute(images.insert(), row)
        return image_id

    @contextmanager
    def working(self) -> Iterator[None]:
        worker = Worker(self.database, self.registry, self.world, self.session)
        worker.start()
        try:
            yield
        finally:
            assert worker.stop(), "a step did not end"

    def settle(self) -> None:
        with self.working():
            self.wait_idle()

    def wait_idle(self) -> None:
        wait_until(lambda: not self.read(store.list_operations, live=True), DEADLINE, "every operation has ended")

    def ask_server(self, **wanted: Any) -> str:
        defaults: dict[str, Any] = {"name": "guest", "flavor_id": "1"}
        if "disks" not in wanted:
            defaults["image_id"] = self.bootable
        return self.write(server_creation.create, self.member, WantedServer(**{**defaults, **wanted})).server.id

    def server(self, **wanted: Any) -> str:
        server_id = self.ask_server(**wanted)
        self.settle()
        assert self.found(server_id).status == "ACTIVE", self.found(server_id)
        return server_id

    def found(self, server_id: str) -> Server:
        server = self.read(queries.server_even_deleted, server_id)
        assert server is not None
        return server

    def volume(self, size: int = 1) -> str:
        volume_id = self.write(volume_creation.create, self.member, Wanted(size=size)).volume.id
        self.settle()
        return volume_id

    def attachment(self, volume_id: str) -> Attachment | None:
        found = self.read(block_queries.attachments_of, [volume_id])
        assert len(found) <= 1
        return found[0] if found else None

    def disks(self, server_id: str) -> dict[str, ObservedDisk]:
        """The disks that the guest really has, by serial."""
        return {disk.serial: disk for disk in self.hypervisor.disks(server_id)}

    def exports(self) -> set[str]:
        return {export.volume_id for export in self.target.exports()}

    def last_action(self, server_id: str) -> tuple[str, str | None, str | None]:
        """(action, its message, the result of its event) of the newest one."""
        action = self.read(instance_actions.listed, server_id)[0]
        return action.action, action.message, self.read(instance_actions.events_of, action.id)[0].result

    def messages(self, volume_id: str) -> list[str]:
        with self.database.read() as tx:
            statement = select(messages.c.user_message).where(messages.c.resource_id == volume_id)
            return list(tx.execute(statement).scalars())

    def assert_derived(self) -> None:
        super().assert_derived()
        with self.database.read() as tx:
            for row in tx.execute(select(server_rows)).all():
                assert derived(tx, row.id) == ServerStatus(row.status, row.vm_state, row.task_state)
