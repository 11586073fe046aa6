"""Taking data that is in a pool into management, and letting it go (Block Storage API: manage, unmanage).

What is let go stays in the pool as "volume-ID" or "_snapshot-ID"; those names, and those of files that an operator put
there, are what `source-name` means. Administrators only.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from pumice.block import default_types, quotas, scheduling, snapshots, volume_types, volumes
from pumice.block.guards import guard_older, lock
from pumice.block.model import Snapshot, VolumeType, VolumeWithAttachments
from pumice.block.notifications import notify_snapshot, notify_volume
from pumice.block.operations.manage_volume import (
    LIST_UNMANAGED,
    MANAGE_SNAPSHOT,
    MANAGE_VOLUME,
    UNMANAGE_SNAPSHOT,
    UNMANAGE_VOLUME,
    ListUnmanaged,
    Managed,
)
from pumice.block.services import VOLUME_BINARY, is_up, listed
from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.schema import pools, services
from pumice.db.schema import snapshots as snapshot_rows
from pumice.db.schema import volumes as volume_rows
from pumice.errors import BadRequest, InvalidField, Unavailable
from pumice.operations.model import OperationRow, exclusive, shared
from pumice.operations.store import enqueue

SNAPSHOT_PREFIX = "_snapshot-"


class WantedVolume(msgspec.Struct, frozen=True, kw_only=True):
    """What a volume that is taken in shall be; `host` is a pool or its backend."""

    host: str
    source_name: str
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    metadata: dict[str, str] = {}
    bootable: bool = False


class WantedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot that is taken in shall be, and of which volume."""

    volume_id: str
    source_name: str
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}


