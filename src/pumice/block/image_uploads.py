"""os-volume_upload_image: an image of a volume's bytes, also of one in use (as of one moment)."""

import msgspec
from sqlalchemy import select

from pumice.block.guards import guard_older
from pumice.block.model import VolumeWithAttachments
from pumice.block.operations.upload_volume import UPLOAD_VOLUME, UploadVolume
from pumice.block.volumes import get, shown
from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.schema import pools
from pumice.errors import BadRequest, Forbidden, InvalidField
from pumice.images import images, uploads
from pumice.images.model import READ_ONLY, RESERVED, Image, NewImage, Visibility
from pumice.operations.model import exclusive, shared
from pumice.operations.store import enqueue

VOLUME_FORMATS = ("raw", "qcow2", "vdi", "vmdk")
"""What a volume's bytes can be written as."""

_OF_THE_SOURCE = frozenset({"image_id", "image_name", "disk_format", "container_format", "min_disk", "min_ram"})
"""What a volume's image metadata says of the image it came from; the rest are properties that the new image has too."""


class WantedImage(msgspec.Struct, frozen=True, kw_only=True):
    """What os-volume_upload_image asks for, parsed."""

    name: str
    force: bool = False
    disk_format: str = "raw"
    container_format: str = "bare"
    visibility: Visibility = "private"
    protected: bool = False


class Uploading(msgspec.Struct, frozen=True):
    """The volume as it is shown now, and the image that is being made."""

    found: VolumeWithAttachments
    image: Image


def upload(tx: Transaction, caller: Caller, volume_id: str, wanted: WantedImage) -> Uploading:
    """Begin to make the image; the volume is "uploading" meanwhile.

    Raises BadRequest (neither available, nor in use with force), InvalidField (format), Forbidden (a public image),
    NotFound."""
    found = get(tx, caller, volume_id)
    volume = found.volume
    if wanted.disk_format not in VOLUME_FORMATS:
        expected = f"images of volumes are {', '.join(VOLUME_FORMATS)}"
        raise InvalidField("disk_format", wanted.disk_format, expected)
    if wanted.container_format != "bare":
        raise InvalidField("container_format", wanted.container_format, "images of volumes are bare")
    if wanted.visibility == "public" and not caller.is_admin:
        raise Forbidden("Only an administrator may make an image public.")
    guard_older(tx, "volume", volume_id, "upload in use" if wanted.force else "upload")
    if volume.backend is None:
        raise BadRequest(f"Volume {volume_id} is on no backend.")
    known = volume.image_metadata or {}
    left_out = READ_ONLY | RESERVED | _OF_THE_SOURCE
    new_image = NewImage(
        name=wanted.name,
        disk_format=wanted.disk_format,
        container_format=wanted.container_format,
        visibility=wanted.visibility,
        protected=wanted.protected,
        min_disk=volume.size,
        properties={name: value for name, value in known.items() if name not in left_out},
    )
    upload_id = new_id()
    queued = images.create(tx, caller, new_image)
    image = uploads.begin(tx, caller, queued.id, upload_id)
    point_id = new_id() if found.attachments else None
    guest = next(((one.host, one.server_id) for one in found.attachments if one.host and one.server_id), None)
    paused = None if guest is None or _is_atomic(tx, volume.pool) else guest
    arguments = UploadVolume(
        volume_id=volume_id,
        backend=volume.backend,
        image_id=image.id,
        upload_id=upload_id,
        point_id=point_id,
        paused=paused,
        disk_format=wanted.disk_format,
    )
    claims = [exclusive("volume", volume_id), exclusive("image", image.id)]
    if point_id is not None:
        claims.append(exclusive("snapshot", point_id))  # the reconciler leaves alone what an operation holds
    if paused is not None:
        claims.append(shared("server", paused[1]))
    enqueue(tx, UPLOAD_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)
    return Uploading(shown(tx, volume_id), image)


def _is_atomic(tx: Transaction, pool: str | None) -> bool:
    """The pool takes a point in time of a volume that is being written to."""
    capabilities = tx.execute(select(pools.c.capabilities).where(pools.c.name == pool)).scalar_one_or_none()
    return bool(capabilities and capabilities.get("atomic_snapshot"))
