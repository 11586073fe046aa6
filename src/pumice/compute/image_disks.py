"""Images that are lists of snapshots: the property `block_device_mapping`, a JSON text, as createImage of a server on
volumes writes it. A server of such an image starts from the snapshots; the image itself has no bytes.

    [{"source_type": "snapshot", "snapshot_id": ID, "destination_type": "volume", "boot_index": 0, ...}]
"""

from collections.abc import Sequence

import msgspec

from pumice.compute import devices
from pumice.compute.model import WantedDisk
from pumice.errors import BadRequest
from pumice.images.model import Image

PROPERTY = "block_device_mapping"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry; names that are not here change nothing."""

    source_type: str = "snapshot"
    destination_type: str | None = None
    snapshot_id: str | None = None
    volume_id: str | None = None
    image_id: str | None = None
    volume_size: int | None = None
    volume_type: str | None = None
    boot_index: int | None = None
    device_name: str | None = None
    disk_bus: str | None = None
    guest_format: str | None = None
    delete_on_termination: bool | None = None
    no_device: bool | None = None
    tag: str | None = None


def disks_of_image(image: Image | None, asked: Sequence[WantedDisk]) -> list[WantedDisk]:
    """The disks that the image brings along, but those that the request gives otherwise. Raises BadRequest."""
    text = image.properties.get(PROPERTY) if image is not None else None
    if image is None or not text:
        return []
    try:
        entries = msgspec.json.decode(text, type=list[Entry])
    except msgspec.MsgspecError as error:
        raise BadRequest(
            f"Image {image.id} cannot be booted: its property {PROPERTY} is malformed ({error})."
        ) from error
    names = {devices.plain(disk.device_name) for disk in asked if disk.device_name}
    has_root = any(disk.boot_index == 0 for disk in asked)
    found = (disk_of_entry(image, entry) for entry in entries if not entry.no_device)
    return [
        disk
        for disk in found
        if not (disk.boot_index == 0 and has_root)
        and not (disk.device_name and devices.plain(disk.device_name) in names)
    ]


def root_snapshot(image: Image) -> str | None:
    """The snapshot that a volume made of the image starts from; None: the image has bytes of its own."""
    roots = [disk for disk in disks_of_image(image, ()) if disk.boot_index == 0 and disk.source_type == "snapshot"]
    return roots[0].uuid if roots else None


def disk_of_entry(image: Image, entry: Entry) -> WantedDisk:
    """Raises BadRequest."""
    source, destination = entry.source_type, entry.destination_type or "volume"
    if source not in ("volume", "snapshot", "image", "blank") or destination not in ("volume", "local"):
        raise BadRequest(
            f"Image {image.id} cannot be booted: its property {PROPERTY} has a disk from {source} to {destination}."
        )
    uuid = {"volume": entry.volume_id, "snapshot": entry.snapshot_id, "image": entry.image_id, "blank": None}[source]
    return WantedDisk(
        source_type=source,  # type: ignore[arg-type]
        destination_type=destination,  # type: ignore[arg-type]
        uuid=uuid,
        volume_size=entry.volume_size,
        volume_type=entry.volume_type or None,
        boot_index=entry.boot_index if entry.boot_index is not None and entry.boot_index >= 0 else None,
        device_name=entry.device_name or None,
        disk_bus=entry.disk_bus if entry.disk_bus in ("scsi", "virtio") else None,
        guest_format=entry.guest_format or None,
        delete_on_termination=bool(entry.delete_on_termination),
        tag=entry.tag or None,
        field=f"imageRef (its property {PROPERTY})",
    )
