"""The one table of what may be asked of a server, from which state, and what is seen meanwhile.

    (created) BUILD --> ACTIVE <--stop/start--> SHUTOFF        ACTIVE <--pause/unpause--> PAUSED
                |          |                       |
                v          +------ delete ---------+--> task_state deleting --> (deleted)
              ERROR -------------- delete --------------^

What may be asked depends on vm_state, and on no other task being under way (task_state none); delete may always be
asked. Attach and detach are tasks of the volume's attachment, shown there (`block.transitions`), not of the server.
"""

import msgspec

STATUSES = {"building": "BUILD", "active": "ACTIVE", "stopped": "SHUTOFF", "paused": "PAUSED", "error": "ERROR"}
"""vm_state -> status, where no task changes it. "deleted" is DELETED."""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One action on a server."""

    action: str
    """The word in error messages: "Server X is ACTIVE; start needs SHUTOFF"."""
    allowed: tuple[str, ...]
    """vm_states from which it may start."""
    operation: str | None = None
    """The kind of operation that does it; None: it is done within the request, or of another resource."""
    task_state: str | None = None
    """Shown while the operation runs."""
    running_status: str | None = None
    """Status while the operation runs; None: that of the vm_state."""
    idle: bool = True
    """Whether no other task may be under way."""


_THERE = ("active", "stopped", "paused")

TRANSITIONS = (
    Transition(action="create", allowed=(), operation="server.create", task_state="spawning", running_status="BUILD"),
    Transition(action="start", allowed=("stopped",), operation="server.start", task_state="powering-on"),
    Transition(action="stop", allowed=("active", "paused"), operation="server.stop", task_state="powering-off"),
    Transition(
        action="reboot",
        allowed=("active", "stopped", "paused"),
        operation="server.reboot",
        task_state="rebooting",
        running_status="REBOOT",
    ),
    Transition(action="pause", allowed=("active",), operation="server.pause", task_state="pausing"),
    Transition(action="unpause", allowed=("paused",), operation="server.unpause", task_state="unpausing"),
    Transition(action="attach a volume", allowed=_THERE, operation="server.attach_volume"),
    Transition(action="detach a volume", allowed=(*_THERE, "error"), operation="server.detach_volume", idle=False),
    Transition(
        action="delete",
        allowed=("building", *_THERE, "error"),
        operation="server.delete",
        task_state="deleting",
        idle=False,
    ),
)

_BY_ACTION = {entry.action: entry for entry in TRANSITIONS}
_BY_OPERATION = {entry.operation: entry for entry in TRANSITIONS if entry.operation is not None}


def transition(action: str) -> Transition:
    """The table's entry. KeyError: a fault of the program."""
    return _BY_ACTION[action]


def of_operation(kind: str) -> Transition | None:
    """The entry that this kind of operation does."""
    return _BY_OPERATION.get(kind)
