"""Volumes: POST, GET, PUT, DELETE /volumes (Block Storage API v3, "Volumes")."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.json import encode

from pumice.api.edge.route import Call, Route
from pumice.api.edge.versions import Since
from pumice.api.edge.views import Field, View
from pumice.api.volume.fields import Metadata, Name, asked_for, blank_to_none
from pumice.api.volume.list_parameters import list_params
from pumice.block import listings, volume_creation, volume_sources, volumes
from pumice.block.force_delete import force_delete_volume
from pumice.block.model import Attachment, VolumeWithAttachments
from pumice.clock import isoformat
from pumice.db.engine import Transaction
from pumice.errors import BadRequest
from pumice.images.queries import id_of


def _admin(call: Call) -> bool:
    return call.caller.is_admin


def _attachments(found: VolumeWithAttachments, call: Call) -> list[dict[str, Any]]:
    """Those that hold the volume for a server or host; what is only reserved is not shown, as clients expect."""
    if not found.attachments:
        return []
    admin = call.caller.is_admin
    return [_attachment(one, admin) for one in found.attachments if one.stage == "attached"]


def _attachment(attachment: Attachment, admin: bool) -> dict[str, Any]:
    return {
        "id": attachment.volume_id,
        "attachment_id": attachment.id,
        "volume_id": attachment.volume_id,
        "server_id": attachment.server_id,
        "host_name": attachment.host if admin else None,
        "device": attachment.device,
        "attached_at": isoformat(attachment.attached_at),
    }


def _metadata(found: VolumeWithAttachments) -> dict[str, str]:
    volume = found.volume
    if volume.read_only or volume.read_only_told:
        return {**volume.metadata, "readonly": str(volume.read_only)}
    return volume.metadata


SUMMARY = View(
    "volume",
    Field("id", "volume.id"),
    Field("name", "volume.name"),
    Field("links", lambda found, call: call.links.pair(f"/volumes/{found.volume.id}")),
)

CREATED = View(
    "volume",
    Field("id", "volume.id"),
    Field("name", "volume.name"),
    Field("description", "volume.description"),
    Field("status", "volume.status"),
    Field("size", "volume.size"),
    Field("availability_zone", "volume.availability_zone"),
    Field("created_at", lambda found: isoformat(found.volume.created_at)),
    Field("updated_at", lambda found: isoformat(found.volume.updated_at)),
    Field("volume_type", "type_name"),
    Field("user_id", "volume.user_id"),
    Field("bootable", lambda found: "true" if found.volume.bootable else "false"),
    Field("encrypted", lambda found: found.volume.encryption_key_id is not None),
    Field("multiattach", "volume.multiattach"),
    Field("snapshot_id", "volume.snapshot_id"),
    Field("source_volid", "volume.source_volume_id"),
    Field("consistencygroup_id", fixed=None),
    Field("replication_status", fixed=None),
    Field("metadata", _metadata),
    Field("attachments", _attachments),
    Field("links", lambda found, call: call.links.pair(f"/volumes/{found.volume.id}")),
    Field("migration_status", "volume.migration_status", visible=_admin),
    Field("group_id", "volume.group_id", since="3.13"),
    Field("provider_id", "volume.provider_id", since="3.21", visible=_admin),
    Field("service_uuid", fixed=None, since="3.48"),
    Field("shared_targets", fixed=False, since="3.48", until="3.68"),
    Field("shared_targets", fixed=None, since="3.69"),
    Field("cluster_name", fixed=None, since="3.61", visible=_admin),
    Field("volume_type_id", "volume.volume_type_id", since="3.63"),
    Field("encryption_key_id", "volume.encryption_key_id", since="3.64"),
    Field("consumes_quota", "volume.consumes_quota", since="3.65"),
)
"""What POST and PUT answer: without host, tenant and image metadata."""

DETAIL = View(
    "volume",
    *CREATED.fields,
    Field("os-vol-tenant-attr:tenant_id", "volume.project_id"),
    Field("os-vol-host-attr:host", "volume.pool", visible=_admin),
    Field("os-vol-mig-status-attr:migstat", "volume.migration_status", visible=_admin),
    Field("os-vol-mig-status-attr:name_id", fixed=None, visible=_admin),
)
SUMMARY_OF_ALL = View(
    "volume-summary",
    Field("total_size", lambda found: found.size),
    Field("total_count", lambda found: found.count),
    Field("metadata", since="3.36"),
)
IMAGE_DETAIL = View("volume", *DETAIL.fields, Field("volume_image_metadata", "volume.image_metadata"))


class VolumeCreate(Struct, forbid_unknown_fields=True):
    """The `volume` of POST /volumes. What clients send and the API ignores is named, so that a slip of the pen is
    refused; `display_*` are old names."""

    size: Annotated[int, Meta(ge=1)] | None = None
    name: Name | None = None
    display_name: Name | None = None
    description: Name | None = None
    display_description: Name | None = None
    volume_type: Name | None = None
    availability_zone: Name | None = None
    metadata: Metadata | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    imageRef: str | None = None
    image_id: str | None = None
    multiattach: bool | None = None
    consistencygroup_id: str | None = None
    source_replica: str | None = None
    group_id: Annotated[str | None, Since("3.13")] = None
    backup_id: Annotated[str | None, Since("3.47")] = None
    user_id: Annotated[str | None, Since(until="3.52")] = None
    project_id: Annotated[str | None, Since(until="3.52")] = None
    status: Annotated[str | None, Since(until="3.52")] = None
    attach_status: Annotated[str | None, Since(until="3.52")] = None


class Hints(Struct, forbid_unknown_fields=True):
    """Where the volume should be. `query` is JSON in a text, or the list itself."""

    same_host: list[str] | str | None = None
    different_host: list[str] | str | None = None
    local_to_instance: str | None = None
    query: list[Any] | str | None = None


class VolumeCreateBody(Struct, forbid_unknown_fields=True):
    volume: VolumeCreate
    scheduler_hints: Hints | None = field(default=None, name="OS-SCH-HNT:scheduler_hints")


class VolumeUpdate(Struct, forbid_unknown_fields=True):
    name: Name | UnsetType | None = UNSET
    display_name: Name | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    display_description: Name | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class VolumeUpdateBody(Struct, forbid_unknown_fields=True):
    volume: VolumeUpdate


def create(tx: Transaction, call: Call) -> Any:
    asked: VolumeCreate = call.body.volume
    for name in ("group_id", "consistencygroup_id", "backup_id", "source_replica"):
        if getattr(asked, name):
            raise BadRequest(f"Invalid input for field 'volume.{name}': volumes cannot be made from it here.")
    wanted = volume_creation.Wanted(
        size=asked.size,
        name=blank_to_none(asked.name if asked.name is not None else asked.display_name),
        description=asked.description if asked.description is not None else asked.display_description,
        volume_type=asked.volume_type or None,
        availability_zone=asked.availability_zone or None,
        metadata=asked.metadata or {},
        multiattach=bool(asked.multiattach),
        hints=_hints(call.body.scheduler_hints or Hints()),
        source=volume_sources.Source(
            snapshot_id=asked.snapshot_id or None,
            volume_id=asked.source_volid or None,
            image_id=id_of(tx, call.caller, image) if (image := asked.imageRef or asked.image_id) else None,
        ),
    )
    return CREATED.render(volume_creation.create(tx, call.caller, wanted), call)


def _hints(asked: Hints) -> volume_creation.WantedHints:
    query = asked.query if asked.query is None or isinstance(asked.query, str) else encode(asked.query).decode()
    return volume_creation.WantedHints(
        same_host=_ids(asked.same_host),
        different_host=_ids(asked.different_host),
        local_to_instance=asked.local_to_instance or None,
        query=query or None,
    )


def _ids(given: list[str] | str | None) -> tuple[str, ...]:
    return tuple(given) if isinstance(given, list) else (given,) if given else ()


def listed(tx: Transaction, call: Call) -> Any:
    return SUMMARY.page(listings.page_of_volumes(tx, call.caller, list_params(call, "volume")), call)


def detail(tx: Transaction, call: Call) -> Any:
    page = listings.page_of_volumes(tx, call.caller, list_params(call, "volume"))
    answer = DETAIL.page(page, call)
    for shown, found in zip(answer["volumes"], page.items, strict=True):
        if found.volume.image_metadata:
            shown["volume_image_metadata"] = found.volume.image_metadata
    return answer


def show(tx: Transaction, call: Call) -> Any:
    found = volumes.get(tx, call.caller, call.path["volume_id"])
    return (IMAGE_DETAIL if found.volume.image_metadata else DETAIL).render(found, call)


def change(tx: Transaction, call: Call) -> Any:
    asked: VolumeUpdate = call.body.volume
    changes: dict[str, Any] = {}
    for sent, column in (
        ("display_name", "name"),
        ("name", "name"),
        ("display_description", "description"),
        ("description", "description"),
        ("metadata", "metadata"),
    ):
        value = getattr(asked, sent)
        if value is not UNSET:
            changes[column] = blank_to_none(value) if column == "name" else value
    if changes.get("metadata", {}) is None:
        changes["metadata"] = {}
    if not changes and call.version >= (3, 53):
        raise BadRequest("Invalid input for field 'volume': name, description or metadata is needed.")
    return CREATED.render(volumes.rename(tx, call.caller, call.path["volume_id"], changes), call)


def delete(tx: Transaction, call: Call) -> None:
    cascade = asked_for(call, "cascade")
    if call.version >= (3, 23) and asked_for(call, "force"):
        call.services.identity.policy.enforce("volume:force_delete", call.caller, call.path)
        force_delete_volume(tx, call.caller, call.path["volume_id"], cascade=cascade)
    else:
        volumes.delete(tx, call.caller, call.path["volume_id"], cascade=cascade)


def summary(tx: Transaction, call: Call) -> Any:
    return SUMMARY_OF_ALL.render(listings.summary_of_volumes(tx, call.caller, list_params(call, "volume")), call)


ROUTES = (
    Route("POST", "/volumes", create, action="volume:create", body=VolumeCreateBody, status=202, write=True, lax=True),
    Route("GET", "/volumes", listed, action="volume:get_all", name="volumes.list"),
    Route("GET", "/volumes/detail", detail, action="volume:get_all"),
    Route("GET", "/volumes/summary", summary, action="volume:get_all", since="3.12"),
    Route("GET", "/volumes/{volume_id}", show, action="volume:get"),
    Route("PUT", "/volumes/{volume_id}", change, action="volume:update", body=VolumeUpdateBody, write=True),
    Route("DELETE", "/volumes/{volume_id}", delete, action="volume:delete", status=202, write=True),
)
