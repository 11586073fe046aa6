"""Snapshots: create (of a volume in use too), show, update, delete."""

from typing import Any

from sqlalchemy import select, update

from pumice.block import queries, quotas
from pumice.block.facts import live_operations
from pumice.block.guards import guard_older, lock
from pumice.block.model import Snapshot, Volume
from pumice.block.notifications import notify_snapshot
from pumice.block.operations.create_snapshot import CREATE_SNAPSHOT, CreateSnapshot
from pumice.block.operations.delete_snapshot import DELETE_SNAPSHOT, DeleteSnapshot
from pumice.block.volumes import get as get_volume
from pumice.block.volumes import may_see
from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.schema import pools, snapshots
from pumice.errors import BadRequest, NotFound
from pumice.operations.model import exclusive, shared
from pumice.operations.store import enqueue


def create(
    tx: Transaction,
    caller: Caller,
    volume_id: str,
    *,
    name: str | None,
    description: str | None,
    metadata: dict[str, str],
    in_use_allowed: bool,
) -> Snapshot:
    """Take a snapshot. in_use_allowed: `force`, or version 3.66, which needs none.

    Raises BadRequest, QuotaExceeded, NotFound."""
    get_volume(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    found = get_volume(tx, caller, volume_id)
    volume = found.volume
    if volume.status == "in-use" and not in_use_allowed:
        raise BadRequest(f"Volume {volume_id} is in-use; a snapshot of it needs force=true (or API version 3.66).")
    guard_older(tx, "volume", volume_id, "snapshot")
    if volume.backend is None:
        raise BadRequest(f"Volume {volume_id} is on no backend.")
    added = quotas.Addition(volume_type_id=volume.volume_type_id, snapshots=1, gigabytes=volume.size)
    quotas.check(tx, volume.project_id, added)
    snapshot_id = new_id()
    tx.execute(
        snapshots.insert(),
        {
            "id": snapshot_id,
            "volume_id": volume_id,
            "project_id": volume.project_id,
            "user_id": caller.user_id,
            "name": name,
            "description": description,
            "size": volume.size,
            "backend": volume.backend,
            "metadata": metadata,
            "consumes_quota": True,
            "life": "making",
            "status": "creating",
            "progress": "0%",
            "created_at": tx.now,
            "updated_at": tx.now,
        },
    )
    notify_snapshot(tx, snapshot_id, "create.start", caller)
    guest = next(((one.host, one.server_id) for one in found.attachments if one.host and one.server_id), None)
    paused = None if guest is None or _is_atomic(tx, volume) else guest
    arguments = CreateSnapshot(snapshot_id=snapshot_id, volume_id=volume_id, backend=volume.backend, paused=paused)
    claims = [exclusive("snapshot", snapshot_id), shared("volume", volume_id)]
    if paused is not None:
        claims.append(shared("server", paused[1]))  # nobody starts, stops or deletes the guest meanwhile
    enqueue(tx, CREATE_SNAPSHOT, arguments, subject_id=snapshot_id, claims=claims, caller=caller)
    return known(tx, snapshot_id)


def get(tx: Transaction, caller: Caller, snapshot_id: str) -> Snapshot:
    """A snapshot that the caller may see. Raises NotFound."""
    found = queries.snapshot(tx, snapshot_id)
    if found is None or not may_see(caller, found.project_id):
        raise NotFound.of("Snapshot", snapshot_id)
    return found


def known(tx: Transaction, snapshot_id: str) -> Snapshot:
    """A snapshot that is there, whoever asks. Raises NotFound."""
    found = queries.snapshot(tx, snapshot_id)
    if found is None:
        raise NotFound.of("Snapshot", snapshot_id)
    return found


def rename(tx: Transaction, caller: Caller, snapshot_id: str, changes: dict[str, Any]) -> Snapshot:
    """Change name, description or metadata. `changes` holds only what was sent. Raises NotFound."""
    get(tx, caller, snapshot_id)
    notify_snapshot(tx, snapshot_id, "update.start", caller)
    if changes:
        tx.execute(update(snapshots).where(snapshots.c.id == snapshot_id).values(**changes, updated_at=tx.now))
    notify_snapshot(tx, snapshot_id, "update.end", caller)
    return known(tx, snapshot_id)


def set_metadata(
    tx: Transaction, caller: Caller, snapshot_id: str, metadata: dict[str, str], *, replace: bool
) -> dict[str, str]:
    """Merge into the snapshot's metadata, or replace all of it; what it is then. Raises NotFound."""
    get(tx, caller, snapshot_id)
    lock(tx, "snapshot", snapshot_id)
    snapshot = known(tx, snapshot_id)
    merged = dict(metadata) if replace else {**snapshot.metadata, **metadata}
    tx.execute(update(snapshots).where(snapshots.c.id == snapshot_id).values(metadata=merged, updated_at=tx.now))
    return merged


def delete_metadata(tx: Transaction, caller: Caller, snapshot_id: str, key: str) -> None:
    """Remove one key. Raises NotFound for the snapshot or the key."""
    get(tx, caller, snapshot_id)
    lock(tx, "snapshot", snapshot_id)
    snapshot = known(tx, snapshot_id)
    if key not in snapshot.metadata:
        raise NotFound.of("Metadata item", key)
    rest = {name: value for name, value in snapshot.metadata.items() if name != key}
    tx.execute(update(snapshots).where(snapshots.c.id == snapshot_id).values(metadata=rest, updated_at=tx.now))


def delete(tx: Transaction, caller: Caller, snapshot_id: str) -> None:
    """Delete a snapshot. Deleting one that is being deleted is success. Raises BadRequest, NotFound, Busy."""
    snapshot = get(tx, caller, snapshot_id)
    if snapshot.status == "deleting" and live_operations(tx, "snapshot", snapshot_id):
        return
    guard_older(tx, "snapshot", snapshot_id, "delete")
    notify_snapshot(tx, snapshot_id, "delete.start", caller)
    arguments = DeleteSnapshot(snapshot_id=snapshot_id, volume_id=snapshot.volume_id, backend=snapshot.backend)
    claims = (exclusive("snapshot", snapshot_id),)
    enqueue(tx, DELETE_SNAPSHOT, arguments, subject_id=snapshot_id, claims=claims, caller=caller)


def _is_atomic(tx: Transaction, volume: Volume) -> bool:
    """The volume's pool takes a point in time of a volume that is being written to."""
    capabilities = tx.execute(select(pools.c.capabilities).where(pools.c.name == volume.pool)).scalar_one_or_none()
    return bool(capabilities and capabilities.get("atomic_snapshot"))