def manage(tx: Transaction, caller: Caller, wanted: WantedVolume) -> VolumeWithAttachments:
    """The volume, which is "managing" until its data is found; its size is known then, and counted.

    Raises InvalidField (no such pool), BadRequest (no project; the pool refuses the type or zone, saying why), NotFound
    (type), QuotaExceeded."""
    if caller.project_id is None:
        raise BadRequest("A volume belongs to a project: use a token that is scoped to one.")
    pool, backend, zone = _pool(tx, wanted.host)
    if wanted.volume_type:
        kind = volume_types.visible(tx, caller, wanted.volume_type)
    else:
        kind = default_types.for_project(tx, caller.project_id)
    added = quotas.Addition(volume_type_id=kind.id, volumes=1, gigabytes=1, volume_size=1)
    quotas.check(tx, caller.project_id, added)
    multiattach = kind.extra_specs.get("multiattach") == "<is> True"
    _refuse_unfit(tx, pool, kind, wanted.availability_zone, multiattach=multiattach)
    volume_id = new_id()
    row: dict[str, Any] = {
        "id": volume_id,
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "name": wanted.name,
        "description": wanted.description,
        "size": 1,
        "volume_type_id": kind.id,
        "availability_zone": zone,
        "backend": backend,
        "pool": pool,
        "metadata": wanted.metadata,
        "bootable": wanted.bootable,
        "multiattach": multiattach,
        "read_only": False,
        "consumes_quota": True,
        "life": "making",
        "status": "creating",
        "attach_status": "detached",
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(volume_rows.insert(), row)
    notify_volume(tx, volume_id, "manage_existing.start", caller)
    arguments = Managed(
        kind="volume", thing_id=volume_id, volume_id=volume_id, backend=backend, name=wanted.source_name
    )
    claims = (exclusive("volume", volume_id),)
    enqueue(tx, MANAGE_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)
    return volumes.shown(tx, volume_id)


def unmanage(tx: Transaction, caller: Caller, volume_id: str) -> None:
    """Forget the volume, and keep its data. Raises BadRequest (not available, or with snapshots), NotFound, Busy."""
    volumes.get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    guard_older(tx, "volume", volume_id, "unmanage")
    volume = volumes.shown(tx, volume_id).volume
    has = select(snapshot_rows.c.id).where(snapshot_rows.c.volume_id == volume_id, snapshot_rows.c.deleted_at.is_(None))
    if tx.execute(has).first() is not None:
        raise BadRequest(f"Volume {volume_id} has snapshots; unmanage or delete them first.")
    if volume.backend is None or volume.life != "there":
        raise BadRequest(f"Volume {volume_id} has no data to keep; delete it.")
    notify_volume(tx, volume_id, "unmanage.start", caller)
    name = f"volume-{volume_id}"
    arguments = Managed(kind="volume", thing_id=volume_id, volume_id=volume_id, backend=volume.backend, name=name)
    claims = (exclusive("volume", volume_id),)
    enqueue(tx, UNMANAGE_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)


def manage_snapshot(tx: Transaction, caller: Caller, wanted: WantedSnapshot) -> Snapshot:
    """The snapshot, which is "creating" until its data is found.

    Raises BadRequest (the volume is not available or in use), QuotaExceeded, NotFound."""
    volumes.get(tx, caller, wanted.volume_id)
    lock(tx, "volume", wanted.volume_id)
    guard_older(tx, "volume", wanted.volume_id, "snapshot")
    volume = volumes.shown(tx, wanted.volume_id).volume
    if volume.backend is None:
        raise BadRequest(f"Volume {volume.id} is on no backend.")
    added = quotas.Addition(volume_type_id=volume.volume_type_id, snapshots=1, gigabytes=volume.size)
    quotas.check(tx, volume.project_id, added)
    snapshot_id = new_id()
    row = {
        "id": snapshot_id,
        "volume_id": volume.id,
        "project_id": volume.project_id,
        "user_id": caller.user_id,
        "name": wanted.name,
        "description": wanted.description,
        "size": volume.size,
        "backend": volume.backend,
        "metadata": wanted.metadata,
        "consumes_quota": True,
        "life": "making",
        "status": "creating",
        "progress": "0%",
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(snapshot_rows.insert(), row)
    notify_snapshot(tx, snapshot_id, "create.start", caller)
    arguments = Managed(
        kind="snapshot",
        thing_id=snapshot_id,
        volume_id=volume.id,
        backend=volume.backend,
        name=wanted.source_name,
        largest=volume.size,
    )
    claims = (exclusive("snapshot", snapshot_id), shared("volume", volume.id))
    enqueue(tx, MANAGE_SNAPSHOT, arguments, subject_id=snapshot_id, claims=claims, caller=caller)
    return snapshots.known(tx, snapshot_id)


def unmanage_snapshot(tx: Transaction, caller: Caller, snapshot_id: str) -> None:
    """Forget the snapshot, and keep its data. Raises BadRequest (not available), NotFound, Busy."""
    snapshot = snapshots.get(tx, caller, snapshot_id)
    guard_older(tx, "snapshot", snapshot_id, "unmanage")
    notify_snapshot(tx, snapshot_id, "delete.start", caller)
    arguments = Managed(
        kind="snapshot",
        thing_id=snapshot_id,
        volume_id=snapshot.volume_id,
        backend=snapshot.backend,
        name=f"{SNAPSHOT_PREFIX}{snapshot_id}",
    )
    claims = (exclusive("snapshot", snapshot_id),)
    enqueue(tx, UNMANAGE_SNAPSHOT, arguments, subject_id=snapshot_id, claims=claims, caller=caller)


def look(tx: Transaction, caller: Caller, host: str) -> OperationRow:
    """Ask the backend what could be taken in: the operation to wait for.

    Raises InvalidField (no such pool), Unavailable (nobody would answer)."""
    _, backend, _ = _pool(tx, host)
    for service in listed(tx, binary=VOLUME_BINARY, host=backend):
        if not is_up(service, tx.now):
            reasons = "; ".join(str(problem["sentence"]) for problem in service.problems)
            raise Unavailable(f"Backend {backend} is down{f': {reasons}' if reasons else ''}; try again later.")
    arguments = ListUnmanaged(backend=backend)
    return enqueue(tx, LIST_UNMANAGED, arguments, subject_id=new_id(), claims=(), caller=caller)


def managed_on(tx: Transaction, backend: str, kind: str) -> Sequence[Any]:
    """(id, size in GiB) of what is managed there, for the same list; a snapshot's row has its volume's id too."""
    table = volume_rows if kind == "volume" else snapshot_rows
    owner = table.c.id if kind == "volume" else snapshot_rows.c.volume_id
    statement = select(table.c.id, table.c.size, owner.label("volume_id")).where(
        table.c.backend == backend, table.c.deleted_at.is_(None)
    )
    return tx.execute(statement.order_by(table.c.id)).all()


def _refuse_unfit(tx: Transaction, pool: str, kind: VolumeType, zone: str | None, *, multiattach: bool) -> None:
    """A volume of that type could not be made there either. The data is there already, so no space is asked for."""
    wish = scheduling.Wish(
        size=0,
        extra_specs=kind.extra_specs,
        availability_zones=volume_types.zones_of(kind.extra_specs) if zone is None else (zone,),
        multiattach=multiattach,
    )
    reason = scheduling.refusal_of(tx, pool, wish)
    if reason is not None:
        raise BadRequest(f"Pool {pool} cannot host a volume of type {kind.name}: {reason}.")


def _pool(tx: Transaction, host: str) -> tuple[str, str, str]:
    """(pool, backend, zone) of a pool's or backend's name. Raises InvalidField."""
    statement = (
        select(pools.c.name, pools.c.backend, services.c.availability_zone)
        .join(services, services.c.id == pools.c.service_id)
        .where((pools.c.name == host) | (pools.c.backend == host))
    )
    rows = tx.execute(statement).all()
    if len(rows) != 1:
        raise InvalidField("host", host, "give a pool, as get_pools lists them")
    row = rows[0]
    return row.name, row.backend, row.availability_zone
