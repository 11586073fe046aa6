"""The disks that an image brings along, as those that a server is to have: of an image that is a list of disks
(`images.disk_lists`), what the request does not say otherwise.
"""

from collections.abc import Sequence

from pumice.compute import devices
from pumice.compute.model import WantedDisk
from pumice.images.disk_lists import PROPERTY, ImageDisk, disks_listed
from pumice.images.model import Image


def disks_of_image(image: Image | None, asked: Sequence[WantedDisk]) -> list[WantedDisk]:
    """The disks that the image brings along, but those that the request gives otherwise. Raises BadRequest."""
    if image is None:
        return []
    names = {devices.plain(disk.device_name) for disk in asked if disk.device_name}
    has_root = any(disk.boot_index == 0 for disk in asked)
    return [
        wanted_disk(disk)
        for disk in disks_listed(image)
        if not (disk.boot_index == 0 and has_root)
        and not (disk.device_name and devices.plain(disk.device_name) in names)
    ]


def wanted_disk(disk: ImageDisk) -> WantedDisk:
    ids = {"volume": disk.volume_id, "snapshot": disk.snapshot_id, "image": disk.image_id, "blank": None}
    return WantedDisk(
        source_type=disk.source_type,  # type: ignore[arg-type]
        destination_type=disk.destination_type or "volume",  # type: ignore[arg-type]
        uuid=ids[disk.source_type],
        volume_size=disk.volume_size,
        volume_type=disk.volume_type or None,
        boot_index=disk.boot_index if disk.boot_index is not None and disk.boot_index >= 0 else None,
        device_name=disk.device_name or None,
        disk_bus=disk.disk_bus if disk.disk_bus in ("scsi", "virtio") else None,
        guest_format=disk.guest_format or None,
        delete_on_termination=bool(disk.delete_on_termination),
        tag=disk.tag or None,
        field=f"imageRef (its property {PROPERTY})",
    )
