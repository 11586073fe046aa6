"""Attachments: /attachments (Block Storage API v3, since 3.27; os-complete since 3.44, mode since 3.54).

Update with a connector and delete wait for their operation: the answer tells what is, not what was asked for.
"""

from typing import Annotated, Any

from msgspec import Struct

from pumice.api.edge.route import Answer, Await, Call, Route
from pumice.api.edge.versions import Since
from pumice.api.edge.views import Field, View
from pumice.api.volume.list_parameters import list_params
from pumice.block import attachments, listings, queries
from pumice.block.model import Attachment
from pumice.caller import Caller
from pumice.clock import isoformat
from pumice.compute import servers
from pumice.db.engine import Transaction
from pumice.errors import NotFound, PumiceError
from pumice.operations.model import OperationRow


class BackendRefused(PumiceError):
    """The backend could not do it."""

    code = 500
    fault = "computeFault"


def _connection_info(attachment: Attachment) -> dict[str, Any]:
    """Flat, as clients expect: the data with its type beside it."""
    info = attachment.connection_info
    if info is None:
        return {}
    return {**info["data"], "driver_volume_type": info["driver_volume_type"], "attachment_id": attachment.id}


SUMMARY = View(
    "attachment",
    Field("id"),
    Field("volume_id"),
    Field("instance", lambda attachment: attachment.server_id),
    Field("status", lambda attachment: attachment.attach_status),
)
DETAIL = SUMMARY.extended(
    Field("attached_at", lambda attachment: isoformat(attachment.attached_at) or ""),
    Field("detached_at", lambda attachment: isoformat(attachment.detached_at) or ""),
    Field("attach_mode", lambda attachment: attachment.mode),
    Field("connection_info", _connection_info),
)


class AttachmentCreate(Struct, forbid_unknown_fields=True):
    volume_uuid: str
    instance_uuid: str | None = None
    connector: dict[str, Any] | None = None
    mode: Annotated[str | None, Since("3.54")] = None


class AttachmentCreateBody(Struct, forbid_unknown_fields=True):
    attachment: AttachmentCreate


class AttachmentUpdate(Struct, forbid_unknown_fields=True):
    connector: dict[str, Any]


class AttachmentUpdateBody(Struct, forbid_unknown_fields=True):
    attachment: AttachmentUpdate


def create(tx: Transaction, call: Call) -> Any:
    asked: AttachmentCreate = call.body.attachment
    _refuse_unknown_server(tx, call.caller, asked.instance_uuid)
    reserved = attachments.reserve(
        tx,
        call.caller,
        asked.volume_uuid,
        server_id=asked.instance_uuid,
        origin="external",
        mode=asked.mode,
        replacing=call.caller.has_service_token,
    )
    if not asked.connector:  # the clients send an empty one where they mean none
        return DETAIL.render(reserved, call)
    return _connect(tx, call, reserved.id, asked.connector)


def change(tx: Transaction, call: Call) -> Any:
    asked: AttachmentUpdate = call.body.attachment
    return _connect(tx, call, call.path["attachment_id"], asked.connector)


def complete(tx: Transaction, call: Call) -> None:
    attachments.complete(tx, call.caller, call.path["attachment_id"])


def delete(tx: Transaction, call: Call) -> Any:
    attachment_id = call.path["attachment_id"]
    volume_id = attachments.get(tx, call.caller, attachment_id).volume_id
    operation = attachments.disconnect(tx, call.caller, attachment_id)
    if operation is not None:
        return Await(operation.id, then=_deleted, deadline=call.services.settings.request_deadline)
    return _remaining(tx, call, volume_id)


def listed(tx: Transaction, call: Call) -> Any:
    return SUMMARY.page(listings.page_of_attachments(tx, call.caller, list_params(call, "attachment")), call)


def detail(tx: Transaction, call: Call) -> Any:
    return DETAIL.page(listings.page_of_attachments(tx, call.caller, list_params(call, "attachment")), call)


def show(tx: Transaction, call: Call) -> Any:
    return DETAIL.render(attachments.get(tx, call.caller, call.path["attachment_id"]), call)


def _refuse_unknown_server(tx: Transaction, caller: Caller, server_id: str | None) -> None:
    """Compute (with its service token) may attach before its own record exists; others name a server that is there."""
    if server_id is not None and not caller.has_service_token and not servers.exists(tx, caller, server_id):
        raise NotFound.of("Server", server_id)


def _connect(tx: Transaction, call: Call, attachment_id: str, connector: dict[str, Any]) -> Any:
    attachment, operation = attachments.connect(tx, call.caller, attachment_id, connector)
    if operation is None:
        return DETAIL.render(attachment, call)
    return Await(operation.id, then=_connected, deadline=call.services.settings.request_deadline)


def _connected(tx: Transaction, call: Call, row: OperationRow) -> Any:
    if row.state == "undone":
        raise BackendRefused(f"Volume attachment {row.subject_id}: {row.error}.")
    return DETAIL.render(attachments.known(tx, row.subject_id), call)


def _deleted(tx: Transaction, call: Call, row: OperationRow) -> Any:
    if row.state == "undone":
        raise BackendRefused(f"Volume attachment {row.subject_id}: {row.error}.")
    return _remaining(tx, call, row.arguments["volume_id"])


def _remaining(tx: Transaction, call: Call, volume_id: str) -> Any:
    return Answer(200, {"attachments": SUMMARY.items(queries.attachments_of(tx, [volume_id]), call)})


_ONE = "/attachments/{attachment_id}"

ROUTES = (
    Route(
        "POST",
        "/attachments",
        create,
        action="volume:attachment_create",
        body=AttachmentCreateBody,
        since="3.27",
        write=True,
        then=_connected,
        secrets=("connection_info",),
    ),
    Route("GET", "/attachments", listed, action="volume:attachment_get_all", since="3.27", name="attachments.list"),
    Route("GET", "/attachments/detail", detail, action="volume:attachment_get_all", since="3.27"),
    Route("GET", _ONE, show, action="volume:attachment_get", since="3.27"),
    Route(
        "PUT",
        _ONE,
        change,
        action="volume:attachment_update",
        body=AttachmentUpdateBody,
        since="3.27",
        write=True,
    ),
    Route("DELETE", _ONE, delete, action="volume:attachment_delete", since="3.27", write=True),
    Route(
        "POST",
        f"{_ONE}/action",
        complete,
        action="volume:attachment_complete",
        key="os-complete",
        since="3.44",
        status=204,
        write=True,
    ),
)
