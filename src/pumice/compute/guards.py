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

_LOCK = (
    update(servers)
    .where(
        servers.c.id == bindparam("key"),
        servers.c.deleted_at.is_(None),
        servers.c.vm_state.in_(bindparam("allowed", expanding=True)),
        or_(servers.c.task_state.is_(None), and_(bindparam("busy_too"), servers.c.task_state != "deleting")),
    )
    .values(updated_at=bindparam("now"))
)
_FOUND = select(servers.c.status, servers.c.task_state).where(
    servers.c.id == bindparam("key"), servers.c.deleted_at.is_(None)
)


def guard(tx: Transaction, server_id: str, action: str) -> None:
    """Lock the row if its state allows the action. Raises WrongState (409) with what is and what is needed, or
    NotFound."""
    entry = transition(action)
    parameters = {"key": server_id, "allowed": list(entry.allowed), "busy_too": not entry.idle, "now": tx.now}
    if tx.execute(_LOCK, parameters).rowcount:
        return
    row = tx.execute(_FOUND, {"key": server_id}).one_or_none()
    if row is None:
        raise NotFound.of("Server", server_id)
    found = row.status if row.task_state is None else f"{row.status} ({row.task_state})"
    raise WrongState("Server", server_id, action, found, [STATUSES[state] for state in entry.allowed])


def refuse_if_locked(caller: Caller, server: Server) -> None:
    """A locked server may be changed by administrators only. Raises Conflict."""
    if server.locked and not caller.is_admin:
        reason = f" ({server.locked_reason})" if server.locked_reason else ""
        raise Conflict(f"Server {server.id} is locked{reason}; unlock it first.")
