"""A server's volumes: attach, detach, list, show. The heart of design 5.

    attach    one transaction: attachment reserved, mapping with its device name, operation, instance action
    detach    at any moment, also while the attach still runs: that is told to turn back, and the detach waits its turn

`attach_by_volume_action` and `detach_by_volume_action` are the Block Storage actions os-attach, os-detach and
os-force_detach with a server of this cloud: the same, so that neither side can say what is not so (story 2).
"""

from typing import Any

import msgspec
from sqlalchemy import select, update

from pumice.block import attachments, holds, volumes
from pumice.block import queries as block_queries
from pumice.block.model import Attachment
from pumice.block.notifications import notify_volume
from pumice.caller import Caller, new_id
from pumice.compute import boot_rows, devices, instance_actions, queries, servers
from pumice.compute.guards import guard, refuse_if_locked
from pumice.compute.model import BlockDeviceMapping, Server
from pumice.compute.operations.attach_volume import ATTACH_OFFLOADED, ATTACH_VOLUME, AttachVolume
from pumice.compute.operations.detach_volume import DETACH_VOLUME, DetachVolume
from pumice.db.engine import Transaction
from pumice.db.schema import block_device_mappings, is_live, operations
from pumice.errors import BadRequest, Conflict, NotFound
from pumice.operations.model import OperationRow, exclusive, shared
from pumice.operations.store import enqueue, live_for, request_cancel


class Attached(msgspec.Struct, frozen=True):
    """What attach answers: the mapping, and the operation that makes it true."""

    mapping: BlockDeviceMapping
    operation: OperationRow


def attach(
    tx: Transaction,
    caller: Caller,
    server_id: str,
    volume_id: str,
    *,
    device: str | None = None,
    tag: str | None = None,
    delete_on_termination: bool = False,
    origin: str = "compute",
    mode: str | None = None,
    multiattach: bool = True,
) -> Attached:
    """Attach a volume to a server, running or stopped. device: the name asked for; None: one is chosen. multiattach
    False: the caller's microversion knows no shared volumes.

    Raises NotFound (server, volume), BadRequest (in use, attached already), WrongState or Conflict (server busy,
    locked; device taken), InvalidField."""
    server = servers.get(tx, caller, server_id)
    refuse_if_locked(caller, server)
    boot_rows.refuse_shared(tx, caller, volume_id, multiattach)
    guard(tx, server_id, "attach a volume")
    server = servers.get(tx, caller, server_id)  # as it is now that its row is locked: on a host, or offloaded
    mappings = queries.mappings_of(tx, [server_id])
    if any(one.volume_id == volume_id for one in mappings):
        raise BadRequest(f"Volume {volume_id} is attached to server {server_id} already.")
    bus = next((one.disk_bus for one in mappings if one.boot_index == 0), "scsi")
    name = devices.choose(device, [one.device_name for one in mappings], bus)
    attachment_id = boot_rows.reserve(tx, caller, volume_id, server_id, device=name, origin=origin, mode=mode)
    attachment = block_queries.attachment(tx, attachment_id)
    volume = block_queries.volume(tx, volume_id)
    if attachment is None or volume is None:
        raise NotFound.of("Volume", volume_id)
    row: dict[str, Any] = {
        "id": new_id(),
        "server_id": server_id,
        "source_type": "volume",
        "destination_type": "volume",
        "volume_id": volume_id,
        "attachment_id": attachment_id,
        "volume_size": volume.size,
        "device_name": name,
        "disk_bus": bus,
        "delete_on_termination": delete_on_termination,
        "tag": tag,
        "created_at": tx.now,
    }
    tx.execute(block_device_mappings.insert(), row)
    action_id = instance_actions.start(tx, server_id, "attach_volume", caller=caller)
    arguments = AttachVolume(
        attachment_id=attachment_id,
        volume_id=volume_id,
        server_id=server_id,
        host=server.host or "",
        backend=str(volume.backend),
        device=name,
        event_id=instance_actions.start_event(tx, action_id, "compute_attach_volume", server.host),
        bus=bus,
        read_only=attachment.mode == "ro",
        shareable=attachment.shared,
    )
    claims = (exclusive("attachment", attachment_id), shared("server", server_id))
    kind = ATTACH_OFFLOADED if server.stage == "offloaded" else ATTACH_VOLUME
    operation = enqueue(tx, kind, arguments, subject_id=attachment_id, claims=claims, caller=caller)
    return Attached(_mapping(tx, server_id, volume_id), operation)


def detach(tx: Transaction, caller: Caller, server_id: str, volume_id: str) -> OperationRow:
    """Detach a volume, also one whose attach still runs.

    Raises NotFound (server, or no such attachment), BadRequest (what the server boots from), Conflict (being detached
    already, server locked), WrongState (server being made or deleted)."""
    server = servers.get(tx, caller, server_id)
    refuse_if_locked(caller, server)
    mapping = _mapping(tx, server_id, volume_id)
    guard(tx, server_id, "detach a volume")
    if mapping.boot_index == 0:
        raise BadRequest(f"Volume {volume_id} is what server {server_id} boots from; it cannot be detached.")
    attachment = block_queries.attachment(tx, str(mapping.attachment_id))
    if attachment is None:
        raise NotFound.of("Volume attachment", volume_id)
    return _detach(tx, caller, server, mapping, attachment)


