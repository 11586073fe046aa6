"""Images that are lists of disks: the property `block_device_mapping`, a JSON text, as createImage of a server on
volumes writes it. Volumes and servers of such an image start from the snapshots; the image itself has no bytes.

    [{"source_type": "snapshot", "snapshot_id": ID, "destination_type": "volume", "boot_index": 0, ...}]

No database here. Read by `block.volume_sources` and `compute.image_disks`.
"""

import msgspec

from pumice.errors import BadRequest
from pumice.images.model import Image

PROPERTY = "block_device_mapping"

_SOURCES = ("volume", "snapshot", "image", "blank")
_DESTINATIONS = ("volume", "local")


class ImageDisk(msgspec.Struct, frozen=True, kw_only=True):
    """One entry; names that are not here change nothing."""

    source_type: str = "snapshot"
    destination_type: str | None = None
    """None: a volume."""
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


_decode = msgspec.json.Decoder(list[ImageDisk]).decode


def disks_listed(image: Image) -> list[ImageDisk]:
    """The disks that the image lists, but those that are no device; none: it has bytes of its own.

    Raises BadRequest (no such list, or a disk of something else)."""
    text = image.properties.get(PROPERTY)
    if not text:
        return []
    try:
        listed = [disk for disk in _decode(text) if not disk.no_device]
    except msgspec.MsgspecError as error:
        raise BadRequest(
            f"Image {image.id} cannot be booted: its property {PROPERTY} is malformed ({error})."
        ) from error
    for disk in listed:
        destination = disk.destination_type or "volume"
        if disk.source_type not in _SOURCES or destination not in _DESTINATIONS:
            raise BadRequest(
                f"Image {image.id} cannot be booted: its property {PROPERTY} has a disk from {disk.source_type} to"
                f" {destination}."
            )
    return listed


def root_snapshot(image: Image) -> str | None:
    """The snapshot that a volume made of the image starts from; None: the image has bytes of its own.

    Raises BadRequest."""
    roots = [disk for disk in disks_listed(image) if disk.boot_index == 0 and disk.source_type == "snapshot"]
    return roots[0].snapshot_id if roots else None
