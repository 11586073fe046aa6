"""The disks of a new server as rows: mappings with device names, volumes reserved, volumes made for it."""

from typing import Any

from pumice.block import attachments, volume_creation, volume_sources, volumes
from pumice.block.model import Volume
from pumice.caller import Caller, new_id
from pumice.compute import devices
from pumice.compute.boot_disks import BootPlan
from pumice.compute.model import WantedDisk
from pumice.db.engine import Transaction
from pumice.db.schema import block_device_mappings
from pumice.errors import BadRequest, Conflict, InvalidField, NotFound, WrongState


def add(
    tx: Transaction, caller: Caller, server_id: str, plan: BootPlan, *, multiattach: bool = True
) -> tuple[tuple[str, str], ...]:
    """Write the mappings, reserve the volumes that exist, make the others. (mapping id, attachment id) of those made.

    multiattach False: the caller's microversion (below 2.60) knows no volumes that servers share.
    Raises BadRequest, NotFound, QuotaExceeded."""
    made: list[tuple[str, str]] = []
    names: list[str | None] = [disk.device_name for disk in plan.disks if disk.device_name]
    for disk in plan.disks:
        bus = disk.disk_bus or plan.bus
        others = names.copy()
        if disk.device_name in others:
            others.remove(disk.device_name)
        device = devices.choose(disk.device_name, others, bus, first="a" if disk.boot_index == 0 else "b")
        names.append(device)
        row: dict[str, Any] = {
            "id": new_id(),
            "server_id": server_id,
            "source_type": disk.source_type,
            "destination_type": disk.destination_type,
            "snapshot_id": disk.uuid if disk.source_type == "snapshot" else None,
            "image_id": disk.uuid if disk.source_type == "image" else None,
            "volume_size": disk.volume_size,
            "volume_type": disk.volume_type,
            "boot_index": disk.boot_index,
            "device_name": device,
            "disk_bus": bus,
            "delete_on_termination": disk.delete_on_termination,
            "tag": disk.tag,
            "guest_format": disk.guest_format,
            "created_at": tx.now,
        }
        if disk.source_type == "volume" and disk.uuid is not None:
            refuse_shared(tx, caller, disk.uuid, multiattach)
            row["volume_id"] = disk.uuid
            row["attachment_id"] = reserve(tx, caller, disk.uuid, server_id, device=device, origin="compute", mode=None)
        elif disk.destination_type == "volume":
            volume = _make(tx, caller, disk)
            row |= {"volume_id": volume.id, "volume_size": volume.size}
            made.append((row["id"], new_id()))
        tx.execute(block_device_mappings.insert(), row)
    return tuple(made)


def refuse_shared(tx: Transaction, caller: Caller, volume_id: str, multiattach: bool) -> None:
    """Volumes that several servers share need a client that knows of them. Raises BadRequest, NotFound."""
    found = volumes.get(tx, caller, volume_id).volume
    if found.multiattach and not multiattach:
        raise BadRequest(
            f"Volume {volume_id} can be attached to several servers: use compute microversion 2.60 or later for it."
        )


def reserve(
    tx: Transaction, caller: Caller, volume_id: str, server_id: str, *, device: str, origin: str, mode: str | None
) -> str:
    """Take an existing volume for the server; the attachment's id. A volume in use is 400 here, as compute has it."""
    try:
        return attachments.reserve(
            tx, caller, volume_id, server_id=server_id, origin=origin, device=device, mode=mode
        ).id
    except WrongState as error:
        raise error.as_bad_request() from error
    except Conflict as error:
        raise BadRequest(error.message) from error


def _make(tx: Transaction, caller: Caller, disk: WantedDisk) -> Volume:
    source = volume_sources.Source(
        snapshot_id=disk.uuid if disk.source_type == "snapshot" else None,
        image_id=disk.uuid if disk.source_type == "image" else None,
    )
    wanted = volume_creation.Wanted(size=disk.volume_size, name="", volume_type=disk.volume_type, source=source)
    try:
        made = volume_creation.create(tx, caller, wanted).volume
    except NotFound as error:
        name = "volume_type" if error.message.startswith("Volume type") else "uuid"
        raise InvalidField(f"server.{disk.field}.{name}", getattr(disk, name), _plain(error)) from error
    except InvalidField as error:
        if error.field != "size":
            raise
        raise InvalidField(f"server.{disk.field}.volume_size", disk.volume_size, _plain(error)) from error
    if disk.boot_index == 0 and not made.bootable:
        raise BadRequest(f"Block device mapping is invalid: {disk.source_type} {disk.uuid or ''} is not bootable.")
    return made


def _plain(error: BadRequest | NotFound) -> str:
    """The last part of the sentence: what would be right."""
    return error.message.rpartition("; ")[2].rstrip(".")
