"""Resize a server, confirm it, take it back: service functions, one transaction each. Same host; volumes stay attached.

A resized server (VERIFY_RESIZE) runs with its new flavor; its old one, and its local disks as they were, are kept until
it is confirmed (or that happens by itself after `resize_confirm_window`), or reverted.
"""

from typing import Any

from sqlalchemy import update

from pumice.caller import Caller
from pumice.compute import flavors, hosts, queries, quotas, servers
from pumice.compute.model import Flavor, Server
from pumice.compute.notifications import notify_server
from pumice.compute.operations.resize_server import CONFIRM_RESIZE, RESIZE_SERVER, REVERT_RESIZE, ResizeServer
from pumice.db.engine import Transaction
from pumice.db.schema import servers as rows
from pumice.errors import BadRequest, NotFound
from pumice.operations.model import Operation, OperationRow
from pumice.operations.store import enqueue


def resize(
    tx: Transaction, caller: Caller, server_id: str, flavor_id: str, *, disk_config: str | None = None
) -> OperationRow:
    """disk_config: AUTO or MANUAL, shown from now on.

    Raises BadRequest (flavor unknown, the same, too small, no room on the host), Conflict, NotFound, Forbidden."""
    server = servers.get_to_change(tx, caller, server_id, "resize")
    try:
        flavor = flavors.get(tx, caller, flavor_id)
    except NotFound as error:
        raise BadRequest(error.message) from error
    _check(tx, server, flavor)
    more = quotas.Totals(
        instances=0,
        cores=max(0, flavor.vcpus - int(server.flavor["vcpus"])),
        ram=max(0, flavor.memory_mib - int(server.flavor["ram"])),
    )
    quotas.check(tx, server.project_id, more, 1, 1)
    if disk_config is not None:
        tx.execute(update(rows).where(rows.c.id == server_id).values(disk_config=disk_config))
    notify_server(tx, server_id, "resize.prep.start", caller)
    event_id = servers.begin_action(tx, caller, server, "resize", "compute_prep_resize")
    old = {**server.flavor, "id": server.flavor_id}
    return _enqueue(tx, caller, RESIZE_SERVER, server, event_id, servers.flavor_copy(flavor), old)


def _check(tx: Transaction, server: Server, flavor: Flavor) -> None:
    if flavor.id == server.flavor_id:
        raise BadRequest("When resizing, instances must change flavor!")
    old = server.flavor
    has_local_root = any(
        one.destination_type == "local" and one.boot_index == 0 for one in queries.mappings_of(tx, [server.id])
    )
    if has_local_root and flavor.disk < int(old["disk"]):
        raise BadRequest(
            f"Flavor {flavor.name} has a disk of {flavor.disk} GiB; that of server {server.id} has {old['disk']} GiB,"
            " and disks do not shrink."
        )
    if flavor.ephemeral < int(old["ephemeral"]) or flavor.swap < int(old["swap"]):
        raise BadRequest(f"Flavor {flavor.name} has smaller ephemeral or swap disks than server {server.id} has.")
    host = queries.host(tx, str(server.host))
    free = 0 if host is None else host.memory_mib - hosts.promised_memory(tx).get(host.host, 0)
    more = flavor.memory_mib - int(old["ram"])
    if more > max(0, free):
        raise BadRequest(
            f"No valid host was found: host {server.host} has {max(0, free)} MiB of memory free, flavor {flavor.name}"
            f" needs {more} MiB more than server {server.id} has."
        )


def confirm(tx: Transaction, caller: Caller, server_id: str) -> OperationRow:
    """Keep the new size. Raises Conflict, NotFound."""
    server = servers.get_to_change(tx, caller, server_id, "confirm resize")
    notify_server(tx, server_id, "resize.confirm.start", caller)
    event_id = servers.begin_action(tx, caller, server, "confirmResize", "compute_confirm_resize")
    return _enqueue(tx, caller, CONFIRM_RESIZE, server, event_id, server.flavor)


def revert(tx: Transaction, caller: Caller, server_id: str) -> OperationRow:
    """Take the old size, and local disks as they were. Raises Conflict, NotFound."""
    server = servers.get_to_change(tx, caller, server_id, "revert resize")
    notify_server(tx, server_id, "resize.revert.start", caller)
    event_id = servers.begin_action(tx, caller, server, "revertResize", "compute_revert_resize")
    return _enqueue(tx, caller, REVERT_RESIZE, server, event_id, server.old_flavor or server.flavor, server.flavor)


def _enqueue(
    tx: Transaction,
    caller: Caller,
    operation: Operation[ResizeServer],
    server: Server,
    event_id: str,
    flavor: dict[str, Any],
    old_flavor: dict[str, Any] | None = None,
) -> OperationRow:
    """The flavors as `ResizeServer` has them."""
    arguments = ResizeServer(
        server_id=server.id,
        host=str(server.host),
        event_id=event_id,
        runs=server.power == "on",
        flavor=flavor,
        old_flavor=old_flavor,
    )
    claims = servers.turn(tx, server.id)
    return enqueue(tx, operation, arguments, subject_id=server.id, claims=claims, caller=caller)
