"""What a new volume is made of: nothing, a snapshot, a volume or an image; and what it inherits from it.

    through_image(source)     the snapshot that an image stands for, where it is a list of disks
    origin_of(source)         the source looked up: the least size, the backend, the type, the claims on it
    described_image(image)    what a volume tells of its image

Called by `volume_creation` in its transaction. Reads; writes nothing but the guards' locks.
"""

import msgspec

from pumice.block import queries
from pumice.block.guards import guard_older
from pumice.block.model import GIB, Volume
from pumice.block.volumes import get, may_see, shown
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, NotFound
from pumice.images.disk_lists import root_snapshot
from pumice.images.images import for_boot
from pumice.images.model import Image
from pumice.operations.model import Claim, shared


class Source(msgspec.Struct, frozen=True):
    """Where a new volume's first data comes from; all None: blank."""

    snapshot_id: str | None = None
    volume_id: str | None = None
    image_id: str | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A source, looked up: what the new volume inherits from it."""

    minimum_size: int = 1
    what: str = "a blank volume"
    backend: str | None = None
    volume_type_id: str | None = None
    bootable: bool = False
    image_metadata: dict[str, str] | None = None
    claims: tuple[Claim, ...] = ()


def origin_of(tx: Transaction, caller: Caller, source: Source) -> Origin:
    """Raises NotFound, BadRequest (several sources, or one that is not ready)."""
    given = [name for name in source.__struct_fields__ if getattr(source, name)]
    if len(given) > 1:
        raise BadRequest(f"A volume has one source; given were {', '.join(given)}.")
    if source.snapshot_id:
        return _from_snapshot(tx, caller, source.snapshot_id)
    if source.volume_id:
        return _from_volume(tx, caller, source.volume_id)
    if source.image_id:
        return _from_image(for_boot(tx, caller, source.image_id))
    return Origin()


def through_image(tx: Transaction, caller: Caller, source: Source) -> Source:
    """An image that is a list of snapshots (of a server on volumes) has no bytes: the volume starts from its root."""
    if source.image_id is None or source.snapshot_id or source.volume_id:
        return source
    snapshot_id = root_snapshot(for_boot(tx, caller, source.image_id))
    return source if snapshot_id is None else Source(snapshot_id=snapshot_id)


def described_image(image: Image) -> dict[str, str]:
    """What a volume tells of the image that its bytes came from."""
    described = {
        "image_id": image.id,
        "image_name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "checksum": image.checksum,
        **image.properties,
    }
    return {key: str(value) for key, value in described.items() if value is not None}


def _from_snapshot(tx: Transaction, caller: Caller, snapshot_id: str) -> Origin:
    snapshot = queries.snapshot(tx, snapshot_id)
    if snapshot is None or not may_see(caller, snapshot.project_id):
        raise NotFound.of("Snapshot", snapshot_id)
    guard_older(tx, "snapshot", snapshot_id, "clone")
    volume = shown(tx, snapshot.volume_id).volume
    return _copied("snapshot", snapshot_id, snapshot.size, snapshot.backend, volume)


def _from_volume(tx: Transaction, caller: Caller, volume_id: str) -> Origin:
    volume = get(tx, caller, volume_id).volume
    guard_older(tx, "volume", volume_id, "clone")
    return _copied("volume", volume_id, volume.size, volume.backend, volume)


def _copied(kind: str, source_id: str, size: int, backend: str | None, volume: Volume) -> Origin:
    """The origin of a copy: what it is of a volume, now or at the time of a snapshot."""
    return Origin(
        minimum_size=size,
        what=f"{kind} {source_id}",
        backend=backend,
        volume_type_id=volume.volume_type_id,
        bootable=volume.bootable,
        image_metadata=volume.image_metadata,
        claims=(shared(kind, source_id),),
    )


def _from_image(image: Image) -> Origin:
    return Origin(
        minimum_size=max(1, image.min_disk, -(-(image.virtual_size or image.size or 0) // GIB)),
        what=f"image {image.id}",
        bootable=True,
        image_metadata=described_image(image),
        claims=(shared("image", image.id),),
    )
