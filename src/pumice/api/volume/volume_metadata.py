"""Metadata of volumes: /volumes/{id}/metadata (Block Storage API v3, "Volumes")."""

from typing import Any

from msgspec import Struct

from pumice.api.edge.route import Call, Route
from pumice.api.volume.fields import Metadata
from pumice.block import volumes
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, NotFound


class MetadataBody(Struct, forbid_unknown_fields=True):
    metadata: Metadata


class MetaBody(Struct, forbid_unknown_fields=True):
    meta: Metadata


def only_item(body: MetaBody, key: str) -> dict[str, str]:
    """The one item of PUT .../metadata/{key}. Raises BadRequest when it is not the one in the URL."""
    if set(body.meta) != {key}:
        raise BadRequest(f"Invalid input for field 'meta': exactly the key of the URL, {key!r}, must be in it.")
    return body.meta


def item_of(metadata: dict[str, str], key: str) -> dict[str, Any]:
    """`{"meta": {key: value}}`. Raises NotFound."""
    if key not in metadata:
        raise NotFound.of("Metadata item", key)
    return {"meta": {key: metadata[key]}}


def show(tx: Transaction, call: Call) -> Any:
    return {"metadata": volumes.get(tx, call.caller, call.path["volume_id"]).volume.metadata}


def add(tx: Transaction, call: Call) -> Any:
    return {"metadata": _set(tx, call, call.body.metadata, replace=False)}


def replace(tx: Transaction, call: Call) -> Any:
    return {"metadata": _set(tx, call, call.body.metadata, replace=True)}


def show_item(tx: Transaction, call: Call) -> Any:
    return item_of(volumes.get(tx, call.caller, call.path["volume_id"]).volume.metadata, call.path["key"])


def set_item(tx: Transaction, call: Call) -> Any:
    item = only_item(call.body, call.path["key"])
    _set(tx, call, item, replace=False)
    return {"meta": item}


def delete_item(tx: Transaction, call: Call) -> None:
    volumes.delete_metadata(tx, call.caller, call.path["volume_id"], call.path["key"])


def _set(tx: Transaction, call: Call, metadata: dict[str, str], *, replace: bool) -> dict[str, str]:
    return volumes.set_metadata(tx, call.caller, call.path["volume_id"], metadata, replace=replace)


_ALL = "/volumes/{volume_id}/metadata"
_ONE = "/volumes/{volume_id}/metadata/{key}"

ROUTES = (
    Route("GET", _ALL, show, action="volume:get_volume_metadata"),
    Route("POST", _ALL, add, action="volume:create_volume_metadata", body=MetadataBody, write=True),
    Route("PUT", _ALL, replace, action="volume:update_volume_metadata", body=MetadataBody, write=True),
    Route("GET", _ONE, show_item, action="volume:get_volume_metadata"),
    Route("PUT", _ONE, set_item, action="volume:update_volume_metadata", body=MetaBody, write=True),
    Route("DELETE", _ONE, delete_item, action="volume:delete_volume_metadata", write=True),
)
