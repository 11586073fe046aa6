"""Status is derived, never set: one pure function from a server's facts to the words of the API.

`compute.facts` reads the facts and rewrites the cached columns in the transaction that changes a fact. In order of
strength: gone > going (task_state deleting) > a live operation > life > an operator's mark > stage > power.
"""

import msgspec

from pumice.compute.transitions import STATUSES, of_operation


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a server's status depends on."""

    life: str
    """making, there, broken, going, gone"""
    power: str
    """on, off, paused, suspended, none: as last observed"""
    failed: bool = False
    """It has a fault: it could not be made."""
    stage: str | None = None
    """resized, shelved, offloaded"""
    mark: str | None = None
    """The vm_state that an operator asked to be shown (os-resetState): error."""
    operation: str | None = None
    """Kind of the operation that holds it and shows a task."""
    position: int = 0
    """The step that it is at."""


class ServerStatus(msgspec.Struct, frozen=True):
    """The cached columns."""

    status: str
    vm_state: str
    task_state: str | None


_POWER = {"on": "active", "paused": "paused", "suspended": "suspended", "off": "stopped", "none": "stopped"}
_STAGES = {"resized": "resized", "shelved": "shelved", "offloaded": "shelved_offloaded"}


def server_status(facts: ServerFacts) -> ServerStatus:
    """The three words that a server is shown with."""
    if facts.life == "gone":
        return ServerStatus("DELETED", "deleted", None)
    vm_state = _vm_state(facts)
    status = STATUSES[vm_state]
    if facts.life == "going":
        return ServerStatus(status, vm_state, "deleting")
    running = None if facts.operation is None else of_operation(facts.operation)
    if running is None or not running.task_states:
        return ServerStatus(status, vm_state, None)
    shown = running.running_status if vm_state in running.running_from or not running.running_from else None
    return ServerStatus(shown or status, vm_state, running.task_state(facts.position))


def _vm_state(facts: ServerFacts) -> str:
    if facts.life == "broken" or (facts.life == "going" and facts.failed):
        return "error"
    if facts.life == "making" or (facts.life == "going" and facts.power == "none" and not facts.stage):
        return "building"
    if facts.mark is not None:
        return facts.mark
    if facts.stage is not None:
        return _STAGES[facts.stage]
    return _POWER[facts.power]
