"""From a server's rows to the guest that its host's hypervisor is to define."""

from typing import Any

import msgspec

from pumice.block import queries as block_queries
from pumice.block.model import Attachment
from pumice.compute import queries
from pumice.compute.model import BlockDeviceMapping
from pumice.compute.operations import local_disks, server_files
from pumice.hypervisors.contract import Disk, Guest
from pumice.operations.model import Run, StepFailed


def guest_of(run: Run[Any], **changes: Any) -> Guest:
    """The guest of the operation's server, with the disks of its connected and attached volumes. `changes`: what the
    rows do not have yet, e.g. flavor={...}. Raises StepFailed."""
    server_id = run.arguments.server_id
    with run.database.read() as tx:
        server = queries.server(tx, server_id)
        mappings = queries.mappings_of(tx, [server_id])
        attached = {one.id: one for one in block_queries.attachments_of_server(tx, server_id)}
    if server is None:
        raise StepFailed(f"server {server_id} is gone")
    server = msgspec.structs.replace(server, **changes)
    directory = server_files.directory(run.world, server_id)
    boots_by_kernel = server.kernel_id is not None
    disks: list[Disk] = []
    if (directory / "root.raw").exists():
        info = {"driver_volume_type": "local", "data": {"device_path": str(directory / "root.raw")}}
        place = next((one for one in mappings if one.boot_index == 0 and one.destination_type == "local"), None)
        disks.append(
            Disk(
                serial=local_disks.own_serial(server_id, "root"),
                connection_info=info,
                bus=place.disk_bus if place is not None else "scsi",
                device=place.device_name if place is not None else "/dev/sda",
                boot_index=None if boots_by_kernel else 1,
            )
        )
    for mapping in sorted(mappings, key=lambda one: (one.boot_index is None, one.boot_index or 0)):
        found = attached.get(mapping.attachment_id or "")
        if found is None or mapping.volume_id is None or found.connection_info is None:
            continue
        disks.append(volume_disk(mapping, found, found.connection_info, boots_by_kernel=boots_by_kernel))
    disks += local_disks.disks_of(directory, server_id, mappings)
    return Guest(
        server_id=server_id,
        name=server.name or server_id,
        memory_mib=int(server.flavor["ram"]),
        vcpus=int(server.flavor["vcpus"]),
        disks=tuple(disks),
        kernel_path=str(directory / "kernel") if boots_by_kernel else None,
        ramdisk_path=str(directory / "ramdisk") if server.ramdisk_id is not None else None,
    )


def volume_disk(
    mapping: BlockDeviceMapping, found: Attachment, connection_info: dict[str, Any], *, boots_by_kernel: bool
) -> Disk:
    """The disk of an attached volume, as the server's guest has it."""
    boots = not boots_by_kernel and mapping.boot_index is not None and mapping.boot_index >= 0
    return Disk(
        serial=found.volume_id,
        connection_info=connection_info,
        bus=mapping.disk_bus,
        device=mapping.device_name,
        read_only=found.mode == "ro",
        shareable=found.shared,
        boot_index=mapping.boot_index + 1 if boots and mapping.boot_index is not None else None,
    )
