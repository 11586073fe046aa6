"""Servers: show, list, rename, delete, power, lock, console. Service functions: one transaction each.

A function writes the facts, enqueues the operation that makes them true, and announces it, all or nothing. What the
caller may not see is missing (`NotFound`), whatever it is.
"""

from typing import Any

from sqlalchemy import Select, select, update

from pumice.block.queries import attachments_of_server
from pumice.block.volumes import may_see
from pumice.caller import Caller
from pumice.compute import instance_actions, queries
from pumice.compute.guards import guard, refuse_if_locked
from pumice.compute.listings import SERVERS
from pumice.compute.model import Flavor, Server, ServerWithVolumes
from pumice.compute.notifications import notify_server
from pumice.compute.operations import OPERATIONS
from pumice.compute.operations.delete_server import DELETE_SERVER, DeleteServer
from pumice.compute.operations.detach_volume import DETACH_VOLUME
from pumice.compute.operations.power_server import POWER, STOP_SERVER, PowerServer
from pumice.compute.operations.read_console import READ_CONSOLE, ReadConsole
from pumice.db.engine import Transaction
from pumice.db.paging import Page, PageRequest
from pumice.db.schema import servers
from pumice.errors import Conflict, NotFound
from pumice.operations.model import Claim, OperationRow, Registry, exclusive
from pumice.operations.store import enqueue, hasten, list_operations, live_for, request_cancel

TURN_BACK = Registry()
"""What a delete tells to turn back, where it can be; detaches and stops go on."""
TURN_BACK.add(*(one for one in OPERATIONS if one not in (DETACH_VOLUME, STOP_SERVER)))


def flavor_copy(flavor: Flavor) -> dict[str, Any]:
    """The flavor as a server keeps it, by the names of the API (2.47)."""
    return {
        "id": flavor.id,
        "original_name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mib,
        "disk": flavor.disk,
        "ephemeral": flavor.ephemeral,
        "swap": flavor.swap,
        "extra_specs": flavor.extra_specs,
    }


def get(tx: Transaction, caller: Caller, server_id: str) -> Server:
    """A server of the caller's project, or any for an administrator. Raises NotFound."""
    found = queries.server(tx, server_id)
    if found is None or not may_see(caller, found.project_id):
        raise NotFound.of("Server", server_id)
    return found


def get_to_change(tx: Transaction, caller: Caller, server_id: str, action: str) -> Server:
    """The server, which is not locked for the caller and whose state allows the action; its row is locked.

    Raises NotFound, Conflict."""
    server = get(tx, caller, server_id)
    refuse_if_locked(caller, server)
    guard(tx, server_id, action)
    return server


def exists(tx: Transaction, caller: Caller, server_id: str) -> bool:
    """Whether the caller may see such a server."""
    found = queries.server(tx, server_id)
    return found is not None and may_see(caller, found.project_id)


def show(tx: Transaction, caller: Caller, server_id: str) -> ServerWithVolumes:
    """The same with its volumes. Raises NotFound."""
    get(tx, caller, server_id)
    return shown(tx, server_id)


def shown(tx: Transaction, server_id: str) -> ServerWithVolumes:
    """A server that is known to be there, as its views show it."""
    statement = select(*queries.SERVER).where(servers.c.id == server_id)
    return queries.with_volumes(tx, tx.execute(statement).all())[0]


def page(
    tx: Transaction,
    caller: Caller,
    request: PageRequest,
    *,
    all_projects: bool,
    deleted: bool | None = False,
) -> Page[ServerWithVolumes]:
    """Servers of the caller's project; all_projects and deleted: administrators only. deleted None: those too, as the
    filter changes-since has it. Raises BadRequest (marker)."""
    statement: Select[Any] = select(*queries.SERVER)
    if deleted is not None:
        gone = deleted and caller.is_admin
        statement = statement.where(servers.c.deleted_at.is_not(None) if gone else servers.c.deleted_at.is_(None))
    if not (all_projects and caller.is_admin):
        statement = statement.where(servers.c.project_id == (caller.project_id or ""))
    found = SERVERS.page(tx, statement, request, lambda row: Server(*row))
    rows = [tuple(getattr(one, name) for name in Server.__struct_fields__) for one in found.items]
    return Page(queries.with_volumes(tx, rows), found.next_marker, found.total)


def rename(tx: Transaction, caller: Caller, server_id: str, changes: dict[str, Any]) -> ServerWithVolumes:
    """Change name, description or metadata. `changes` holds only what was sent. Raises NotFound."""
    get(tx, caller, server_id)
    if changes:
        tx.execute(update(servers).where(servers.c.id == server_id).values(**changes, updated_at=tx.now))
    notify_server(tx, server_id, "update", caller)
    return shown(tx, server_id)


