"""Actions on snapshots: POST /snapshots/{id}/action (Block Storage API v3, "Snapshot actions")."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from pumice.api.edge.route import Call, Route
from pumice.block import marks
from pumice.block.force_delete import force_delete_snapshot
from pumice.db.engine import Transaction


class Status(Struct, forbid_unknown_fields=True):
    status: str


class ResetStatusBody(Struct, forbid_unknown_fields=True):
    value: Status = field(name="os-reset_status")


class StatusAndProgress(Struct, forbid_unknown_fields=True):
    status: str
    progress: Annotated[str, Meta(pattern=r"^(100|[0-9]{1,2})%$")] | None = None


class UpdateStatusBody(Struct, forbid_unknown_fields=True):
    value: StatusAndProgress = field(name="os-update_snapshot_status")


class ForceDeleteBody(Struct, forbid_unknown_fields=True):
    value: dict[str, Any] | None = field(name="os-force_delete")


def reset_status(tx: Transaction, call: Call) -> None:
    marks.reset_snapshot(tx, call.caller, call.path["snapshot_id"], call.body.value.status)


def update_status(tx: Transaction, call: Call) -> None:
    asked: StatusAndProgress = call.body.value
    marks.reset_snapshot(tx, call.caller, call.path["snapshot_id"], asked.status, progress=asked.progress)


def force_delete(tx: Transaction, call: Call) -> None:
    force_delete_snapshot(tx, call.caller, call.path["snapshot_id"])


def _action(handler: Any, key: str, action: str, body: Any) -> Route:
    path = "/snapshots/{snapshot_id}/action"
    return Route("POST", path, handler, key=key, action=action, body=body, status=202, write=True)


_ADMIN = "volume_extension:snapshot_admin_actions"

ROUTES = (
    _action(reset_status, "os-reset_status", f"{_ADMIN}:reset_status", ResetStatusBody),
    _action(force_delete, "os-force_delete", f"{_ADMIN}:force_delete", ForceDeleteBody),
    _action(
        update_status,
        "os-update_snapshot_status",
        "snapshot_extension:snapshot_actions:update_snapshot_status",
        UpdateStatusBody,
    ),
)
