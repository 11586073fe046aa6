"""Metadata of volumes: /volumes/{id}/metadata (Block Storage API v3, "Volumes").

Since 3.15 the answer to a look at all of it carries an ETag; a change with that in If-Match is refused (412) when the
metadata was changed meanwhile.
"""

import hashlib
from typing import Any

from msgspec import Struct
from msgspec.json import encode

from pumice.api.edge.route import Answer, Call, Route
from pumice.api.volume.fields import Metadata
from pumice.block import volumes
from pumice.block.guards import lock
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, NotFound, PreconditionFailed


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
    metadata = volumes.get(tx, call.caller, call.path["volume_id"]).volume.metadata
    tag = {"ETag": _etag(metadata)} if _tagged(call) else {}
    return Answer(200, {"metadata": metadata}, tag)


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
    _refuse_changed(tx, call)
    volumes.delete_metadata(tx, call.caller, call.path["volume_id"], call.path["key"])


def _set(tx: Transaction, call: Call, metadata: dict[str, str], *, replace: bool) -> dict[str, str]:
    _refuse_changed(tx, call)
    return volumes.set_metadata(tx, call.caller, call.path["volume_id"], metadata, replace=replace)


def _tagged(call: Call) -> bool:
    return call.version >= (3, 15)


def _etag(metadata: dict[str, str]) -> str:
    return f'"{hashlib.sha256(encode(metadata, order="sorted")).hexdigest()[:32]}"'


def _refuse_changed(tx: Transaction, call: Call) -> None:
    """Raises PreconditionFailed when the metadata is not what the caller's If-Match says."""
    given = call.headers.get("if-match")
    if given is None or not _tagged(call):
        return
    volume_id = call.path["volume_id"]
    volumes.get(tx, call.caller, volume_id)
    lock(tx, "volume", volume_id)
    found = _etag(volumes.get(tx, call.caller, volume_id).volume.metadata)
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in given.split(",")}
    if "*" not in tags and found.strip('"') not in tags:
        raise PreconditionFailed(f"The metadata of volume {volume_id} was changed by another request: read it again.")


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