def delete(tx: Transaction, caller: Caller, server_id: str) -> None:
    """Delete a server in any state. What is under way on it turns back first. Deleting one that is being deleted is
    success. Raises NotFound, Conflict (locked)."""
    server = get(tx, caller, server_id)
    refuse_if_locked(caller, server)
    if server.life == "going":
        return
    guard(tx, server_id, "delete")
    held = live_for(tx, "server", server_id)
    for attachment in attachments_of_server(tx, server_id):
        held += live_for(tx, "attachment", attachment.id)
    waiting = {one.id for one in list_operations(tx, subject_id=server_id, live=True)}
    for operation in {one.operation_id for one in held} | waiting:
        request_cancel(tx, TURN_BACK, operation)
        hasten(tx, operation)
    values = {"life": "going", "updated_at": tx.now}
    tx.execute(update(servers).where(servers.c.id == server_id).values(**values))
    notify_server(tx, server_id, "delete.start", caller)
    action_id = instance_actions.start(tx, server_id, "delete", caller=caller)
    event_id = instance_actions.start_event(tx, action_id, "compute_terminate_instance", server.host)
    arguments = DeleteServer(server_id=server_id, host=server.host, project_id=server.project_id, event_id=event_id)
    enqueue(tx, DELETE_SERVER, arguments, subject_id=server_id, claims=(), caller=caller)


def power(tx: Transaction, caller: Caller, server_id: str, action: str) -> OperationRow:
    """start, stop, reboot, hard reboot, pause, unpause, suspend or resume.

    Raises Conflict (another state is needed, busy, locked), NotFound."""
    server = get_to_change(tx, caller, server_id, action)
    power = POWER[action]
    notify_server(tx, server_id, f"{power.event}.start", caller)
    action_id = instance_actions.start(tx, server_id, power.action, caller=caller)
    event_id = instance_actions.start_event(tx, action_id, f"compute_{power.action}_instance", server.host)
    arguments = PowerServer(server_id=server_id, host=str(server.host), event_id=event_id)
    return enqueue(tx, power.operation, arguments, subject_id=server_id, claims=turn(tx, server_id), caller=caller)


def begin_action(tx: Transaction, caller: Caller, server: Server, action: str, event: str) -> str:
    """The server's instance action and its one event begin; the event's id."""
    action_id = instance_actions.start(tx, server.id, action, caller=caller, project_id=server.project_id)
    return instance_actions.start_event(tx, action_id, event, server.host)


def turn(tx: Transaction, server_id: str) -> tuple[Claim, ...]:
    """What an operation on the server claims from the start; while a volume comes or goes, nothing: its first step,
    `take`, then waits for its turn."""
    return () if live_for(tx, "server", server_id) else (exclusive("server", server_id),)


def lock(tx: Transaction, caller: Caller, server_id: str, *, locked: bool, reason: str | None = None) -> None:
    """Lock or unlock. What an administrator has locked, only an administrator unlocks. Raises NotFound, Conflict."""
    server = get(tx, caller, server_id)
    if not locked and server.locked_by == "admin":
        refuse_if_locked(caller, server)
    values = {
        "locked": locked,
        "locked_reason": reason if locked else None,
        "locked_by": None if not locked else "owner" if server.project_id == caller.project_id else "admin",
        "updated_at": tx.now,
    }
    tx.execute(update(servers).where(servers.c.id == server_id).values(**values))
    action = "lock" if locked else "unlock"
    notify_server(tx, server_id, action, caller)
    instance_actions.record_done(tx, server_id, action, f"api_{action}", caller=caller)


def read_console(tx: Transaction, caller: Caller, server_id: str, lines: int | None) -> OperationRow:
    """An operation to wait for: its result `read` is the text. Raises NotFound, Conflict (not on a host yet)."""
    server = get(tx, caller, server_id)
    if server.host is None:
        raise Conflict(f"Server {server_id} is on no host, so it has no console.")
    arguments = ReadConsole(server_id=server_id, host=server.host, lines=lines)
    return enqueue(tx, READ_CONSOLE, arguments, subject_id=server_id, claims=(), caller=caller)


def on_hosts(tx: Transaction) -> dict[str, list[Server]]:
    """The live servers of every host, whoever's they are."""
    statement = select(*queries.SERVER).where(servers.c.deleted_at.is_(None), servers.c.host.is_not(None))
    found: dict[str, list[Server]] = {}
    for row in tx.execute(statement.order_by(servers.c.id)):
        server = Server(*row)
        found.setdefault(str(server.host), []).append(server)
    return found
