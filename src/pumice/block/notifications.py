"""Notifications of block storage: payloads as Cinder's consumers know them, written in the transaction of the change.

Never in a payload: connector, connection info, or anything else that a consumer must not see.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pumice.block import queries
from pumice.block.model import Attachment, Snapshot, Volume, VolumeNow
from pumice.caller import Caller
from pumice.clock import isoformat
from pumice.db.engine import Transaction
from pumice.metering.events import emit


def volume_payload(volume: Volume, attachments: Sequence[Attachment] = ()) -> dict[str, Any]:
    """The payload of volume.* notifications; `volume_type` is the type's id, as consumers expect."""
    payload: dict[str, Any] = {
        "tenant_id": volume.project_id,
        "host": volume.pool or volume.backend,
        "user_id": volume.user_id,
        "availability_zone": volume.availability_zone,
        "volume_id": volume.id,
        "volume_type": volume.volume_type_id,
        "display_name": volume.name,
        "launched_at": isoformat(volume.launched_at) or "",
        "created_at": isoformat(volume.created_at),
        "status": volume.status,
        "snapshot_id": volume.snapshot_id,
        "size": volume.size,
        "replication_status": "disabled",
        "replication_extended_status": None,
        "replication_driver_data": None,
        "metadata": volume.metadata,
        "volume_attachment": [attachment_payload(attachment) for attachment in attachments],
    }
    if volume.image_metadata:
        payload["glance_metadata"] = [{"key": key, "value": value} for key, value in volume.image_metadata.items()]
    return payload


def attachment_payload(attachment: Attachment) -> dict[str, Any]:
    """One entry of `volume_attachment`. `server_id` is what Ceilometer's map reads, `instance_uuid` Cinder's name."""
    return {
        "id": attachment.id,
        "volume_id": attachment.volume_id,
        "server_id": attachment.server_id,
        "instance_uuid": attachment.server_id,
        "attached_host": attachment.host,
        "mountpoint": attachment.device,
        "attach_mode": attachment.mode,
        "attach_status": attachment.attach_status,
        "attach_time": isoformat(attachment.attached_at),
        "detach_time": isoformat(attachment.detached_at),
    }


def snapshot_payload(snapshot: Snapshot, availability_zone: str) -> dict[str, Any]:
    """The payload of snapshot.* notifications; `metadata` is a text, as consumers expect."""
    return {
        "tenant_id": snapshot.project_id,
        "user_id": snapshot.user_id,
        "availability_zone": availability_zone,
        "volume_id": snapshot.volume_id,
        "volume_size": snapshot.size,
        "snapshot_id": snapshot.id,
        "display_name": snapshot.name,
        "created_at": isoformat(snapshot.created_at),
        "status": snapshot.status,
        "deleted": isoformat(snapshot.deleted_at) or "",
        "metadata": str(snapshot.metadata),
    }


def notify_volume(
    tx: Transaction,
    volume_id: str,
    event: str,
    caller: Caller,
    extra: Mapping[str, Any] | None = None,
    *,
    now: VolumeNow | None = None,
) -> None:
    """Write `volume.<event>`, e.g. "create.start", of the volume as it is now (a deleted one too).

    now: what it is, where the caller has just read it."""
    now = now or queries.volume_now(tx, volume_id)
    if now is None:
        return
    volume = now.volume
    emit(
        tx,
        f"volume.{event}",
        {**volume_payload(volume, now.attachments), **(extra or {})},
        caller=caller,
        resource_id=volume.id,
        project_id=volume.project_id,
        publisher=f"volume.{volume.backend or 'scheduler'}",
    )


def notify_snapshot(tx: Transaction, snapshot_id: str, event: str, caller: Caller) -> None:
    """Write `snapshot.<event>` of the snapshot as it is now (a deleted one too)."""
    snapshot = queries.snapshot_even_deleted(tx, snapshot_id)
    if snapshot is None:
        return
    volume = queries.volume_even_deleted(tx, snapshot.volume_id)
    emit(
        tx,
        f"snapshot.{event}",
        snapshot_payload(snapshot, volume.availability_zone if volume else ""),
        caller=caller,
        resource_id=snapshot.id,
        project_id=snapshot.project_id,
        publisher=f"snapshot.{snapshot.backend}",
    )
