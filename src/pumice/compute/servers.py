"""Servers: create, show, list, rename, delete, power, lock, console. Service functions: one transaction each.

A function writes the facts, enqueues the operation that makes them true, and announces it, all or nothing. What the
caller may not see is missing (`NotFound`), whatever it is.
"""

from typing import Any

import msgspec
from sqlalchemy import Select, select, update

from pumice.block.queries import attachments_of_server
from pumice.block.volumes import may_see
from pumice.caller import Caller, new_id
from pumice.compute import boot_disks, flavors, hosts, instance_actions, queries
from pumice.compute.facts import refresh_server
from pumice.compute.guards import guard, refuse_if_locked
from pumice.compute.model import Flavor, Server, ServerWithVolumes, WantedServer
from pumice.compute.notifications import notify_server
from pumice.compute.operations.attach_volume import ATTACH_VOLUME
from pumice.compute.operations.create_server import CREATE_SERVER, CreateServer
from pumice.compute.operations.delete_server import DELETE_SERVER, DeleteServer
from pumice.compute.operations.power_server import POWER, POWER_OPERATIONS, STOP_SERVER, PowerServer
from pumice.compute.operations.read_console import READ_CONSOLE, ReadConsole
from pumice.db.engine import Transaction
from pumice.db.paging import Filter, Listing, Page, PageRequest, text_filter, time_filter
from pumice.db.schema import servers
from pumice.errors import BadRequest, Conflict, NotFound
from pumice.operations.model import Claim, OperationRow, Registry, exclusive, shared
from pumice.operations.store import enqueue, hasten, live_for, request_cancel

TURN_BACK = Registry()
"""What a delete tells to turn back; detaches go on."""
TURN_BACK.add(CREATE_SERVER, ATTACH_VOLUME, *(one for one in POWER_OPERATIONS if one is not STOP_SERVER))


def _name_filter() -> Filter:
    def condition(_name: str, text: str) -> Any:
        if text.startswith("^") and text.endswith("$"):
            return servers.c.name == text[1:-1].replace("\\", "")
        return servers.c.name.contains(text, autoescape=True)

    return condition


LISTING = Listing(
    servers,
    filters={
        "name": _name_filter(),
        "status": lambda _name, text: servers.c.status == text.upper(),
        "vm_state": text_filter(servers.c.vm_state),
        "task_state": text_filter(servers.c.task_state),
        "uuid": text_filter(servers.c.id),
        "flavor": text_filter(servers.c.flavor_id),
        "image": text_filter(servers.c.image_id),
        "host": text_filter(servers.c.host),
        "project_id": text_filter(servers.c.project_id),
        "tenant_id": text_filter(servers.c.project_id),
        "user_id": text_filter(servers.c.user_id),
        "availability_zone": text_filter(servers.c.availability_zone),
        "changes-since": lambda name, text: time_filter(servers.c.updated_at)(name, f"gte:{text}"),
        "changes-before": lambda name, text: time_filter(servers.c.updated_at)(name, f"lte:{text}"),
    },
    sorts={
        "created_at": servers.c.created_at,
        "updated_at": servers.c.updated_at,
        "display_name": servers.c.name,
        "name": servers.c.name,
        "uuid": servers.c.id,
        "vm_state": servers.c.vm_state,
        "host": servers.c.host,
    },
    noun="Server",
)


