"""Metadata and tags of servers: /servers/{id}/metadata, /servers/{id}/tags (2.26)."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from pumice.api.compute.server_create import Metadata, Tag, Text, check_tags
from pumice.api.edge.route import Answer, Call, Route
from pumice.compute import server_metadata, servers
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, NotFound

Key = Annotated[str, Meta(min_length=1, max_length=255)]


class MetadataBody(Struct, forbid_unknown_fields=True):
    metadata: Metadata


class ItemBody(Struct, forbid_unknown_fields=True):
    meta: dict[Key, Text]


class TagsBody(Struct, forbid_unknown_fields=True):
    tags: list[Tag]


def metadata(tx: Transaction, call: Call) -> Any:
    return {"metadata": servers.get(tx, call.caller, call.path["server_id"]).metadata}


def merge(tx: Transaction, call: Call) -> Any:
    found = server_metadata.set_metadata(tx, call.caller, call.path["server_id"], call.body.metadata)
    return {"metadata": found}


def replace(tx: Transaction, call: Call) -> Any:
    found = server_metadata.set_metadata(tx, call.caller, call.path["server_id"], call.body.metadata, replace=True)
    return {"metadata": found}


def item(tx: Transaction, call: Call) -> Any:
    found, key = servers.get(tx, call.caller, call.path["server_id"]).metadata, call.path["key"]
    if key not in found:
        raise NotFound.of("Metadata item", key)
    return {"meta": {key: found[key]}}


def set_item(tx: Transaction, call: Call) -> Any:
    meta, key = call.body.meta, call.path["key"]
    if list(meta) != [key]:
        raise BadRequest(f"Invalid input for field 'meta': it has the one key of the URL, {key[:64]!r}.")
    server_metadata.set_metadata(tx, call.caller, call.path["server_id"], meta)
    return {"meta": meta}


def delete_item(tx: Transaction, call: Call) -> None:
    server_metadata.delete_metadata(tx, call.caller, call.path["server_id"], call.path["key"])


def tags(tx: Transaction, call: Call) -> Any:
    return {"tags": servers.get(tx, call.caller, call.path["server_id"]).tags}


def replace_tags(tx: Transaction, call: Call) -> Any:
    check_tags("tags", call.body.tags)
    return {"tags": server_metadata.set_tags(tx, call.caller, call.path["server_id"], call.body.tags)}


def delete_tags(tx: Transaction, call: Call) -> None:
    server_metadata.set_tags(tx, call.caller, call.path["server_id"], ())


def has_tag(tx: Transaction, call: Call) -> None:
    if call.path["tag"] not in servers.get(tx, call.caller, call.path["server_id"]).tags:
        raise NotFound(f"Server {call.path['server_id']} has no tag {call.path['tag'][:64]}.")


def add_tag(tx: Transaction, call: Call) -> Any:
    server_id, tag = call.path["server_id"], call.path["tag"]
    if len(tag) > 60:
        raise BadRequest(f"Invalid input for tag {tag[:64]!r}: at most 60 characters.")
    check_tags("tag", [tag])
    added = server_metadata.add_tag(tx, call.caller, server_id, tag)
    return (
        Answer(201, headers={"Location": call.links.url(f"/servers/{server_id}/tags/{tag}")}) if added else Answer(204)
    )


def delete_tag(tx: Transaction, call: Call) -> None:
    server_metadata.delete_tag(tx, call.caller, call.path["server_id"], call.path["tag"])


_METADATA = "/servers/{server_id}/metadata"
_ITEM = f"{_METADATA}/{{key}}"
_TAGS = "/servers/{server_id}/tags"
_TAG = f"{_TAGS}/{{tag}}"


def _metadata(method: Any, path: str, handler: Any, word: str, **more: Any) -> Route:
    return Route(
        method, path, handler, action=f"compute:server_metadata:{word}", name=f"server_metadata.{word}", **more
    )


def _tags(method: Any, path: str, handler: Any, word: str, **more: Any) -> Route:
    return Route(
        method,
        path,
        handler,
        since="2.26",
        action=f"compute:server_tags:{word}",
        name=f"server_tags.{word}",
        **more,
    )


ROUTES: tuple[Route, ...] = (
    _metadata("GET", _METADATA, metadata, "index"),
    _metadata("POST", _METADATA, merge, "create", body=MetadataBody, write=True),
    _metadata("PUT", _METADATA, replace, "update_all", body=MetadataBody, write=True),
    _metadata("GET", _ITEM, item, "show"),
    _metadata("PUT", _ITEM, set_item, "update", body=ItemBody, write=True),
    _metadata("DELETE", _ITEM, delete_item, "delete", status=204, write=True),
    _tags("GET", _TAGS, tags, "index"),
    _tags("PUT", _TAGS, replace_tags, "update_all", body=TagsBody, write=True),
    _tags("DELETE", _TAGS, delete_tags, "delete_all", status=204, write=True),
    _tags("GET", _TAG, has_tag, "show", status=204),
    _tags("PUT", _TAG, add_tag, "update", write=True),
    _tags("DELETE", _TAG, delete_tag, "delete", status=204, write=True),
)
