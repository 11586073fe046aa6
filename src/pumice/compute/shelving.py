"""Shelve a server, offload it, bring it back: service functions, one transaction each.

A shelved server keeps its volumes. Once offloaded it is on no host: its volumes are attached and in-use, and exported
nowhere; others can be attached and detached (`volume_attachments.py`), and are connected for real when it is unshelved.
"""

from sqlalchemy import update

from pumice.caller import Caller, new_id
from pumice.compute import hosts, queries, server_images, servers
from pumice.compute.model import BlockDeviceMapping, Host, Server
from pumice.compute.notifications import notify_server
from pumice.compute.operations.shelve_server import (
    OFFLOAD_SERVER,
    SHELVE_SERVER,
    UNSHELVE_SERVER,
    OffloadServer,
    ShelveServer,
    UnshelveServer,
)
from pumice.db.engine import Transaction
from pumice.db.schema import servers as rows
from pumice.errors import BadRequest, Conflict, InvalidField
from pumice.operations.model import Claim, OperationRow, exclusive, shared
from pumice.operations.store import enqueue


def shelve(tx: Transaction, caller: Caller, server_id: str, offload_after: int) -> OperationRow:
    """Stop it, and keep its local root disk as an image. offload_after: seconds until it is offloaded too (0: at once,
    below 0: never by itself). Raises Conflict, NotFound."""
    server = servers.get_to_change(tx, caller, server_id, "shelve")
    notify_server(tx, server_id, "shelve.start", caller)
    has_local_root = _has_local_root(queries.mappings_of(tx, [server_id]))
    image_id = upload_id = None
    claims = list(servers.turn(tx, server_id))
    if has_local_root:
        upload_id = new_id()
        image_id = server_images.begin(tx, caller, server, f"{server.name}-shelved", {}, upload_id).id
        claims.append(exclusive("image", image_id))
    arguments = ShelveServer(
        server_id=server_id,
        host=str(server.host),
        event_id=servers.begin_action(tx, caller, server, "shelve", "compute_shelve_instance"),
        runs=server.power == "on",
        image_id=image_id,
        upload_id=upload_id,
        # Where the root disk is a volume, nothing is gained by keeping the guest's definition on its host.
        offload=offload_after == 0 or (offload_after > 0 and not has_local_root),
    )
    return enqueue(tx, SHELVE_SERVER, arguments, subject_id=server_id, claims=claims, caller=caller)


def offload(tx: Transaction, caller: Caller, server_id: str) -> OperationRow:
    """Take what a shelved server has on its host away. Raises Conflict, NotFound."""
    server = servers.get_to_change(tx, caller, server_id, "shelve offload")
    notify_server(tx, server_id, "shelve_offload.start", caller)
    arguments = OffloadServer(
        server_id=server_id,
        host=str(server.host),
        event_id=servers.begin_action(tx, caller, server, "shelveOffload", "compute_shelve_offload_instance"),
    )
    claims = servers.turn(tx, server_id)
    return enqueue(tx, OFFLOAD_SERVER, arguments, subject_id=server_id, claims=claims, caller=caller)


def unshelve(
    tx: Transaction,
    caller: Caller,
    server_id: str,
    *,
    availability_zone: str | None = None,
    host: str | None = None,
) -> OperationRow:
    """Start it again, an offloaded one on a host of that zone, or on that host.

    Raises InvalidField (zone, host), BadRequest (no host fits, with the reason for each), Conflict, NotFound."""
    server = servers.get_to_change(tx, caller, server_id, "unshelve")
    offloaded = server.stage == "offloaded"
    if not offloaded and (availability_zone is not None or host is not None):
        raise Conflict(
            f"Server {server_id} is SHELVED, still on its host: a zone or host is for SHELVED_OFFLOADED ones."
        )
    place = _place(tx, server, availability_zone, host) if offloaded else None
    notify_server(tx, server_id, "unshelve.start", caller)
    if place is not None:
        values = {"host": place.host, "availability_zone": place.availability_zone, "updated_at": tx.now}
        tx.execute(update(rows).where(rows.c.id == server_id).values(**values))
        server = servers.get(tx, caller, server_id)
    arguments = UnshelveServer(
        server_id=server_id,
        host=str(server.host),
        event_id=servers.begin_action(tx, caller, server, "unshelve", "compute_unshelve_instance"),
        offloaded=offloaded,
        image_id=server.shelved_image_id,
    )
    claims: list[Claim] = list(servers.turn(tx, server_id))
    if server.shelved_image_id is not None:
        claims.append(shared("image", server.shelved_image_id))
    return enqueue(tx, UNSHELVE_SERVER, arguments, subject_id=server_id, claims=claims, caller=caller)


def _place(tx: Transaction, server: Server, zone: str | None, host: str | None) -> Host:
    if zone is not None and zone not in hosts.zones(tx):
        raise InvalidField("unshelve.availability_zone", zone, f"zones are {', '.join(sorted(hosts.zones(tx)))}")
    if host is not None and queries.host(tx, host) is None:
        names = ", ".join(one.host for one, _service in hosts.listed(tx))
        raise InvalidField("unshelve.host", host, f"hosts are {names}")
    wish = hosts.Wish(memory_mib=int(server.flavor["ram"]), availability_zone=zone, host=host)
    chosen = hosts.choose(tx, wish)
    if isinstance(chosen, hosts.NoHost):
        raise BadRequest(f"Server {server.id} cannot be unshelved: {chosen.sentence}.")
    return chosen


def refuse_shelved(tx: Transaction, caller: Caller, server_id: str) -> None:
    """Clients below 2.20 do not expect volumes to come and go at shelved servers. Raises Conflict, NotFound."""
    server = servers.get(tx, caller, server_id)
    if server.vm_state in ("shelved", "shelved_offloaded"):
        raise Conflict(
            f"Server {server_id} is {server.status}: compute microversion 2.20 or later attaches and detaches volumes."
        )


def _has_local_root(mappings: list[BlockDeviceMapping]) -> bool:
    return any(one.destination_type == "local" and one.image_id is not None for one in mappings)
