"""The one table of what may be asked of a server, from which state, and what is seen meanwhile.

    (created) BUILD --> ACTIVE <--stop/start--> SHUTOFF     ACTIVE <--pause/unpause--> PAUSED
                |          |                       |        ACTIVE <--suspend/resume--> SUSPENDED
                v          |                       |
              ERROR        +--resize--> VERIFY_RESIZE --confirm--> (as before, new flavor), --revert--> (as before)
                           +--shelve--> SHELVED --offload--> SHELVED_OFFLOADED, from both --unshelve--> ACTIVE
                           +--reboot, rebuild, create an image: back to where it was

    any of them --delete--> task_state deleting --> (deleted)

What may be asked depends on vm_state, and on no other task being under way (task_state none); delete may always be
asked. Attach and detach are tasks of the volume's attachment, shown there (`block.transitions`), not of the server.
"""

import msgspec

STATUSES = {
    "building": "BUILD",
    "active": "ACTIVE",
    "stopped": "SHUTOFF",
    "paused": "PAUSED",
    "suspended": "SUSPENDED",
    "resized": "VERIFY_RESIZE",
    "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
    "error": "ERROR",
}
"""vm_state -> status, where no task changes it. "deleted" is DELETED."""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One action on a server."""

    action: str
    """The word in error messages: "Server X is ACTIVE; start needs SHUTOFF"."""
    allowed: tuple[str, ...]
    """vm_states from which it may start."""
    operation: str | None = None
    """The kind of operation that does it; None: it is done within the request, or of another resource."""
    task_states: tuple[str, ...] = ()
    """Shown while the operation runs: one for each of its steps, the last one for all that follow. None: no task."""
    running_status: str | None = None
    """Status while the operation runs; None: that of the vm_state."""
    running_from: tuple[str, ...] = ()
    """The vm_states that `running_status` is shown in place of; (): all."""
    idle: bool = True
    """Whether no other task may be under way."""
    made: bool = True
    """Whether the server must have been made: one that could not be made can only be deleted."""

    def task_state(self, position: int) -> str | None:
        """What is shown while the step of that number runs."""
        return self.task_states[min(position, len(self.task_states) - 1)] if self.task_states else None


_THERE = ("active", "stopped", "paused")
_RUNNABLE = ("active", "stopped", "paused", "suspended")
_WITH_DISKS = (*_THERE, "resized", "shelved", "shelved_offloaded")

TRANSITIONS = (
    Transition(
        action="create", allowed=(), operation="server.create", task_states=("spawning",), running_status="BUILD"
    ),
    Transition(action="start", allowed=("stopped",), operation="server.start", task_states=("powering-on",)),
    Transition(
        action="stop", allowed=("active", "paused", "error"), operation="server.stop", task_states=("powering-off",)
    ),
    Transition(
        action="reboot",
        allowed=("active",),
        operation="server.reboot",
        task_states=("rebooting",),
        running_status="REBOOT",
        running_from=("active",),
    ),
    Transition(
        action="hard reboot",
        allowed=(*_RUNNABLE, "error"),
        operation="server.hard_reboot",
        task_states=("rebooting_hard",),
        running_status="HARD_REBOOT",
        running_from=("active",),
    ),
    Transition(action="pause", allowed=("active",), operation="server.pause", task_states=("pausing",)),
    Transition(action="unpause", allowed=("paused",), operation="server.unpause", task_states=("unpausing",)),
    Transition(action="suspend", allowed=("active",), operation="server.suspend", task_states=("suspending",)),
    Transition(action="resume", allowed=("suspended",), operation="server.resume", task_states=("resuming",)),
    Transition(
        action="rebuild",
        allowed=("active", "stopped", "error"),
        operation="server.rebuild",
        task_states=("rebuilding", "rebuilding", "rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"),
        running_status="REBUILD",
    ),
    Transition(
        action="create image",
        allowed=_RUNNABLE,
        operation="server.snapshot",
        task_states=("image_snapshot_pending", "image_snapshot", "image_snapshot", "image_snapshot", "image_uploading"),
    ),
    Transition(
        action="create image of volumes",
        allowed=_RUNNABLE,
        operation="server.snapshot_volumes",
        task_states=("image_snapshot",),
    ),
    Transition(
        action="shelve",
        allowed=_RUNNABLE,
        operation="server.shelve",
        task_states=("shelving", "shelving", "shelving_image_uploading"),
    ),
    Transition(
        action="shelve offload", allowed=("shelved",), operation="server.offload", task_states=("shelving_offloading",)
    ),
    Transition(
        action="unshelve",
        allowed=("shelved", "shelved_offloaded"),
        operation="server.unshelve",
        task_states=("unshelving",),
    ),
    Transition(
        action="resize",
        allowed=("active", "stopped"),
        operation="server.resize",
        task_states=("resize_prep", "resize_prep", "resize_migrating", "resize_finish"),
        running_status="RESIZE",
    ),
    Transition(
        action="confirm resize",
        allowed=("resized",),
        operation="server.confirm_resize",
        task_states=("resize_confirming",),
    ),
    Transition(
        action="revert resize",
        allowed=("resized",),
        operation="server.revert_resize",
        task_states=("resize_reverting",),
        running_status="REVERT_RESIZE",
    ),
    Transition(action="attach a volume", allowed=_WITH_DISKS, operation="server.attach_volume"),
    Transition(action="detach a volume", allowed=(*_WITH_DISKS, "error"), operation="server.detach_volume", idle=False),
    Transition(
        action="delete",
        allowed=tuple(STATUSES),
        operation="server.delete",
        task_states=("deleting",),
        idle=False,
        made=False,
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
