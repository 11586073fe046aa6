"""Actions on volumes: POST /volumes/{id}/action (Block Storage API v3, "Volume actions").

`os-attach` with a server of this cloud *is* a compute attach, and `os-detach` a compute detach: never a lie (story 2).
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from pumice.api.edge.route import Call, Route
from pumice.block import connections, holds, marks, volumes
from pumice.compute import volume_attachments
from pumice.db.engine import Transaction


class Extend(Struct, forbid_unknown_fields=True):
    new_size: Annotated[int, Meta(ge=1)]


class ExtendBody(Struct, forbid_unknown_fields=True):
    extend: Extend = field(name="os-extend")


class SetBootable(Struct, forbid_unknown_fields=True):
    bootable: bool


class SetBootableBody(Struct, forbid_unknown_fields=True):
    set_bootable: SetBootable = field(name="os-set_bootable")


class Attach(Struct, forbid_unknown_fields=True):
    instance_uuid: str | None = None
    mountpoint: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    mode: Literal["rw", "ro"] | None = None
    host_name: Annotated[str, Meta(max_length=255)] | None = None


class AttachBody(Struct, forbid_unknown_fields=True):
    attach: Attach = field(name="os-attach")


class Detach(Struct, forbid_unknown_fields=True):
    attachment_id: str | None = None


class DetachBody(Struct, forbid_unknown_fields=True):
    detach: Detach | None = field(name="os-detach")


class Nothing(Struct, forbid_unknown_fields=True):
    pass


class ReserveBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="os-reserve")


class UnreserveBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="os-unreserve")


class BeginDetachingBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="os-begin_detaching")


class RollDetachingBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="os-roll_detaching")


class ResetStatus(Struct, forbid_unknown_fields=True):
    status: str | None = None
    attach_status: str | None = None
    migration_status: str | None = None


class ResetStatusBody(Struct, forbid_unknown_fields=True):
    reset: ResetStatus = field(name="os-reset_status")


def extend(tx: Transaction, call: Call) -> None:
    new_size = call.body.extend.new_size
    volumes.extend(tx, call.caller, call.path["volume_id"], new_size, in_use_allowed=call.version >= (3, 42))


def set_bootable(tx: Transaction, call: Call) -> None:
    volumes.set_bootable(tx, call.caller, call.path["volume_id"], call.body.set_bootable.bootable)


def attach(tx: Transaction, call: Call) -> None:
    asked: Attach = call.body.attach
    server_id, host = asked.instance_uuid, asked.host_name or None
    volume_id = call.path["volume_id"]
    if connections.complete(tx, call.caller, volume_id, server_id=server_id, host=host, device=asked.mountpoint):
        return
    volume_attachments.attach_by_volume_action(
        tx, call.caller, call.path["volume_id"], asked.instance_uuid, asked.mountpoint, asked.mode
    )


def detach(tx: Transaction, call: Call) -> None:
    attachment_id = call.body.detach.attachment_id if call.body.detach else None
    volume_attachments.detach_by_volume_action(tx, call.caller, call.path["volume_id"], attachment_id)


def reserve(tx: Transaction, call: Call) -> None:
    holds.reserve(tx, call.caller, call.path["volume_id"])


def unreserve(tx: Transaction, call: Call) -> None:
    holds.unreserve(tx, call.caller, call.path["volume_id"])


def begin_detaching(tx: Transaction, call: Call) -> None:
    holds.begin_detaching(tx, call.caller, call.path["volume_id"])


def roll_detaching(tx: Transaction, call: Call) -> None:
    holds.roll_detaching(tx, call.caller, call.path["volume_id"])


def reset_status(tx: Transaction, call: Call) -> None:
    asked: ResetStatus = call.body.reset
    fields: tuple[marks.Field, ...] = ("status", "attach_status", "migration_status")
    words = {name: word for name in fields if (word := getattr(asked, name)) is not None}
    marks.reset_volume(tx, call.caller, call.path["volume_id"], words)


def _action(handler: Any, key: str, action: str, body: Any, status: int = 202, *, lax: bool = False) -> Route:
    path = "/volumes/{volume_id}/action"
    return Route("POST", path, handler, key=key, action=action, body=body, status=status, write=True, lax=lax)


ROUTES = (
    _action(extend, "os-extend", "volume:extend", ExtendBody, lax=True),
    _action(set_bootable, "os-set_bootable", "volume:update", SetBootableBody, 200, lax=True),
    _action(attach, "os-attach", "volume:attach", AttachBody),
    _action(detach, "os-detach", "volume:detach", DetachBody),
    _action(reserve, "os-reserve", "volume:reserve", ReserveBody),
    _action(unreserve, "os-unreserve", "volume:unreserve", UnreserveBody),
    _action(begin_detaching, "os-begin_detaching", "volume:begin_detaching", BeginDetachingBody),
    _action(roll_detaching, "os-roll_detaching", "volume:roll_detaching", RollDetachingBody),
    _action(reset_status, "os-reset_status", "volume_extension:volume_admin_actions:reset_status", ResetStatusBody),
)
