"""The one table of what may be done to a volume, snapshot or attachment, from which state, and what is seen meanwhile.

    volume      creating --> available <--> reserved/attaching --> in-use --> detaching --> available
                   |             |  ^--- extending, uploading, retyping, ... ---^
                   v             v
                 error        deleting --> (deleted)

    snapshot    creating --> available --> deleting --> (deleted)          creating --> error --> deleting
    attachment  reserved --> attaching --> attached --> detaching --> (detached)

Guards, error messages, the words shown while an operation runs (`block.status`) and the property tests come from here.
No status word is written anywhere else.
"""

from typing import Literal

import msgspec

Resource = Literal["volume", "snapshot", "attachment"]

ERRORS = (
    "error",
    "error_deleting",
    "error_restoring",
    "error_extending",
    "error_managing",
    "error_backing-up",
)
"""Statuses that say that something went wrong; a volume in any of them may be deleted."""

VOLUME_WORDS = (
    "creating",
    "available",
    "reserved",
    "attaching",
    "detaching",
    "in-use",
    "maintenance",
    "deleting",
    "awaiting-transfer",
    "error",
    "error_deleting",
    "backing-up",
    "restoring-backup",
    "error_backing-up",
    "error_restoring",
    "error_extending",
    "error_managing",
    "managing",
    "downloading",
    "uploading",
    "retyping",
    "extending",
    "reverting",
)
"""Every status a volume can be shown in (Block Storage API, "Volume statuses")."""

