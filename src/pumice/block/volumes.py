"""Volumes: who may see one, show, update, delete, extend. Service functions: one transaction each, called by the faces.

A function writes the facts, enqueues the operation that makes them true, and announces it, all or nothing. What the
caller may not see is missing (`NotFound`), whatever it is. They are made in `volume_creation`.
"""

from typing import Any

from sqlalchemy import select, update

from pumice.block import queries, quotas, scheduling
from pumice.block.facts import live_operations
from pumice.block.guards import guard_older, lock
from pumice.block.model import MAX_SIZE, VolumeWithAttachments
from pumice.block.notifications import notify_volume
from pumice.block.operations.delete_volume import DELETE_VOLUME, DeleteVolume
from pumice.block.operations.extend_volume import EXTEND_VOLUME, ExtendVolume
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import snapshots, volumes
from pumice.errors import BadRequest, Conflict, InvalidField, NotFound
from pumice.operations.model import exclusive
from pumice.operations.store import enqueue


def get(tx: Transaction, caller: Caller, volume_id: str) -> VolumeWithAttachments:
    """A volume of the caller's project, or any for an administrator. Raises NotFound."""
    found = queries.volume_with_attachments(tx, volume_id)
    if found is None or not may_see(caller, found.volume.project_id):
        raise NotFound.of("Volume", volume_id)
    return found


def may_see(caller: Caller, project_id: str) -> bool:
    """Tenants see their own; administrators and services everything."""
    return caller.is_admin or caller.project_id == project_id or caller.has_service_token


def shown(tx: Transaction, volume_id: str) -> VolumeWithAttachments:
    """A volume that is known to be there, as its views show it."""
    found = queries.volume_with_attachments(tx, volume_id)
    if found is None:
        raise NotFound.of("Volume", volume_id)
    return found


def rename(tx: Transaction, caller: Caller, volume_id: str, changes: dict[str, Any]) -> VolumeWithAttachments:
    """Change name, description or metadata (replacing it). `changes` holds only what was sent. Raises NotFound."""
    get(tx, caller, volume_id)
    notify_volume(tx, volume_id, "update.start", caller)
    if changes:
        tx.execute(update(volumes).where(volumes.c.id == volume_id).values(**changes, updated_at=tx.now))
    notify_volume(tx, volume_id, "update.end", caller)
    return shown(tx, volume_id)


def set_metadata(
    tx: Transaction, caller: Caller, volume_id: str, metadata: dict[str, str], *, replace: bool
) -> dict[str, str]:
    """Merge into the volume's metadata, or replace all of it; what it is then. Raises NotFound."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    volume = shown(tx, volume_id).volume
    merged = dict(metadata) if replace else {**volume.metadata, **metadata}
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(metadata=merged, updated_at=tx.now))
    return merged


def delete_metadata(tx: Transaction, caller: Caller, volume_id: str, key: str) -> None:
    """Remove one key. Raises NotFound for the volume or the key."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    volume = shown(tx, volume_id).volume
    if key not in volume.metadata:
        raise NotFound.of("Metadata item", key)
    rest = {name: value for name, value in volume.metadata.items() if name != key}
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(metadata=rest, updated_at=tx.now))


def set_bootable(tx: Transaction, caller: Caller, volume_id: str, bootable: bool) -> None:
    """Say whether servers may boot from it. Raises NotFound."""
    get(tx, caller, volume_id)
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(bootable=bootable, updated_at=tx.now))


def delete(tx: Transaction, caller: Caller, volume_id: str, *, cascade: bool = False) -> None:
    """Delete a volume; with cascade its snapshots too. Deleting one that is being deleted is success; one that only
    bears the mark "deleting" is not being deleted.

    Raises BadRequest (attached, or has snapshots), NotFound."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    found = shown(tx, volume_id)
    volume = found.volume
    if volume.status == "deleting" and live_operations(tx, "volume", volume_id):
        return
    statement = select(snapshots.c.id).where(snapshots.c.volume_id == volume_id, snapshots.c.deleted_at.is_(None))
    snapshot_ids = tuple(tx.execute(statement).scalars())
    if snapshot_ids and not cascade:
        raise BadRequest(
            f"Volume {volume_id} has {len(snapshot_ids)} snapshot{'s' * (len(snapshot_ids) > 1)}; delete them first, or"
            " delete with cascade=true."
        )
    guard_older(tx, "volume", volume_id, "delete")
    if found.attachments:
        where = found.attachments[0].server_id or found.attachments[0].host or "a host"
        raise BadRequest(f"Volume {volume_id} is {volume.status}, attached to {where}; detach it first.")
    for snapshot_id in snapshot_ids:
        guard_older(tx, "snapshot", snapshot_id, "delete")
    notify_volume(tx, volume_id, "delete.start", caller)
    arguments = DeleteVolume(volume_id=volume_id, backend=volume.backend, snapshot_ids=snapshot_ids)
    claims = (exclusive("volume", volume_id), *(exclusive("snapshot", one) for one in snapshot_ids))
    enqueue(tx, DELETE_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)


def extend(tx: Transaction, caller: Caller, volume_id: str, new_size: int, *, in_use_allowed: bool) -> None:
    """Grow a volume to new_size GiB; in use only where the version allows (3.42).

    Raises InvalidField, BadRequest (also where the pool has no room, saying so), QuotaExceeded, NotFound."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    found = shown(tx, volume_id)
    volume = found.volume
    if new_size <= volume.size:
        raise InvalidField("new_size", new_size, f"the new size must be greater than the present {volume.size} GiB")
    if new_size > MAX_SIZE:
        raise InvalidField("new_size", new_size, f"at most {MAX_SIZE} GiB")
    guard_older(tx, "volume", volume_id, "extend in use" if in_use_allowed else "extend")
    if volume.consumes_quota:
        grown = new_size - volume.size
        added = quotas.Addition(volume_type_id=volume.volume_type_id, gigabytes=grown, volume_size=new_size)
        quotas.check(tx, volume.project_id, added)
    if volume.backend is None or volume.pool is None:
        raise Conflict(f"Volume {volume_id} is on no backend.")
    full = scheduling.no_room(tx, volume.pool, new_size - volume.size)
    if full is not None:
        raise BadRequest(f"Volume {volume_id} cannot grow by {new_size - volume.size} GiB: pool {volume.pool}: {full}.")
    guests = tuple(
        (attachment.host, attachment.server_id)
        for attachment in found.attachments
        if attachment.origin != "external" and attachment.host and attachment.server_id
    )
    notify_volume(tx, volume_id, "resize.start", caller)
    arguments = ExtendVolume(
        volume_id=volume_id, backend=volume.backend, old_size=volume.size, new_size=new_size, guests=guests
    )
    claims = (exclusive("volume", volume_id),)
    enqueue(tx, EXTEND_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)