def _detach(
    tx: Transaction, caller: Caller, server: Server, mapping: BlockDeviceMapping, attachment: Attachment
) -> OperationRow:
    statement = select(operations.c.id).where(
        operations.c.subject_id == attachment.id,
        operations.c.kind == DETACH_VOLUME.kind,
        is_live(),
    )
    if tx.execute(statement).first() is not None:
        raise Conflict(f"Volume {attachment.volume_id} is being detached from server {server.id} already.")
    for operation in live_for(tx, "attachment", attachment.id):
        request_cancel(tx, servers.TURN_BACK, operation.operation_id)
    volume = block_queries.volume(tx, attachment.volume_id)
    notify_volume(tx, attachment.volume_id, "detach.start", caller)
    action_id = instance_actions.start(tx, server.id, "detach_volume", caller=caller)
    arguments = DetachVolume(
        attachment_id=attachment.id,
        volume_id=attachment.volume_id,
        server_id=server.id,
        host=server.host,
        backend=str(volume.backend) if volume is not None else "",
        event_id=instance_actions.start_event(tx, action_id, "compute_detach_volume", server.host),
        bus=mapping.disk_bus,
    )
    return enqueue(tx, DETACH_VOLUME, arguments, subject_id=attachment.id, claims=(), caller=caller)


def listed(tx: Transaction, caller: Caller, server_id: str) -> list[BlockDeviceMapping]:
    """The server's volumes, those on their way included, oldest first. Raises NotFound."""
    return list(servers.show(tx, caller, server_id).mappings)


def show(tx: Transaction, caller: Caller, server_id: str, volume_id: str) -> BlockDeviceMapping:
    """One of them. Raises NotFound."""
    servers.get(tx, caller, server_id)
    return _mapping(tx, server_id, volume_id)


def set_delete_on_termination(tx: Transaction, caller: Caller, server_id: str, volume_id: str, value: bool) -> None:
    """Whether the volume is deleted with the server. Raises NotFound."""
    mapping = show(tx, caller, server_id, volume_id)
    tx.execute(
        update(block_device_mappings)
        .where(block_device_mappings.c.id == mapping.id)
        .values(delete_on_termination=value, updated_at=tx.now)
    )


def attach_by_volume_action(
    tx: Transaction,
    caller: Caller,
    volume_id: str,
    server_id: str | None,
    mountpoint: str | None = None,
    mode: str | None = None,
) -> OperationRow | None:
    """os-attach: a real attach to a server of this cloud; the operation to wait for.

    None: another compute service (it shows a service token) says that its own server, or a host, has the volume; that
    is recorded. What the caller has reserved the volume for (os-reserve) is this. Raises NotFound naming an unknown
    server, BadRequest, and as `attach`."""
    volumes.get(tx, caller, volume_id)
    holds.use(tx, caller, volume_id)
    if server_id is not None and queries.server(tx, server_id) is not None:
        return attach(tx, caller, server_id, volume_id, device=mountpoint, origin="os-attach", mode=mode).operation
    if not caller.has_service_token:
        if server_id is None:
            raise BadRequest("A volume is attached to a server: give its id as instance_uuid.")
        raise NotFound.of("Server", server_id)
    reserved = attachments.reserve(
        tx, caller, volume_id, server_id=server_id, origin="external", device=mountpoint, mode=mode
    )
    attachments.complete(tx, caller, reserved.id)
    return None


def detach_by_volume_action(
    tx: Transaction, caller: Caller, volume_id: str, attachment_id: str | None = None, *, forced: bool = False
) -> OperationRow | None:
    """os-detach and, forced, os-force_detach: of a server of this cloud the real detach, guest first; the operation to
    wait for, None when nothing had to be done outside. A volume that is not attached at all is detached already.

    Raises Conflict when compute attached it and the caller is not a service; NotFound, BadRequest (no such attachment;
    several of them and none named), and as `detach`."""
    volumes.get(tx, caller, volume_id)
    found = [
        one for one in block_queries.attachments_of(tx, [volume_id]) if attachment_id is None or attachment_id == one.id
    ]
    if not found and attachment_id is None:
        return None
    if not found:
        raise BadRequest(f"Volume {volume_id} has no attachment {attachment_id}.")
    if len(found) > 1:
        raise BadRequest(f"Volume {volume_id} has {len(found)} attachments; name the attachment_id of one.")
    attachment = found[0]
    if attachment.origin == "external" or attachment.server_id is None:
        return attachments.disconnect(tx, caller, attachment.id, forced=forced)
    if attachment.origin == "compute" and not caller.has_service_token:
        raise Conflict(
            f"Volume {volume_id} is held by server {attachment.server_id}; detach it there"
            f" (openstack server remove volume {attachment.server_id} {volume_id})."
        )
    return detach(tx, caller, attachment.server_id, volume_id)


def _mapping(tx: Transaction, server_id: str, volume_id: str) -> BlockDeviceMapping:
    found = queries.mapping_of(tx, server_id, volume_id)
    if found is None or found.attachment_id is None:
        raise NotFound.of("Volume attachment", volume_id)
    return found
