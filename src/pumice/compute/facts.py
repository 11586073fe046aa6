"""Reads the facts of a server and rewrites its derived columns; the only writer of status, vm_state and task_state.

Called at the end of every transaction that changed a fact: by the domain's functions and each operation's `settle`.
"""

from sqlalchemy import bindparam, select, update

from pumice.compute.status import ServerFacts, ServerStatus, server_status
from pumice.db.engine import Transaction
from pumice.db.schema import operation_resources, operations, servers

_SERVER = select(
    servers.c.life, servers.c.power, servers.c.fault, servers.c.status, servers.c.vm_state, servers.c.task_state
).where(servers.c.id == bindparam("id"))
_OPERATION = (
    select(operations.c.kind)
    .join(operation_resources, operation_resources.c.operation_id == operations.c.id)
    .where(
        operation_resources.c.resource_type == "server",
        operation_resources.c.resource_id == bindparam("id"),
        operation_resources.c.mode == "exclusive",
    )
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
    operation = tx.execute(_OPERATION, {"id": server_id}).scalar_one_or_none()
    return server_status(ServerFacts(life=row.life, power=row.power, failed=row.fault is not None, operation=operation))


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
