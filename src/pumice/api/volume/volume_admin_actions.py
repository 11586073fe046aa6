"""More actions on volumes: POST /volumes/{id}/action: read-only, retype, image metadata, connections, forcing.

What administrators force goes through the same facts as everything else: see `block.force_delete`.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from pumice.api.edge.route import Await, Call, Route
from pumice.block import connections, marks, volume_changes, volumes
from pumice.block.attachments import known
from pumice.block.facts import refresh_volume
from pumice.block.force_delete import force_delete_volume
from pumice.compute import volume_attachments
from pumice.db.engine import Transaction
from pumice.errors import Conflict
from pumice.operations.model import OperationRow


class ReadOnly(Struct, forbid_unknown_fields=True):
    readonly: bool


class ReadOnlyBody(Struct, forbid_unknown_fields=True):
    value: ReadOnly = field(name="os-update_readonly_flag")


class Retype(Struct, forbid_unknown_fields=True):
    new_type: Annotated[str, Meta(min_length=1, max_length=255)]
    migration_policy: Literal["never", "on-demand"] | None = None


class RetypeBody(Struct, forbid_unknown_fields=True):
    value: Retype = field(name="os-retype")


class ImageMetadata(Struct, forbid_unknown_fields=True):
    metadata: dict[str, str]


class SetImageMetadataBody(Struct, forbid_unknown_fields=True):
    value: ImageMetadata = field(name="os-set_image_metadata")


class Key(Struct, forbid_unknown_fields=True):
    key: str


class UnsetImageMetadataBody(Struct, forbid_unknown_fields=True):
    value: Key = field(name="os-unset_image_metadata")


class ShowImageMetadataBody(Struct, forbid_unknown_fields=True):
    value: dict[str, Any] | None = field(name="os-show_image_metadata")


class ForceDeleteBody(Struct, forbid_unknown_fields=True):
    value: dict[str, Any] | None = field(name="os-force_delete")


class ForceDetach(Struct, forbid_unknown_fields=True):
    attachment_id: str | None = None
    connector: dict[str, Any] | None = None


class ForceDetachBody(Struct, forbid_unknown_fields=True):
    value: ForceDetach | None = field(name="os-force_detach")


class Connector(Struct, forbid_unknown_fields=True):
    connector: dict[str, Any]


class InitializeBody(Struct, forbid_unknown_fields=True):
    value: Connector = field(name="os-initialize_connection")


class Termination(Struct, forbid_unknown_fields=True):
    connector: dict[str, Any]
    force: bool | None = None


class TerminateBody(Struct, forbid_unknown_fields=True):
    value: Termination = field(name="os-terminate_connection")


def update_read_only(tx: Transaction, call: Call) -> None:
    volume_changes.set_read_only(tx, call.caller, call.path["volume_id"], call.body.value.readonly)


def retype(tx: Transaction, call: Call) -> None:
    asked: Retype = call.body.value
    may_move = asked.migration_policy == "on-demand"
    volume_changes.retype(tx, call.caller, call.path["volume_id"], asked.new_type, may_move=may_move)


def set_image_metadata(tx: Transaction, call: Call) -> Any:
    metadata: dict[str, str] = call.body.value.metadata
    return {"metadata": volume_changes.set_image_metadata(tx, call.caller, call.path["volume_id"], metadata)}


def unset_image_metadata(tx: Transaction, call: Call) -> None:
    volume_changes.unset_image_metadata(tx, call.caller, call.path["volume_id"], call.body.value.key)


def show_image_metadata(tx: Transaction, call: Call) -> Any:
    return {"metadata": volumes.get(tx, call.caller, call.path["volume_id"]).volume.image_metadata or {}}


def force_delete(tx: Transaction, call: Call) -> None:
    force_delete_volume(tx, call.caller, call.path["volume_id"])


def force_detach(tx: Transaction, call: Call) -> None:
    """The real detach, guest first; a mark that was in the way is removed."""
    volume_id = call.path["volume_id"]
    attachment_id = call.body.value.attachment_id if call.body.value else None
    volume_attachments.detach_by_volume_action(tx, call.caller, volume_id, attachment_id, forced=True)
    marks.clear(tx, "volume", volume_id)
    refresh_volume(tx, volume_id)


def initialize_connection(tx: Transaction, call: Call) -> Any:
    attachment, operation = connections.initialize(tx, call.caller, call.path["volume_id"], call.body.value.connector)
    if operation is None:
        return {"connection_info": attachment.connection_info}
    return Await(operation.id, then=_initialized)


def terminate_connection(tx: Transaction, call: Call) -> Any:
    operation = connections.terminate(tx, call.caller, call.path["volume_id"], call.body.value.connector)
    return None if operation is None else Await(operation.id, then=_terminated)


def _initialized(tx: Transaction, _call: Call, row: OperationRow) -> Any:
    if row.state == "undone":
        raise Conflict(f"Volume attachment {row.subject_id}: {row.error}.")
    return {"connection_info": known(tx, row.subject_id).connection_info}


def _terminated(_tx: Transaction, _call: Call, row: OperationRow) -> None:
    if row.state == "undone":
        raise Conflict(f"Volume attachment {row.subject_id}: {row.error}.")


def _action(handler: Any, key: str, action: str, body: Any, status: int = 202, **options: Any) -> Route:
    path = "/volumes/{volume_id}/action"
    return Route("POST", path, handler, key=key, action=action, body=body, status=status, write=True, **options)


_ADMIN = "volume_extension:volume_admin_actions"
_IMAGE = "volume_extension:volume_image_metadata"

ROUTES = (
    _action(update_read_only, "os-update_readonly_flag", "volume:update_readonly_flag", ReadOnlyBody, lax=True),
    _action(retype, "os-retype", "volume:retype", RetypeBody),
    _action(set_image_metadata, "os-set_image_metadata", f"{_IMAGE}:set", SetImageMetadataBody, 200),
    _action(unset_image_metadata, "os-unset_image_metadata", f"{_IMAGE}:remove", UnsetImageMetadataBody, 200),
    Route(
        "POST",
        "/volumes/{volume_id}/action",
        show_image_metadata,
        key="os-show_image_metadata",
        action=f"{_IMAGE}:show",
        body=ShowImageMetadataBody,
    ),
    _action(force_delete, "os-force_delete", f"{_ADMIN}:force_delete", ForceDeleteBody),
    _action(force_detach, "os-force_detach", f"{_ADMIN}:force_detach", ForceDetachBody),
    _action(
        initialize_connection,
        "os-initialize_connection",
        "volume_extension:volume_actions:initialize_connection",
        InitializeBody,
        200,
        then=_initialized,
        secrets=("connection_info",),
    ),
    _action(
        terminate_connection,
        "os-terminate_connection",
        "volume_extension:volume_actions:terminate_connection",
        TerminateBody,
        then=_terminated,
    ),
)
