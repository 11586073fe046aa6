"""Detach a volume from a server, running or not. Asked at any moment, also while the attach still runs (story 3).

    take      its turn: whatever holds the attachment (an attach that was told to turn back) has ended
    unplug    the hypervisor's definitions have no such disk            undo: it is in both again
              then, in the same transaction, the rest is handed over to `attachment.disconnect`, which only goes
              forward: the backend takes the export away, the attachment is released, the volume available

When the guest does not let go, the volume stays attached and in-use, and the reason is told.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from pumice.block import queries as block_queries
from pumice.block.model import Attachment
from pumice.block.operations.disconnect_attachment import DISCONNECT_ATTACHMENT, DisconnectAttachment
from pumice.block.operations.settling import settle_volume, tell_user
from pumice.compute.notifications import notify_server
from pumice.compute.operations.settling import (
    at_host,
    finish_action,
    forget_mapping,
    is_going,
    settle_server,
    take_turn,
    unplug_volume,
)
from pumice.db.engine import Transaction
from pumice.hypervisors.contract import Disk
from pumice.operations import store
from pumice.operations.model import Operation, Run, Step, caller_of, exclusive, shared


class DetachVolume(msgspec.Struct, frozen=True, kw_only=True):
    """Which attachment, of which volume to which server; `bus` in case it must be put back."""

    attachment_id: str
    volume_id: str
    server_id: str
    host: str | None
    backend: str
    event_id: str
    bus: str = "scsi"


def take(tx: Transaction, run: Run[DetachVolume]) -> None:
    wanted = run.arguments
    take_turn(tx, run, (exclusive("attachment", wanted.attachment_id), shared("server", wanted.server_id)))


def _attachment(run: Run[DetachVolume]) -> Attachment | None:
    """None: the attach before us was undone. Another attachment of the same volume is none of ours."""
    with run.database.read() as tx:
        return block_queries.attachment(tx, run.arguments.attachment_id)


def unplug(run: Run[DetachVolume]) -> Mapping[str, Any]:
    found = _attachment(run)
    if found is None:
        return {"was": "released"}
    if run.world.hypervisor is not None:
        unplug_volume(run)
    return {"was": found.stage}


def replug(run: Run[DetachVolume]) -> None:
    """The guest refused, or we were told to turn back: the disk is in both definitions, as it was. A server that is
    being deleted is left to that."""
    if is_going(run):
        return
    found = _attachment(run)
    if found is None or found.stage != "attached" or found.connection_info is None:
        return
    disk = Disk(
        serial=found.volume_id,
        connection_info=found.connection_info,
        bus=run.arguments.bus,
        device=found.device,
        read_only=found.mode == "ro",
        shareable=found.shared,
    )
    run.world.hypervisor.attach(run.arguments.server_id, disk, run.world.attach_deadline)


def hand_over(tx: Transaction, run: Run[DetachVolume]) -> None:
    wanted, caller = run.arguments, caller_of(run.row)
    forget_mapping(tx, wanted.attachment_id)
    finish_action(tx, run)
    notify_server(tx, wanted.server_id, "volume.detach", caller, {"volume_id": wanted.volume_id})
    store.give_up(tx, run.operation_id, "attachment", wanted.attachment_id)
    if block_queries.attachment(tx, wanted.attachment_id) is not None:
        rest = DisconnectAttachment(
            attachment_id=wanted.attachment_id, volume_id=wanted.volume_id, backend=wanted.backend
        )
        claims = (exclusive("attachment", wanted.attachment_id),)
        store.enqueue(tx, DISCONNECT_ATTACHMENT, rest, subject_id=wanted.attachment_id, claims=claims, caller=caller)


def fail(tx: Transaction, run: Run[DetachVolume], reason: str) -> None:
    """It stays attached, and the reason is told."""
    finish_action(tx, run, reason)
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "detach volume", reason)


def settle(tx: Transaction, run: Run[DetachVolume]) -> None:
    settle_volume(tx, run)
    settle_server(tx, run)


DETACH_VOLUME = Operation(
    "server.detach_volume",
    DetachVolume,
    "attachment",
    steps=(
        Step("take", record=take, at=at_host),
        Step("unplug", do=unplug, record=hand_over, undo=replug, at=at_host),
    ),
    failed=fail,
    settle=settle,
)
