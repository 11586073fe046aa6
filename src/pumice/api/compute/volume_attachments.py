"""A server's volumes: /servers/{id}/os-volume_attachments (Compute API v2.1; fields by microversion)."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from pumice.api.edge.route import Answer, Call, Route
from pumice.api.edge.versions import Since
from pumice.api.edge.views import Field, View
from pumice.compute import shelving, volume_attachments
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, Conflict, InvalidField

ASKED = View(
    "volumeAttachment",
    Field("id", lambda mapping: mapping.volume_id),
    Field("volumeId", lambda mapping: mapping.volume_id),
    Field("serverId", lambda mapping: mapping.server_id),
    Field("device", lambda mapping: mapping.device_name),
    Field("tag", since="2.70"),
    Field("delete_on_termination", since="2.79"),
)
SHOWN = ASKED.extended(
    Field("id", lambda mapping: mapping.volume_id, until="2.88"),
    Field("attachment_id", since="2.89"),
    Field("bdm_uuid", lambda mapping: mapping.id, since="2.89"),
)


class AttachmentCreate(Struct, forbid_unknown_fields=True, rename={"volume_id": "volumeId"}):
    volume_id: Annotated[str, Meta(min_length=1, max_length=255)]
    device: Annotated[str, Meta(max_length=255)] | None = None
    tag: Annotated[Annotated[str, Meta(min_length=1, max_length=60)] | None, Since("2.49")] = None
    delete_on_termination: Annotated[bool, Since("2.79")] = False


class AttachmentCreateBody(Struct, forbid_unknown_fields=True, rename={"asked": "volumeAttachment"}):
    asked: AttachmentCreate


class AttachmentUpdate(Struct, forbid_unknown_fields=True, rename={"volume_id": "volumeId", "server_id": "serverId"}):
    volume_id: str
    delete_on_termination: bool | None = None
    device: str | None = None
    tag: str | None = None
    server_id: str | None = None
    id: str | None = None


class AttachmentSwap(Struct, forbid_unknown_fields=True, rename={"volume_id": "volumeId"}):
    volume_id: Annotated[str, Meta(min_length=1, max_length=255)]


class AttachmentSwapBody(Struct, forbid_unknown_fields=True, rename={"asked": "volumeAttachment"}):
    asked: AttachmentSwap


class AttachmentUpdateBody(Struct, forbid_unknown_fields=True, rename={"asked": "volumeAttachment"}):
    asked: AttachmentUpdate


def attach(tx: Transaction, call: Call) -> Any:
    asked: AttachmentCreate = call.body.asked
    if call.version < (2, 20):
        shelving.refuse_shelved(tx, call.caller, call.path["server_id"])
    attached = volume_attachments.attach(
        tx,
        call.caller,
        call.path["server_id"],
        asked.volume_id,
        device=asked.device,
        tag=asked.tag,
        delete_on_termination=asked.delete_on_termination,
        multiattach=call.version >= (2, 60),
    )
    return attached.mapping


def attach_shown(tx: Transaction, call: Call) -> Any:
    return ASKED.render(attach(tx, call), call)


def attach_accepted(tx: Transaction, call: Call) -> Any:
    attach(tx, call)
    return Answer(202)


def listed(tx: Transaction, call: Call) -> Any:
    found = volume_attachments.listed(tx, call.caller, call.path["server_id"])
    limit, offset = _count(call, "limit", len(found)), _count(call, "offset", 0)
    return {"volumeAttachments": SHOWN.items(found[offset : offset + limit], call)}


def _count(call: Call, name: str, default: int) -> int:
    text = call.params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidField(name, text, "a whole number")
    return int(text)


def show(tx: Transaction, call: Call) -> Any:
    found = volume_attachments.show(tx, call.caller, call.path["server_id"], call.path["volume_id"])
    return SHOWN.render(found, call)


def swap(tx: Transaction, call: Call) -> None:
    """All that PUT knows below 2.85: another volume in the place of this one."""
    asked: AttachmentSwap = call.body.asked
    server_id, volume_id = call.path["server_id"], call.path["volume_id"]
    volume_attachments.show(tx, call.caller, server_id, volume_id)
    _refuse_swap(volume_id, asked.volume_id)


def _refuse_swap(volume_id: str, other: str) -> None:
    """Of any attached volume, since its data would have to be copied under the guest; as newer Novas do."""
    raise Conflict(
        f"Volume {volume_id} cannot be swapped for {other}: that is kept for migrations of volumes. Detach it and"
        " attach the other; to keep its data, make the other of it (a clone) first."
    )


def change(tx: Transaction, call: Call) -> None:
    """Whether the volume goes with the server."""
    asked: AttachmentUpdate = call.body.asked
    server_id, volume_id = call.path["server_id"], call.path["volume_id"]
    found = volume_attachments.show(tx, call.caller, server_id, volume_id)
    if asked.volume_id != volume_id:
        _refuse_swap(volume_id, asked.volume_id)
    kept = ((asked.device, found.device_name), (asked.tag, found.tag), (asked.server_id, server_id))
    if any(sent not in (None, known) for sent, known in kept) or asked.id not in (None, volume_id, found.id):
        raise BadRequest("Only delete_on_termination of a volume attachment can be changed.")
    if asked.delete_on_termination is not None:
        volume_attachments.set_delete_on_termination(tx, call.caller, server_id, volume_id, asked.delete_on_termination)


def detach(tx: Transaction, call: Call) -> None:
    if call.version < (2, 20):
        shelving.refuse_shelved(tx, call.caller, call.path["server_id"])
    volume_attachments.detach(tx, call.caller, call.path["server_id"], call.path["volume_id"])


_ALL = "/servers/{server_id}/os-volume_attachments"
_ONE = f"{_ALL}/{{volume_id}}"

ROUTES: tuple[Route, ...] = (
    Route("GET", _ALL, listed, action="compute:volume_attachments:index", name="volume_attachments.list"),
    Route("GET", _ONE, show, action="compute:volume_attachments:show", name="volume_attachments.show"),
    Route(
        "POST",
        _ALL,
        attach_shown,
        until="2.100",
        body=AttachmentCreateBody,
        write=True,
        action="compute:volume_attachments:create",
        name="volume_attachments.create",
    ),
    Route(
        "POST",
        _ALL,
        attach_accepted,
        status=202,
        since="2.101",
        body=AttachmentCreateBody,
        write=True,
        action="compute:volume_attachments:create",
        name="volume_attachments.create_async",
    ),
    Route(
        "PUT",
        _ONE,
        swap,
        status=202,
        until="2.84",
        body=AttachmentSwapBody,
        write=True,
        action="compute:volume_attachments:swap",
        name="volume_attachments.swap",
    ),
    Route(
        "PUT",
        _ONE,
        change,
        status=202,
        since="2.85",
        body=AttachmentUpdateBody,
        write=True,
        action="compute:volume_attachments:update",
        name="volume_attachments.update",
    ),
    Route(
        "DELETE",
        _ONE,
        detach,
        status=202,
        write=True,
        action="compute:volume_attachments:delete",
        name="volume_attachments.delete",
    ),
)
