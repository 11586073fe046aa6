"""The disks that a new server starts with: which there are, checked; their rows; volumes made or reserved for them."""

from typing import Any

import msgspec

from pumice.block import attachments, volumes
from pumice.block.model import Volume
from pumice.caller import Caller, new_id
from pumice.compute import devices
from pumice.compute.model import WantedDisk, WantedServer
from pumice.db.engine import Transaction
from pumice.db.schema import block_device_mappings
from pumice.errors import BadRequest, Conflict, NotFound, WrongState
from pumice.images.images import for_boot
from pumice.images.model import Image

BUSES = ("scsi", "virtio")


class BootPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a server starts from."""

    image: Image | None
    """None: booted from a volume."""
    kernel_id: str | None
    ramdisk_id: str | None
    bus: str
    disks: tuple[WantedDisk, ...]
    preferred_hosts: tuple[str, ...] = ()
    """Hosts where volumes lie that exist already."""
    image_ids: frozenset[str] = frozenset()
    """Images that must not go while the server is made."""


def plan(tx: Transaction, caller: Caller, wanted: WantedServer) -> BootPlan:
    """Check what the server is to start from. Raises BadRequest, NotFound."""
    disks = [disk for disk in wanted.disks if not _is_root_of(disk, wanted.image_id)]
    roots = [disk for disk in disks if disk.boot_index == 0]
    if len(roots) > 1 or (roots and wanted.image_id and roots[0].uuid != wanted.image_id):
        raise BadRequest("Block device mapping is invalid: exactly one disk, or the image, may have boot index 0.")
    existing = {disk.uuid: _volume(tx, caller, disk) for disk in disks if disk.source_type == "volume"}
    image = properties = None
    if wanted.image_id:
        image = _image(tx, caller, wanted.image_id)
        properties = image.properties
    elif roots:
        properties = _properties_of(tx, caller, roots[0], existing)
    else:
        raise BadRequest("An image, or a block device mapping with boot index 0, is needed to boot from.")
    kernel_id, ramdisk_id = _kernel(tx, caller, image, properties)
    bus = properties.get("hw_disk_bus", "scsi")
    if bus not in BUSES:
        raise BadRequest(f"The image asks for hw_disk_bus={bus}; a disk can be on: {', '.join(BUSES)}.")
    if image is not None and not roots and image.disk_format != "aki" and image.size:
        disks.insert(0, WantedDisk(source_type="image", destination_type="local", uuid=image.id, boot_index=0))
    ids = {image.id if image is not None else None, kernel_id, ramdisk_id}
    return BootPlan(
        image=image if not roots else None,
        kernel_id=kernel_id,
        ramdisk_id=ramdisk_id,
        bus=bus,
        disks=tuple(disks),
        preferred_hosts=tuple(volume.backend.partition("@")[0] for volume in existing.values() if volume.backend),
        image_ids=frozenset(one for one in ids if one is not None),
    )


def add(tx: Transaction, caller: Caller, server_id: str, plan: BootPlan) -> tuple[tuple[str, str], ...]:
    """Write the mappings, reserve the volumes that exist, make the others. (mapping id, attachment id) of those made.

    Raises BadRequest, NotFound, QuotaExceeded."""
    made: list[tuple[str, str]] = []
    names: list[str | None] = [disk.device_name for disk in plan.disks if disk.device_name]
    for disk in plan.disks:
        bus = disk.disk_bus if disk.disk_bus in BUSES else plan.bus
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
            "created_at": tx.now,
        }
        if disk.source_type == "volume" and disk.uuid is not None:
            row["volume_id"] = disk.uuid
            row["attachment_id"] = reserve(tx, caller, disk.uuid, server_id, device=device, origin="compute", mode=None)
        elif disk.destination_type == "volume":
            volume = _make(tx, caller, disk)
            row |= {"volume_id": volume.id, "volume_size": volume.size}
            made.append((row["id"], new_id()))
        tx.execute(block_device_mappings.insert(), row)
    return tuple(made)


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


def _is_root_of(disk: WantedDisk, image_id: str | None) -> bool:
    """The entry that only says what imageRef says already."""
    return disk.source_type == "image" and disk.destination_type == "local" and disk.uuid == image_id


def _volume(tx: Transaction, caller: Caller, disk: WantedDisk) -> Volume:
    if disk.uuid is None or disk.destination_type != "volume":
        raise BadRequest("Block device mapping is invalid: a volume needs its uuid, and destination_type volume.")
    try:
        found = volumes.get(tx, caller, disk.uuid).volume
    except NotFound as error:
        raise BadRequest(f"Block device mapping is invalid: {error.message}") from error
    if disk.boot_index == 0 and not found.bootable:
        raise BadRequest(f"Block device {found.id} is not bootable; set it bootable, or boot from another one.")
    return found


def _image(tx: Transaction, caller: Caller, image_id: str) -> Image:
    try:
        return for_boot(tx, caller, image_id)
    except NotFound as error:
        raise BadRequest(error.message) from error


def _properties_of(
    tx: Transaction, caller: Caller, root: WantedDisk, existing: dict[str | None, Volume]
) -> dict[str, str]:
    """What the volume that is booted from knows of its image: kernel, ramdisk, bus."""
    if root.source_type == "volume":
        return existing[root.uuid].image_metadata or {}
    if root.source_type == "image" and root.uuid is not None and root.destination_type == "volume":
        return _image(tx, caller, root.uuid).properties
    if root.source_type == "snapshot":
        return {}
    raise BadRequest("Block device mapping is invalid: a server boots from a volume, a snapshot or an image.")


def _kernel(
    tx: Transaction, caller: Caller, image: Image | None, properties: dict[str, str]
) -> tuple[str | None, str | None]:
    """(kernel, ramdisk) to boot by; an image that is a kernel itself is booted as one."""
    kernel_id = image.id if image is not None and image.disk_format == "aki" else properties.get("kernel_id")
    if not kernel_id:
        return None, None
    ramdisk_id = properties.get("ramdisk_id") or None
    for one in (kernel_id, ramdisk_id):
        if one is not None:
            _image(tx, caller, one)
    return kernel_id, ramdisk_id


def _make(tx: Transaction, caller: Caller, disk: WantedDisk) -> Volume:
    if disk.source_type != "blank" and disk.uuid is None:
        raise BadRequest(f"Block device mapping is invalid: a {disk.source_type} needs its uuid.")
    source = volumes.Source(
        snapshot_id=disk.uuid if disk.source_type == "snapshot" else None,
        image_id=disk.uuid if disk.source_type == "image" else None,
    )
    wanted = volumes.Wanted(size=disk.volume_size, name="", volume_type=disk.volume_type, source=source)
    try:
        made = volumes.create(tx, caller, wanted).volume
    except NotFound as error:
        raise BadRequest(f"Block device mapping is invalid: {error.message}") from error
    if disk.boot_index == 0 and not made.bootable:
        raise BadRequest(f"Block device mapping is invalid: {disk.source_type} {disk.uuid or ''} is not bootable.")
    return made
