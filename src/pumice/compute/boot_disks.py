"""What a new server starts from: its disks, checked against each other, the image, the flavor. Writes nothing.

    imageRef alone                          a local root disk with a copy of the image, or the image's kernel
    block_device_mapping_v2, boot index 0   a volume: one that is there, or made of an image or a snapshot
    an image with block_device_mapping      (what createImage of a server on volumes makes) its entries, where the
                                            request has none for the same place
    a flavor with ephemeral disks, swap     those, local, where the request does not say it otherwise

Every refusal is a 400 that names the entry. The rows are made by `boot_rows.add`.
"""

from collections import Counter

import msgspec

from pumice.block import snapshots, volumes
from pumice.block.model import Volume
from pumice.caller import Caller
from pumice.compute import devices
from pumice.compute.image_disks import disks_of_image
from pumice.compute.model import Flavor, WantedDisk, WantedServer
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, InvalidField, NotFound
from pumice.images.images import for_boot
from pumice.images.model import Image

BUSES = ("scsi", "virtio")
FILE_SYSTEMS = ("ext4", "xfs")
"""What a local disk can be formatted with; "swap" besides."""


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
    properties: dict[str, str] = {}
    """Of the image, or those that the volume knows of its image."""


def plan(tx: Transaction, caller: Caller, wanted: WantedServer, flavor: Flavor) -> BootPlan:
    """Check what the server is to start from. Raises BadRequest, InvalidField."""
    image = _image(tx, caller, wanted.image_id, "server.imageRef") if wanted.image_id else None
    asked = [disk for disk in wanted.disks if not _is_root_of(disk, wanted.image_id)]
    disks = [*disks_of_image(image, asked), *asked]
    existing = {place: _volume(tx, caller, disk) for place, disk in enumerate(disks) if disk.source_type == "volume"}
    _check_each(disks)
    _check_together(disks)
    roots = [(place, disk) for place, disk in enumerate(disks) if disk.boot_index == 0]
    if roots:
        properties = _properties_of(tx, caller, *roots[0], existing)
    elif image is not None:
        properties = image.properties
    else:
        raise BadRequest("An image, or a block device mapping with boot index 0, is needed to boot from.")
    kernel_id, ramdisk_id = _kernel(tx, caller, image if not roots else None, properties)
    bus = properties.get("hw_disk_bus", "scsi")
    if bus not in BUSES:
        raise BadRequest(f"The image asks for hw_disk_bus={bus}; a disk can be on: {', '.join(BUSES)}.")
    disks += _of_flavor(flavor, disks)
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
        properties=properties,
    )


def _is_root_of(disk: WantedDisk, image_id: str | None) -> bool:
    """The entry that only says what imageRef says already."""
    return disk.source_type == "image" and disk.destination_type == "local" and disk.uuid == image_id


def _check_each(disks: list[WantedDisk]) -> None:
    """Each entry by itself."""
    for disk in disks:
        refusals = (
            ("uuid", disk.uuid is None and disk.source_type != "blank", f"a {disk.source_type} needs its id"),
            ("uuid", disk.uuid is not None and disk.source_type == "blank", "a blank disk is made of nothing"),
            (
                "destination_type",
                disk.destination_type == "local" and disk.source_type != "blank",
                "local is for blank disks, and for the image that is booted from",
            ),
            (
                "volume_size",
                disk.volume_size is None and disk.source_type == "blank",
                "a blank disk needs a size (GiB; local swap MiB)",
            ),
            (
                "volume_type",
                disk.volume_type is not None and (disk.source_type == "volume" or disk.destination_type == "local"),
                "only volumes that are made for the server can be given a type",
            ),
            ("disk_bus", disk.disk_bus is not None and disk.disk_bus not in BUSES, " or ".join(BUSES)),
            (
                "guest_format",
                disk.guest_format is not None and disk.destination_type != "local",
                "only local disks are formatted",
            ),
            (
                "guest_format",
                disk.guest_format not in (None, "swap", *FILE_SYSTEMS),
                f"swap, {' or '.join(FILE_SYSTEMS)}",
            ),
            (
                "boot_index",
                disk.boot_index == 0 and disk.source_type == "blank",
                "a server boots from a volume, a snapshot or an image, not from a blank disk",
            ),
            (
                "device_name",
                bool(disk.device_name) and devices.letters_of(disk.device_name or "") is None,
                "a name like /dev/sdb",
            ),
        )
        for name, refused, why in refusals:
            if refused:
                raise InvalidField(f"server.{disk.field}.{name}", getattr(disk, name), why)


