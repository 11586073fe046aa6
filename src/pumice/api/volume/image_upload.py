"""os-volume_upload_image: POST /volumes/{id}/action (Block Storage API v3, "Volume actions")."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from pumice.api.edge.route import Answer, Call, Route
from pumice.api.edge.versions import Since
from pumice.block import image_uploads
from pumice.clock import isoformat
from pumice.db.engine import Transaction
from pumice.images.model import Visibility


class Upload(Struct, forbid_unknown_fields=True):
    image_name: Annotated[str, Meta(min_length=1, max_length=255)]
    force: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    visibility: Annotated[Visibility | None, Since("3.1")] = None
    protected: Annotated[bool | None, Since("3.1")] = None


class UploadBody(Struct, forbid_unknown_fields=True):
    value: Upload = field(name="os-volume_upload_image")


def upload(tx: Transaction, call: Call) -> Any:
    asked: Upload = call.body.value
    wanted = image_uploads.WantedImage(
        name=asked.image_name,
        force=asked.force,
        disk_format=asked.disk_format or "raw",
        container_format=asked.container_format or "bare",
        visibility=asked.visibility or "private",
        protected=bool(asked.protected),
    )
    begun = image_uploads.upload(tx, call.caller, call.path["volume_id"], wanted)
    volume, image = begun.found.volume, begun.image
    answer: dict[str, Any] = {
        "id": volume.id,
        "image_id": image.id,
        "image_name": image.name,
        "status": volume.status,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": volume.size,
        "volume_type": {"id": volume.volume_type_id, "name": begun.found.type_name},
        "display_description": volume.description,
        "updated_at": isoformat(volume.updated_at),
    }
    if call.version >= (3, 1):
        answer |= {"visibility": image.visibility, "protected": image.protected}
    return Answer(202, {"os-volume_upload_image": answer})


ROUTES = (
    Route(
        "POST",
        "/volumes/{volume_id}/action",
        upload,
        key="os-volume_upload_image",
        action="volume_extension:volume_actions:upload_image",
        body=UploadBody,
        status=202,
        write=True,
        lax=True,
    ),
)
