"""What operators and owners do to a server's state besides power: os-resetState, forceDelete, restore.

A reset shows `error` in place of what the facts say, until something is done to the server; no fact changes. A reset
to `active` only takes that away again: a guest is not made to run by saying that it does.
"""

from sqlalchemy import insert

from pumice.caller import Caller
from pumice.compute import instance_actions, servers
from pumice.compute.facts import clear_mark, refresh_server
from pumice.compute.guards import conflict, refuse_if_locked
from pumice.compute.notifications import notify_server
from pumice.db.engine import Transaction
from pumice.db.schema import marks
from pumice.errors import Conflict, InvalidField

WORDS = ("active", "error")
"""What os-resetState takes."""


def reset(tx: Transaction, caller: Caller, server_id: str, word: str) -> None:
    """Show the server as ERROR, or as its facts have it. Raises InvalidField, Conflict, NotFound.

    Refused: while an operation is live (it ends by itself, or is cancelled); `active` for one that was never made."""
    server = servers.get(tx, caller, server_id)
    if word not in WORDS:
        raise InvalidField("os-resetState.state", word, "active or error")
    if server.task_state is not None:
        raise Conflict(
            f"Server {server_id} is {server.status} ({server.task_state}): its operation is live and will end by"
            " itself; cancel that first (pumice operation cancel), or wait."
        )
    if word == "active" and server.life != "there":
        raise Conflict(f"Server {server_id} could not be made, so nothing of it can be active; delete it.")
    clear_mark(tx, server_id)
    if word == "error" and server.life == "there":
        mark = {
            "resource_type": "server",
            "resource_id": server_id,
            "field": "status",
            "word": word,
            "user_id": caller.user_id,
            "created_at": tx.now,
        }
        tx.execute(insert(marks), mark)
    refresh_server(tx, server_id)
    notify_server(tx, server_id, "update", caller)
    instance_actions.record_done(tx, server_id, "resetState", "api_reset_state", caller=caller)


def restore(tx: Transaction, caller: Caller, server_id: str) -> None:
    """Servers are deleted at once, so there is never one to restore. Raises Conflict, NotFound."""
    server = servers.get(tx, caller, server_id)
    refuse_if_locked(caller, server)
    raise conflict(server_id, "restore", server.status, server.vm_state, server.task_state, ("soft-delete",))
