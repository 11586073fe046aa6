"""Attach a volume to a server, running or not (design 5; stories 3 and 4).

    export    the backend's target makes it reachable for the host; connection info is stored     undo: take it away
    plug      the hypervisor has the disk, observed in its definitions                            undo: take it out
    finish    the attachment is attached, the volume in-use

A server that is on no host (shelved and offloaded) only has the last step: its volumes are exported when it is
unshelved. Whatever a detach needs is durable before the attachment can be seen attached. When it fails, everything is
undone, and the reason is on the attachment, in the server's actions and in the volume's messages.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from pumice.block import queries as block_queries
from pumice.block.attachment_facts import record_attached, record_connected, record_released
from pumice.block.operations.connect_attachment import export_volume, unexport_volume
from pumice.block.operations.settling import at_backend, settle_volume, tell_user
from pumice.compute import queries
from pumice.compute.notifications import notify_server
from pumice.compute.operations.settling import at_host, finish_action, forget_mapping, settle_server, unplug_volume
from pumice.db.engine import Transaction
from pumice.hypervisors.contract import Disk
from pumice.operations.model import Operation, Run, Step, StepFailed, caller_of


class AttachVolume(msgspec.Struct, frozen=True, kw_only=True):
    """`device` as the API shows it, e.g. "/dev/sdb"; `bus` "scsi" or "virtio"."""

    attachment_id: str
    volume_id: str
    server_id: str
    host: str
    backend: str
    device: str
    event_id: str
    bus: str = "scsi"
    read_only: bool = False
    shareable: bool = False


def disk_of(wanted: AttachVolume, connection_info: dict[str, Any]) -> Disk:
    """The disk as the hypervisor is told of it."""
    return Disk(
        serial=wanted.volume_id,
        connection_info=connection_info,
        bus=wanted.bus,
        device=wanted.device,
        read_only=wanted.read_only,
        shareable=wanted.shareable,
    )


def export(run: Run[AttachVolume]) -> dict[str, Any]:
    """The connector that was told, and the connection info."""
    wanted = run.arguments
    with run.database.read() as tx:
        host = queries.host(tx, wanted.host)
    if host is None:
        raise StepFailed(f"compute host {wanted.host} has never reported")
    connector = {**host.connector, "mountpoint": wanted.device}
    info = export_volume(run.world, wanted.backend, wanted.volume_id, wanted.attachment_id, connector, wanted.read_only)
    return {"connector": connector, "connection_info": info}


def record_export(tx: Transaction, run: Run[AttachVolume]) -> None:
    wanted, exported = run.arguments, run.results["export"]
    record_connected(
        tx,
        wanted.attachment_id,
        host=wanted.host,
        connector=exported["connector"],
        connection_info=exported["connection_info"],
        device=wanted.device,
    )
    # What is stored with the operation can be read by administrators: the secret stays in the attachment only.
    cast(dict[str, Any], run.results)["export"] = {"host": wanted.host}


def unexport(run: Run[AttachVolume]) -> None:
    wanted = run.arguments
    unexport_volume(run.world, wanted.backend, wanted.volume_id, wanted.attachment_id)


def plug(run: Run[AttachVolume]) -> Mapping[str, Any]:
    with run.database.read() as tx:
        attachment = block_queries.attachment(tx, run.arguments.attachment_id)
    if attachment is None or attachment.connection_info is None:
        raise StepFailed(f"attachment {run.arguments.attachment_id} is not connected")
    disk = disk_of(run.arguments, attachment.connection_info)
    seen = run.world.hypervisor.attach(run.arguments.server_id, disk, run.world.attach_deadline)
    return {"device": seen.device, "live": seen.live, "stored": seen.stored}


def unplug(run: Run[AttachVolume]) -> None:
    unplug_volume(run)


def mark_attached(tx: Transaction, run: Run[AttachVolume]) -> None:
    wanted = run.arguments
    record_attached(tx, wanted.attachment_id, caller_of(run.row))
    finish_action(tx, run)
    notify_server(tx, wanted.server_id, "volume.attach", caller_of(run.row), {"volume_id": wanted.volume_id})


def fail(tx: Transaction, run: Run[AttachVolume], reason: str) -> None:
    """Nothing is left but the reason. Cancelled by a detach it is no error of the volume's."""
    wanted = run.arguments
    record_released(tx, wanted.attachment_id, caller_of(run.row), failure=reason)
    forget_mapping(tx, wanted.attachment_id)
    finish_action(tx, run, reason)
    if not run.row.cancel_requested:
        tell_user(tx, run.row, "volume", wanted.volume_id, "attach volume", reason)


def settle(tx: Transaction, run: Run[AttachVolume]) -> None:
    settle_volume(tx, run)
    settle_server(tx, run)


ATTACH_VOLUME = Operation(
    "server.attach_volume",
    AttachVolume,
    "attachment",
    steps=(
        Step("export", do=export, record=record_export, undo=unexport, at=at_backend),
        Step("plug", do=plug, undo=unplug, at=at_host),
        Step("finish", record=mark_attached),
    ),
    failed=fail,
    settle=settle,
)
ATTACH_OFFLOADED = Operation(
    "server.attach_offloaded",
    AttachVolume,
    "attachment",
    steps=(Step("finish", record=mark_attached),),
    failed=fail,
    settle=settle,
)
