"""The cloud of `tests.block.cloud` with servers: rows of SQL may be seeded, and `heal` is what the command does."""

from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select, update

from pumice.block import volume_creation
from pumice.block.volume_creation import Wanted
from pumice.caller import new_id
from pumice.compute import hosts, volume_attachments
from pumice.compute.hosts import HostReport
from pumice.compute.operations import OPERATIONS as COMPUTE
from pumice.db.schema import attachments, block_device_mappings, servers
from pumice.db.schema import volumes as volume_rows
from pumice.hypervisors.contract import Guest
from pumice.hypervisors.memory import MemoryHypervisor
from pumice.operations.world import World
from pumice.reconcile.model import Finding, Options, Outcome
from pumice.reconcile.operations import OPERATIONS as RECONCILE
from pumice.reconcile.run import reconcile
from tests.block.cloud import HOST, BlockCloud

COMMAND = Options(by_command=True)


class Cloud(BlockCloud):
    """`hypervisor` is the simulator."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url, folder)
        self.hypervisor = MemoryHypervisor(host=HOST)
        self.hypervisor.start()
        self.world: World = World(host=HOST, backends=self.world.backends, hypervisor=self.hypervisor)
        self.registry.add(*COMPUTE, *RECONCILE)
        self._runner._world = self.world
        self.session.places = frozenset([*self.session.places, f"host:{HOST}"])
        info = msgspec.structs.asdict(self.hypervisor.host_info())
        self.write(hosts.report, HostReport(**info), [])

    def volume(self) -> str:
        made = self.write(volume_creation.create, self.member, Wanted(size=1)).volume.id
        self.drain()
        assert self.status(made) == "available"
        return made

    def server(self, **values: Any) -> str:
        """A stopped server with a guest of its own, as if it had been made long ago."""
        server_id = new_id()
        row = {
            "id": server_id,
            "project_id": self.member.project_id,
            "user_id": self.member.user_id,
            "name": "one",
            "flavor_id": "1",
            "flavor": {"ram": 128, "vcpus": 1, "disk": 0, "ephemeral": 0, "original_name": "m1.tiny"},
            "host": HOST,
            "availability_zone": "nova",
            "metadata": {},
            "tags": [],
            "config_drive": False,
            "locked": False,
            "life": "there",
            "power": "off",
            "status": "SHUTOFF",
            "vm_state": "stopped",
            "created_at": 1,
            "updated_at": 1,
            **values,
        }
        self.insert(servers, row)
        self.hypervisor.define(Guest(server_id=server_id, name="one", memory_mib=64, vcpus=1))
        return server_id

    def attached(self, server_id: str) -> str:
        """A volume that is really attached to the server."""
        volume_id = self.volume()
        self.write(volume_attachments.attach, self.member, server_id, volume_id)
        self.drain()
        assert self.status(volume_id) == "in-use"
        return volume_id

    def insert(self, table: Any, row: dict[str, Any]) -> None:
        with self.database.write() as tx:
            tx.execute(table.insert(), row)

    def seed_attachment(self, volume_id: str, server_id: str, **values: Any) -> str:
        """The row that a phantom attach of story 2 leaves, by SQL; the volume looks in-use."""
        attachment_id = new_id()
        row = {
            "id": attachment_id,
            "volume_id": volume_id,
            "project_id": self.member.project_id,
            "user_id": self.member.user_id,
            "server_id": server_id,
            "device": "/dev/vdb",
            "mode": "rw",
            "origin": "os-attach",
            "shared": False,
            "stage": "attached",
            "attach_status": "attached",
            "created_at": 1,
            "attached_at": 1,
            **values,
        }
        self.insert(attachments, row)
        self.sql(volume_id, status="in-use", attach_status="attached")
        return attachment_id

    def sql(self, volume_id: str, **values: Any) -> None:
        """What operators ran by hand."""
        with self.database.write() as tx:
            tx.execute(update(volume_rows).where(volume_rows.c.id == volume_id).values(**values))

    def mappings(self, server_id: str) -> list[str]:
        with self.database.read() as tx:
            statement = select(block_device_mappings.c.volume_id).where(
                block_device_mappings.c.server_id == server_id, block_device_mappings.c.deleted_at.is_(None)
            )
            return [str(one) for one in tx.execute(statement).scalars()]

    def heal(self, options: Options = COMMAND) -> list[Outcome]:
        """Reconcile once, and let the operations run that it started."""
        outcomes = reconcile(self.database, world=self.world, options=options)
        self.drain()
        return outcomes

    def look(self) -> list[Finding]:
        """What is wrong now; nothing is changed."""
        return [one.finding for one in reconcile(self.database, world=self.world, options=Options(dry_run=True))]
