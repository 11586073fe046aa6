"""Snapshots and their metadata: /snapshots (Block Storage API v3, "Volume snapshots")."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.api.volume.fields import Metadata, Name, blank_to_none
from pumice.api.volume.list_parameters import list_params
from pumice.api.volume.volume_metadata import MetaBody, MetadataBody, item_of, only_item
from pumice.block import listings, snapshots
from pumice.clock import isoformat
from pumice.db.engine import Transaction
from pumice.db.paging import truth
from pumice.errors import BadRequest, InvalidField

SUMMARY = View(
    "snapshot",
    Field("id"),
    Field("name"),
    Field("description"),
    Field("volume_id"),
    Field("status"),
    Field("size"),
    Field("metadata"),
    Field("created_at", lambda snapshot: isoformat(snapshot.created_at)),
    Field("updated_at", lambda snapshot: isoformat(snapshot.updated_at)),
    Field("group_snapshot_id", since="3.14"),
    Field("user_id", since="3.41"),
    Field("consumes_quota", since="3.65"),
)
DETAIL = SUMMARY.extended(
    Field("os-extended-snapshot-attributes:progress", lambda snapshot: snapshot.progress),
    Field("os-extended-snapshot-attributes:project_id", lambda snapshot: snapshot.project_id),
)


class SnapshotCreate(Struct, forbid_unknown_fields=True):
    volume_id: str | None
    """null is taken for a volume that is not there, as the API does."""
    name: Name | None = None
    display_name: Name | None = None
    description: Name | None = None
    display_description: Name | None = None
    force: bool | str | None = None
    metadata: Metadata | None = None


class SnapshotCreateBody(Struct, forbid_unknown_fields=True):
    snapshot: SnapshotCreate


class SnapshotUpdate(Struct, forbid_unknown_fields=True):
    name: Name | UnsetType | None = UNSET
    display_name: Name | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    display_description: Name | UnsetType | None = UNSET


class SnapshotUpdateBody(Struct, forbid_unknown_fields=True):
    snapshot: SnapshotUpdate


def create(tx: Transaction, call: Call) -> Any:
    asked: SnapshotCreate = call.body.snapshot
    forced = asked.force is not None and truth("snapshot.force", str(asked.force))
    if call.version >= (3, 66) and asked.force is not None and not forced:
        raise InvalidField("snapshot.force", asked.force, "since microversion 3.66 it is not needed: leave it out")
    made = snapshots.create(
        tx,
        call.caller,
        asked.volume_id or "None",
        name=blank_to_none(asked.name if asked.name is not None else asked.display_name),
        description=asked.description if asked.description is not None else asked.display_description,
        metadata=asked.metadata or {},
        in_use_allowed=forced or call.version >= (3, 66),
    )
    return SUMMARY.render(made, call)


def listed(tx: Transaction, call: Call) -> Any:
    return SUMMARY.page(listings.page_of_snapshots(tx, call.caller, list_params(call, "snapshot")), call)


def detail(tx: Transaction, call: Call) -> Any:
    return DETAIL.page(listings.page_of_snapshots(tx, call.caller, list_params(call, "snapshot")), call)


def show(tx: Transaction, call: Call) -> Any:
    return DETAIL.render(snapshots.get(tx, call.caller, call.path["snapshot_id"]), call)


def change(tx: Transaction, call: Call) -> Any:
    asked: SnapshotUpdate = call.body.snapshot
    changes: dict[str, Any] = {}
    for sent, column in (
        ("display_name", "name"),
        ("name", "name"),
        ("display_description", "description"),
        ("description", "description"),
    ):
        value = getattr(asked, sent)
        if value is not UNSET:
            changes[column] = blank_to_none(value) if column == "name" else value
    if not changes:
        raise BadRequest("Invalid input for field 'snapshot': name or description is needed.")
    return SUMMARY.render(snapshots.rename(tx, call.caller, call.path["snapshot_id"], changes), call)


def delete(tx: Transaction, call: Call) -> None:
    snapshots.delete(tx, call.caller, call.path["snapshot_id"])


def show_metadata(tx: Transaction, call: Call) -> Any:
    return {"metadata": snapshots.get(tx, call.caller, call.path["snapshot_id"]).metadata}


def add_metadata(tx: Transaction, call: Call) -> Any:
    return {"metadata": _set(tx, call, call.body.metadata, replace=False)}


def replace_metadata(tx: Transaction, call: Call) -> Any:
    return {"metadata": _set(tx, call, call.body.metadata, replace=True)}


def show_item(tx: Transaction, call: Call) -> Any:
    return item_of(snapshots.get(tx, call.caller, call.path["snapshot_id"]).metadata, call.path["key"])


def set_item(tx: Transaction, call: Call) -> Any:
    item = only_item(call.body, call.path["key"])
    _set(tx, call, item, replace=False)
    return {"meta": item}


def delete_item(tx: Transaction, call: Call) -> None:
    snapshots.delete_metadata(tx, call.caller, call.path["snapshot_id"], call.path["key"])


def _set(tx: Transaction, call: Call, metadata: dict[str, str], *, replace: bool) -> dict[str, str]:
    return snapshots.set_metadata(tx, call.caller, call.path["snapshot_id"], metadata, replace=replace)


_ONE = "/snapshots/{snapshot_id}"
_METADATA = "/snapshots/{snapshot_id}/metadata"
_ITEM = "/snapshots/{snapshot_id}/metadata/{key}"

ROUTES = (
    Route(
        "POST",
        "/snapshots",
        create,
        action="volume:create_snapshot",
        body=SnapshotCreateBody,
        status=202,
        write=True,
    ),
    Route("GET", "/snapshots", listed, action="volume:get_all_snapshots", name="snapshots.list"),
    Route("GET", "/snapshots/detail", detail, action="volume:get_all_snapshots"),
    Route("GET", _ONE, show, action="volume:get_snapshot"),
    Route("PUT", _ONE, change, action="volume:update_snapshot", body=SnapshotUpdateBody, write=True),
    Route("DELETE", _ONE, delete, action="volume:delete_snapshot", status=202, write=True),
    Route("GET", _METADATA, show_metadata, action="volume:get_snapshot_metadata"),
    Route("POST", _METADATA, add_metadata, action="volume:update_snapshot_metadata", body=MetadataBody, write=True),
    Route("PUT", _METADATA, replace_metadata, action="volume:update_snapshot_metadata", body=MetadataBody, write=True),
    Route("GET", _ITEM, show_item, action="volume:get_snapshot_metadata", name="snapshots.show_metadata_item"),
    Route("PUT", _ITEM, set_item, action="volume:update_snapshot_metadata", body=MetaBody, write=True),
    Route("DELETE", _ITEM, delete_item, action="volume:delete_snapshot_metadata", write=True),
)
