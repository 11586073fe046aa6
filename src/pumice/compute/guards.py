"""Conditional changes of a server: one statement, three answers (done, refused with what is, missing).

The UPDATE locks the row, so that on PostgreSQL whatever follows in the transaction (device names, claims) is
serialised per server; on SQLite the write lock does.
"""

from sqlalchemy import and_, bindparam, or_, select, update

from pumice.caller import Caller
from pumice.compute.model import Server
from pumice.compute.transitions import STATUSES, transition
from pumice.db.engine import Transaction
from pumice.db.schema import servers
from pumice.errors import Conflict, NotFound, WrongState

CLIENTS_WORDS = {
    "hard reboot": "reboot",
    "create image": "createImage",
    "create image of volumes": "createImage",
    "shelve offload": "shelveOffload",
    "confirm resize": "confirmResize",
    "revert resize": "revertResize",
    "attach a volume": "attach_volume",
    "detach a volume": "detach_volume",
}
"""What clients of compute call an action, where we say it otherwise."""

_LOCK = (
    update(servers)
    .where(
        servers.c.id == bindparam("key"),
        servers.c.deleted_at.is_(None),
        servers.c.vm_state.in_(bindparam("allowed", expanding=True)),
        or_(servers.c.life == "there", bindparam("unmade_too")),
        or_(servers.c.task_state.is_(None), and_(bindparam("busy_too"), servers.c.task_state != "deleting")),
    )
    .values(updated_at=bindparam("now"))
)
_FOUND = select(servers.c.status, servers.c.vm_state, servers.c.task_state).where(
    servers.c.id == bindparam("key"), servers.c.deleted_at.is_(None)
)


def guard(tx: Transaction, server_id: str, action: str) -> None:
    """Lock the row if its state allows the action. Raises Conflict with what is and what is needed, or NotFound."""
    entry = transition(action)
    parameters = {
        "key": server_id,
        "allowed": list(entry.allowed),
        "busy_too": not entry.idle,
        "unmade_too": not entry.made,
        "now": tx.now,
    }
    if tx.execute(_LOCK, parameters).rowcount:
        return
    row = tx.execute(_FOUND, {"key": server_id}).one_or_none()
    if row is None:
        raise NotFound.of("Server", server_id)
    raise conflict(server_id, action, row.status, row.vm_state, row.task_state, entry.allowed)


def conflict(
    server_id: str, action: str, status: str, vm_state: str, task_state: str | None, allowed: tuple[str, ...]
) -> Conflict:
    """The refusal, in the words that clients of compute know, and in ours."""
    busy = vm_state in allowed and task_state is not None
    found = status if task_state is None else f"{status} ({task_state})"
    needed = [STATUSES.get(state, state) for state in allowed]
    where = f"task_state {task_state}" if busy else f"vm_state {vm_state}"
    ours = WrongState("Server", server_id, action, found, needed).message
    return Conflict(f"Cannot '{CLIENTS_WORDS.get(action, action)}' instance {server_id} while it is in {where}. {ours}")


def refuse_if_locked(caller: Caller, server: Server) -> None:
    """A locked server may be changed by administrators only. Raises Conflict."""
    if server.locked and not caller.is_admin:
        reason = f" ({server.locked_reason})" if server.locked_reason else ""
        raise Conflict(f"Server {server.id} is locked{reason}; unlock it first.")
