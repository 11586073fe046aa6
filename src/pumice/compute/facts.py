"""Reads the facts of a server and rewrites its derived columns; the only writer of status, vm_state and task_state.

Called at the end of every transaction that changed a fact: by the domain's functions and each operation's `settle`.
"""

import msgspec
from sqlalchemy import bindparam, delete, select, update

from pumice.compute.status import ServerFacts, ServerStatus, server_status
from pumice.compute.transitions import of_operation
from pumice.db.engine import Transaction
from pumice.db.schema import is_live, marks, operations, servers

_SERVER = (
    select(
        servers.c.life,
        servers.c.power,
        servers.c.fault,
        servers.c.stage,
        servers.c.status,
        servers.c.vm_state,
        servers.c.task_state,
        marks.c.word.label("mark"),
    )
    .outerjoin(
        marks, (marks.c.resource_type == "server") & (marks.c.resource_id == servers.c.id) & (marks.c.field == "status")
    )
    .where(servers.c.id == bindparam("id"))
)
# Also one that still waits for an attach to let go of the server: it is the server's task from its request on.
_OPERATIONS = (
    select(operations.c.kind, operations.c.position)
    .where(
        operations.c.subject_type == "server",
        operations.c.subject_id == bindparam("id"),
        is_live(),
    )
    .order_by(operations.c.created_at, operations.c.id)
)
_WRITE = (
    update(servers)
    .where(servers.c.id == bindparam("key"))
    .values(
        status=bindparam("status"),
        vm_state=bindparam("vm_state"),
        task_state=bindparam("task_state"),
        updated_at=bindparam("now"),
    )
)


def derived(tx: Transaction, server_id: str) -> ServerStatus | None:
    """What the facts say now; None when there is no such row."""
    row = tx.execute(_SERVER, {"id": server_id}).one_or_none()
    if row is None:
        return None
    facts = ServerFacts(life=row.life, power=row.power, failed=row.fault is not None, stage=row.stage, mark=row.mark)
    for kind, position in tx.execute(_OPERATIONS, {"id": server_id}):
        task = of_operation(kind)
        if task is not None and task.task_states:
            facts = msgspec.structs.replace(facts, operation=kind, position=position)
            break
    return server_status(facts)


def refresh_server(tx: Transaction, server_id: str) -> None:
    """Rewrite the derived columns of a server, where they have changed."""
    row = tx.execute(_SERVER, {"id": server_id}).one_or_none()
    status = derived(tx, server_id)
    if row is None or status is None or status == ServerStatus(row.status, row.vm_state, row.task_state):
        return
    tx.execute(
        _WRITE,
        {
            "key": server_id,
            "status": status.status,
            "vm_state": status.vm_state,
            "task_state": status.task_state,
            "now": tx.now,
        },
    )


def clear_mark(tx: Transaction, server_id: str) -> None:
    """What an operator asked to be shown ends: something has been done to the server since."""
    tx.execute(delete(marks).where(marks.c.resource_type == "server", marks.c.resource_id == server_id))
