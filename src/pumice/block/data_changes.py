"""Changes of a volume's data in place: back to its latest snapshot (revert), or to an image's bytes (os-reimage)."""

from sqlalchemy import select

from pumice.block import marks, queries
from pumice.block.facts import refresh_volume
from pumice.block.guards import guard, guard_older, lock
from pumice.block.model import GIB, Volume
from pumice.block.notifications import notify_volume
from pumice.block.operations.reimage_volume import REIMAGE_VOLUME, ReimageVolume
from pumice.block.operations.revert_volume import REVERT_VOLUME, RevertVolume
from pumice.block.volume_sources import described_image
from pumice.block.volumes import get
from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.schema import snapshots
from pumice.errors import BadRequest, Conflict
from pumice.images.images import for_boot
from pumice.operations.model import OperationRow, exclusive, shared
from pumice.operations.store import enqueue


def revert(tx: Transaction, caller: Caller, volume_id: str, snapshot_id: str) -> OperationRow:
    """Put the data back to the snapshot's, which must be the volume's latest.

    Raises BadRequest (another snapshot, or the volume or it is not available), NotFound, Busy."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    statement = (
        select(snapshots.c.id)
        .where(snapshots.c.volume_id == volume_id, snapshots.c.deleted_at.is_(None))
        .order_by(snapshots.c.created_at.desc(), snapshots.c.id.desc())
        .limit(1)
    )
    latest = tx.execute(statement).scalar_one_or_none()
    if latest is None:
        raise BadRequest(f"Volume {volume_id} has no snapshot to go back to.")
    if latest != snapshot_id:
        raise BadRequest(f"Snapshot {snapshot_id[:64]} is not the latest of volume {volume_id}, which is {latest}.")
    guard_older(tx, "volume", volume_id, "revert")
    guard_older(tx, "snapshot", snapshot_id, "revert to")
    volume = get(tx, caller, volume_id).volume
    notify_volume(tx, volume_id, "revert.start", caller)
    arguments = RevertVolume(
        volume_id=volume_id, snapshot_id=snapshot_id, backend=_backend(volume), point_id=(point_id := new_id())
    )
    claims = (exclusive("volume", volume_id), exclusive("snapshot", snapshot_id), exclusive("snapshot", point_id))
    return enqueue(tx, REVERT_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)


def reimage(tx: Transaction, caller: Caller, volume_id: str, image_id: str, *, reserved: bool = False) -> OperationRow:
    """Give the volume the image's bytes. reserved: also one that a server has reserved (its rebuild).

    Raises Conflict (neither available, in error nor, with `reserved`, reserved; without data), BadRequest (the image
    is not active, or too large), NotFound, Busy."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    image = for_boot(tx, caller, image_id)
    guard(tx, "volume", volume_id, "reimage reserved" if reserved else "reimage")
    volume = get(tx, caller, volume_id).volume
    if volume.life != "there":
        raise Conflict(f"Volume {volume_id} has no data to replace ({volume.broken_reason}); delete it.")
    if any(one.stage != "reserved" for one in queries.attachments_of(tx, [volume_id])):
        raise Conflict(f"Volume {volume_id} is attached; detach it first.")
    needed = max(image.min_disk, -(-(image.virtual_size or image.size or 0) // GIB))
    if needed > volume.size:
        raise BadRequest(f"Image {image_id} needs {needed} GiB; volume {volume_id} has {volume.size} GiB.")
    marks.clear(tx, "volume", volume_id, "status")
    notify_volume(tx, volume_id, "reimage.start", caller, now=refresh_volume(tx, volume_id))
    arguments = ReimageVolume(
        volume_id=volume_id,
        backend=_backend(volume),
        size=volume.size,
        image_id=image.id,
        image_metadata=described_image(image),
        point_id=(point_id := new_id()),
    )
    claims = (exclusive("volume", volume_id), exclusive("snapshot", point_id), shared("image", image.id))
    return enqueue(tx, REIMAGE_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)


def _backend(volume: Volume) -> str:
    if volume.backend is None:
        raise Conflict(f"Volume {volume.id} is on no backend.")
    return volume.backend