SNAPSHOT_WORDS = (
    "creating",
    "available",
    "backing-up",
    "deleting",
    "error",
    "deleted",
    "unmanaging",
    "restoring",
    "error_deleting",
    "error_unmanaging",
)
ATTACH_WORDS = (
    "attached",
    "attaching",
    "detached",
    "reserved",
    "error_attaching",
    "error_detaching",
    "detaching",
    "deleted",
)


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One action on one kind of resource."""

    resource: Resource
    action: str
    """The word in error messages: "Volume X is in-use; delete needs available, error"."""
    allowed: tuple[str, ...]
    """Statuses from which it may start; () for "it is being made"."""
    operation: str | None = None
    """The kind of operation that does it; None: it is done within the request."""
    running: str | None = None
    """What is shown while it runs; None: the status does not change."""
    done: str
    undone: str
    """What is shown when it could not be done and everything was undone ("same": as before)."""
    migrating: bool = False
    """Its migration status says so while it runs."""
    needs_data: bool = False
    """Not of what was never made, even where an operator marked it as available."""


TRANSITIONS = (
    Transition(
        resource="volume",
        action="create",
        allowed=(),
        operation="volume.create",
        running="creating",
        done="available",
        undone="error",
    ),
    Transition(
        resource="volume",
        action="delete",
        allowed=("available", *ERRORS),
        operation="volume.delete",
        running="deleting",
        done="deleted",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="extend",
        needs_data=True,
        allowed=("available",),
        operation="volume.extend",
        running="extending",
        done="available",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="extend in use",
        needs_data=True,
        allowed=("available", "in-use"),
        operation="volume.extend",
        running="extending",
        done="in-use",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="snapshot",
        needs_data=True,
        allowed=("available", "in-use"),
        operation="snapshot.create",
        running=None,
        done="same",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="clone",
        needs_data=True,
        allowed=("available", "in-use"),
        operation="volume.create",
        running=None,
        done="same",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="attach",
        needs_data=True,
        allowed=("available",),
        running="reserved",
        done="in-use",
        undone="available",
    ),
    Transition(
        resource="volume",
        action="attach again",
        needs_data=True,
        allowed=("available", "in-use", "reserved", "attaching", "detaching"),
        running="reserved",
        done="in-use",
        undone="in-use",
    ),
    Transition(
        resource="volume",
        action="reserve",
        needs_data=True,
        allowed=("available",),
        running="attaching",
        done="in-use",
        undone="available",
    ),
    Transition(
        resource="volume",
        action="begin detaching",
        allowed=("in-use",),
        running="detaching",
        done="available",
        undone="in-use",
    ),
    Transition(
        resource="volume",
        action="update",
        allowed=tuple(word for word in VOLUME_WORDS if word != "deleting"),
        done="same",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="a change of the read-only flag",
        allowed=("available",),
        done="same",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="retype",
        allowed=("available", "in-use"),
        done="same",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="upload",
        needs_data=True,
        allowed=("available",),
        operation="volume.upload",
        running="uploading",
        done="same",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="upload in use",
        needs_data=True,
        allowed=("available", "in-use"),
        operation="volume.upload",
        running="uploading",
        done="same",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="revert",
        needs_data=True,
        allowed=("available",),
        operation="volume.revert",
        running="reverting",
        done="available",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="reimage",
        allowed=("available", "error"),
        operation="volume.reimage",
        running="downloading",
        done="available",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="reimage reserved",
        allowed=("available", "error", "reserved"),
        operation="volume.reimage",
        running="downloading",
        done="same",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="manage",
        allowed=(),
        operation="volume.manage",
        running="managing",
        done="available",
        undone="error",
    ),
    Transition(
        resource="volume",
        action="unmanage",
        needs_data=True,
        allowed=("available", "error"),
        operation="volume.unmanage",
        running="deleting",
        done="deleted",
        undone="same",
    ),
    Transition(
        resource="snapshot",
        action="manage",
        allowed=(),
        operation="snapshot.manage",
        running="creating",
        done="available",
        undone="error",
    ),
    Transition(
        resource="snapshot",
        action="unmanage",
        needs_data=True,
        allowed=("available", "error"),
        operation="snapshot.unmanage",
        running="unmanaging",
        done="deleted",
        undone="same",
    ),
    Transition(
        resource="volume",
        action="migrate",
        needs_data=True,
        allowed=("available",),
        operation="volume.migrate",
        running="maintenance",
        done="available",
        undone="same",
        migrating=True,
    ),
    Transition(
        resource="volume",
        action="retype to another pool",
        needs_data=True,
        allowed=("available",),
        operation="volume.retype",
        running="retyping",
        done="available",
        undone="same",
        migrating=True,
    ),
    Transition(
        resource="snapshot",
        action="revert to",
        needs_data=True,
        allowed=("available",),
        operation="volume.revert",
        running="restoring",
        done="same",
        undone="same",
    ),
    Transition(
        resource="snapshot",
        action="create",
        allowed=(),
        operation="snapshot.create",
        running="creating",
        done="available",
        undone="error",
    ),
    Transition(
        resource="snapshot",
        action="delete",
        allowed=("available", "error", "error_deleting"),
        operation="snapshot.delete",
        running="deleting",
        done="deleted",
        undone="same",
    ),
    Transition(
        resource="snapshot",
        action="clone",
        needs_data=True,
        allowed=("available",),
        operation="volume.create",
        running=None,
        done="same",
        undone="same",
    ),
    Transition(
        resource="attachment",
        action="connect",
        allowed=("reserved", "error_attaching", "attaching"),
        operation="attachment.connect",
        running="attaching",
        done="attaching",
        undone="error_attaching",
    ),
    Transition(
        resource="attachment",
        action="disconnect",
        allowed=("reserved", "attaching", "attached", "error_attaching", "error_detaching"),
        operation="attachment.disconnect",
        running="detaching",
        done="detached",
        undone="same",
    ),
    Transition(
        resource="attachment",
        action="attach to a server",
        allowed=("reserved",),
        operation="server.attach_volume",
        running="attaching",
        done="attached",
        undone="detached",
    ),
    Transition(
        resource="attachment",
        action="detach from a server",
        allowed=("attached", "attaching", "reserved"),
        operation="server.detach_volume",
        running="detaching",
        done="detached",
        undone="attached",
    ),
)

_BY_ACTION = {(entry.resource, entry.action): entry for entry in TRANSITIONS}
_RUNNING = {
    (entry.resource, entry.operation): entry.running
    for entry in TRANSITIONS
    if entry.operation is not None and entry.running is not None
}


_MIGRATING = frozenset(entry.operation for entry in TRANSITIONS if entry.migrating)


def is_migrating(operation_kind: str) -> bool:
    """The volume that this operation holds is on its way to another pool."""
    return operation_kind in _MIGRATING


def transition(resource: Resource, action: str) -> Transition:
    """The table's entry. KeyError: a fault of the program."""
    return _BY_ACTION[resource, action]


def running_word(resource: Resource, operation_kind: str) -> str | None:
    """What a resource that this operation holds exclusively is shown as."""
    return _RUNNING.get((resource, operation_kind))