def create(tx: Transaction, caller: Caller, wanted: WantedServer) -> ServerWithVolumes:
    """Create a server. When no host can run it, it is there in ERROR, and its fault says why for each host.

    Raises BadRequest (flavor, image, disks), InvalidField."""
    if caller.project_id is None:
        raise BadRequest("A server belongs to a project: use a token that is scoped to one.")
    try:
        flavor = flavors.get(tx, caller, wanted.flavor_id)
    except NotFound as error:
        raise BadRequest(error.message) from error
    plan = boot_disks.plan(tx, caller, wanted)
    if plan.image is not None and plan.image.min_ram > flavor.memory_mib:
        raise BadRequest(
            f"Flavor {flavor.name} has {flavor.memory_mib} MiB of memory; the image needs {plan.image.min_ram} MiB."
        )
    wish = hosts.Wish(
        memory_mib=flavor.memory_mib,
        availability_zone=wanted.availability_zone,
        preferred=plan.preferred_hosts,
    )
    chosen = hosts.choose(tx, wish)
    server_id = new_id()
    refused = chosen.sentence if isinstance(chosen, hosts.NoHost) else None
    host = None if isinstance(chosen, hosts.NoHost) else chosen
    row: dict[str, Any] = {
        "id": server_id,
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "name": wanted.name,
        "description": wanted.description,
        "flavor_id": flavor.id,
        "flavor": flavor_copy(flavor),
        "image_id": plan.image.id if plan.image is not None else None,
        "kernel_id": plan.kernel_id,
        "ramdisk_id": plan.ramdisk_id,
        "host": host.host if host is not None else None,
        "availability_zone": host.availability_zone if host is not None else wanted.availability_zone or "nova",
        "metadata": wanted.metadata,
        "tags": list(wanted.tags),
        "config_drive": False,
        "locked": False,
        "life": "making" if refused is None else "broken",
        "power": "none",
        "fault": None if refused is None else {"code": 500, "message": refused, "created": tx.now},
        "status": "BUILD",
        "vm_state": "building",
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(servers.insert(), row)
    refresh_server(tx, server_id)
    action_id = instance_actions.start(tx, server_id, "create", caller=caller)
    event_id = instance_actions.start_event(tx, action_id, "compute__do_build_and_run_instance", row["host"])
    notify_server(tx, server_id, "create.start", caller)
    if host is None:
        instance_actions.finish_event(tx, event_id, failure=refused)
        notify_server(tx, server_id, "create.error", caller, {"message": refused})
        return shown(tx, server_id)
    made = boot_disks.add(tx, caller, server_id, plan)
    arguments = CreateServer(server_id=server_id, host=host.host, event_id=event_id, made=made)
    claims = (exclusive("server", server_id), *(shared("image", one) for one in sorted(plan.image_ids)))
    enqueue(tx, CREATE_SERVER, arguments, subject_id=server_id, claims=claims, caller=caller)
    return shown(tx, server_id)


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
    tx: Transaction, caller: Caller, request: PageRequest, *, all_projects: bool, deleted: bool
) -> Page[ServerWithVolumes]:
    """Servers of the caller's project; all_projects and deleted: administrators only. Raises BadRequest (marker)."""
    statement: Select[Any] = select(*queries.SERVER)
    wants_deleted = deleted and caller.is_admin
    statement = statement.where(servers.c.deleted_at.is_not(None) if wants_deleted else servers.c.deleted_at.is_(None))
    if not (all_projects and caller.is_admin):
        statement = statement.where(servers.c.project_id == (caller.project_id or ""))
    found = LISTING.page(tx, statement, request, lambda row: Server(*row))
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
    for operation in {one.operation_id for one in held}:
        request_cancel(tx, TURN_BACK, operation)
        hasten(tx, operation)
    values = {"life": "going", "updated_at": tx.now}
    tx.execute(update(servers).where(servers.c.id == server_id).values(**values))
    notify_server(tx, server_id, "delete.start", caller)
    action_id = instance_actions.start(tx, server_id, "delete", caller=caller)
    event_id = instance_actions.start_event(tx, action_id, "compute_terminate_instance", server.host)
    arguments = DeleteServer(server_id=server_id, host=server.host, project_id=server.project_id, event_id=event_id)
    enqueue(tx, DELETE_SERVER, arguments, subject_id=server_id, claims=(), caller=caller)


def power(tx: Transaction, caller: Caller, server_id: str, action: str, *, graceful: bool = False) -> OperationRow:
    """start, stop, reboot, hard reboot, pause, unpause, suspend or resume. graceful: a stop asks the guest first.

    Raises Conflict (another state is needed, busy, locked), NotFound."""
    server = get(tx, caller, server_id)
    refuse_if_locked(caller, server)
    guard(tx, server_id, action)
    power = POWER[action]
    notify_server(tx, server_id, f"{power.event}.start", caller)
    action_id = instance_actions.start(tx, server_id, power.action, caller=caller)
    event_id = instance_actions.start_event(tx, action_id, f"compute_{power.action}_instance", server.host)
    arguments = PowerServer(server_id=server_id, host=str(server.host), event_id=event_id, graceful=graceful)
    return enqueue(tx, power.operation, arguments, subject_id=server_id, claims=turn(tx, server_id), caller=caller)


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


class Totals(msgspec.Struct, frozen=True):
    """What a project's live servers use; memory in MiB."""

    servers: int
    vcpus: int
    memory_mib: int


def totals(tx: Transaction, project_id: str) -> Totals:
    """Counted from the rows."""
    statement = select(servers.c.flavor).where(servers.c.project_id == project_id, servers.c.deleted_at.is_(None))
    copies = list(tx.execute(statement).scalars())
    return Totals(len(copies), sum(int(one["vcpus"]) for one in copies), sum(int(one["ram"]) for one in copies))