def _check_together(disks: list[WantedDisk]) -> None:
    """What may stand once only, and the order of booting."""
    indexes = sorted(disk.boot_index for disk in disks if disk.boot_index is not None)
    if (indexes and indexes != list(range(indexes[0], indexes[0] + len(indexes)))) or indexes[:1] > [1]:
        raise BadRequest(
            f"Block device mapping is invalid: the boot indexes are {indexes}; each stands once, in sequence from 0"
            " (from 1 where imageRef is what is booted from)."
        )
    for what, values in (
        ("volume", [disk.uuid for disk in disks if disk.source_type == "volume"]),
        ("device_name", [devices.plain(disk.device_name) for disk in disks if disk.device_name]),
        ("tag", [disk.tag for disk in disks if disk.tag]),
    ):
        again = [value for value, count in Counter(values).items() if count > 1]
        if again:
            raise BadRequest(f"Block device mapping is invalid: the {what} {again[0]} stands in more than one entry.")


def _of_flavor(flavor: Flavor, disks: list[WantedDisk]) -> list[WantedDisk]:
    """Ephemeral disks and swap of the flavor that the request leaves out; those that it has may not be larger."""
    local = [disk for disk in disks if disk.source_type == "blank" and disk.destination_type == "local"]
    swaps = [disk for disk in local if disk.guest_format == "swap"]
    others = [disk for disk in local if disk.guest_format != "swap"]
    for what, found, limit, unit in (
        ("swap", swaps, flavor.swap, "MiB"),
        ("ephemeral", others, flavor.ephemeral, "GiB"),
    ):
        asked = sum(disk.volume_size or 0 for disk in found)
        if asked > limit:
            raise InvalidField(
                f"server.{found[0].field}.volume_size", asked, f"flavor {flavor.name} has {limit} {unit} of {what} disk"
            )
    if len(swaps) > 1:
        raise InvalidField(f"server.{swaps[1].field}.guest_format", "swap", "a server has one swap disk")
    blank = WantedDisk(source_type="blank", destination_type="local")
    missing = []
    if flavor.ephemeral and not others:
        missing.append(msgspec.structs.replace(blank, volume_size=flavor.ephemeral))
    if flavor.swap and not swaps:
        missing.append(msgspec.structs.replace(blank, volume_size=flavor.swap, guest_format="swap"))
    return missing


def _volume(tx: Transaction, caller: Caller, disk: WantedDisk) -> Volume:
    if disk.uuid is None or disk.destination_type != "volume":
        raise InvalidField(
            f"server.{disk.field}.destination_type",
            disk.destination_type,
            "a volume needs its uuid, and stays a volume",
        )
    try:
        found = volumes.get(tx, caller, disk.uuid).volume
    except NotFound as error:
        raise InvalidField(f"server.{disk.field}.uuid", disk.uuid, error.message.rstrip(".").lower()) from error
    if disk.boot_index == 0 and not found.bootable:
        raise BadRequest(f"Block device {found.id} is not bootable; set it bootable, or boot from another one.")
    return found


def _image(tx: Transaction, caller: Caller, image_id: str, field: str) -> Image:
    try:
        return for_boot(tx, caller, image_id)
    except NotFound as error:
        raise InvalidField(field, image_id, error.message.rstrip(".").lower()) from error


def _properties_of(
    tx: Transaction, caller: Caller, place: int, root: WantedDisk, existing: dict[int, Volume]
) -> dict[str, str]:
    """What the volume that is booted from knows of its image: kernel, ramdisk, bus."""
    if place in existing:
        return existing[place].image_metadata or {}
    if root.source_type == "image" and root.uuid is not None:
        return _image(tx, caller, root.uuid, f"server.{root.field}.uuid").properties
    if root.uuid is not None:
        return _of_snapshot(tx, caller, root)
    return {}


def _of_snapshot(tx: Transaction, caller: Caller, root: WantedDisk) -> dict[str, str]:
    try:
        found = snapshots.get(tx, caller, str(root.uuid))
    except NotFound as error:
        raise InvalidField(f"server.{root.field}.uuid", root.uuid, error.message.rstrip(".").lower()) from error
    return volumes.shown(tx, found.volume_id).volume.image_metadata or {}


def _kernel(
    tx: Transaction, caller: Caller, image: Image | None, properties: dict[str, str]
) -> tuple[str | None, str | None]:
    """(kernel, ramdisk) to boot by; an image that is a kernel itself is booted as one."""
    kernel_id = image.id if image is not None and image.disk_format == "aki" else properties.get("kernel_id")
    if not kernel_id:
        return None, None
    ramdisk_id = properties.get("ramdisk_id") or None
    for name, one in (("kernel_id", kernel_id), ("ramdisk_id", ramdisk_id)):
        if one is not None:
            _image(tx, caller, one, f"the image's {name}")
    return kernel_id, ramdisk_id
