"""Moving a volume to another pool: os-migrate_volume, and os-retype where the volume's own pool does not fit the type.

The data is copied while nobody uses it, so the volume must be available, and without snapshots, which are in its pool.
"""

from sqlalchemy import select

from pumice.block import scheduling, volume_types
from pumice.block.guards import guard_older, lock
from pumice.block.model import Volume, VolumeType
from pumice.block.notifications import notify_volume
from pumice.block.operations.migrate_volume import MIGRATE_VOLUME, OLD_COPY, RETYPE_VOLUME, MigrateVolume
from pumice.block.volumes import get
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import pools, snapshots
from pumice.errors import BadRequest, InvalidField
from pumice.operations.model import Operation, OperationRow, exclusive
from pumice.operations.store import enqueue


def migrate(tx: Transaction, caller: Caller, volume_id: str, host: str) -> OperationRow:
    """Move the volume to the pool ("node1@fast#pool", or a backend's only one "node1@fast").

    Raises InvalidField (no such pool), BadRequest (it is there, or the pool refuses it, saying why; not available, or
    with snapshots), NotFound, Busy."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    volume = get(tx, caller, volume_id).volume
    statement = select(pools.c.name).where((pools.c.name == host) | (pools.c.backend == host))
    pool = tx.execute(statement).scalar_one_or_none()
    if pool is None:
        raise InvalidField("os-migrate_volume.host", host, "give a pool, as get_pools lists them")
    if pool == volume.pool:
        raise BadRequest(f"Volume {volume_id} is in pool {pool} already.")
    kind = volume_types.by_id(tx, volume.volume_type_id)
    notify_volume(tx, volume_id, "migrate.start", caller)
    return _move(tx, caller, volume, kind, MIGRATE_VOLUME, pool)


def retype(tx: Transaction, caller: Caller, volume: Volume, kind: VolumeType) -> OperationRow:
    """Give the volume that type in a pool that fits it. Called by `volume_changes.retype`, which has checked the rest.

    Raises BadRequest as `migrate`, saying why for each pool."""
    notify_volume(tx, volume.id, "retype.start", caller)
    return _move(tx, caller, volume, kind, RETYPE_VOLUME, None)


def _move(
    tx: Transaction,
    caller: Caller,
    volume: Volume,
    kind: VolumeType,
    operation: Operation[MigrateVolume],
    pool: str | None,
) -> OperationRow:
    guard_older(tx, "volume", volume.id, "migrate")
    statement = select(snapshots.c.id).where(snapshots.c.volume_id == volume.id, snapshots.c.deleted_at.is_(None))
    if tx.execute(statement).first() is not None:
        raise BadRequest(f"Volume {volume.id} has snapshots, which are in its pool; it cannot move without them.")
    if volume.backend is None:
        raise BadRequest(f"Volume {volume.id} is on no backend.")
    multiattach = kind.extra_specs.get("multiattach") == "<is> True"
    wish = scheduling.Wish(
        size=volume.size,
        extra_specs=kind.extra_specs,
        availability_zones=volume_types.zones_of(kind.extra_specs),
        moved_from=volume.backend,
        pool=pool,
        multiattach=multiattach,
    )
    chosen = scheduling.choose(tx, wish)
    if isinstance(chosen, scheduling.NoPool):
        raise BadRequest(f"Volume {volume.id} cannot move: {chosen.sentence}.")
    arguments = MigrateVolume(
        volume_id=volume.id,
        source=volume.backend,
        backend=chosen.pool.backend,
        pool=chosen.pool.name,
        availability_zone=chosen.availability_zone,
        size=volume.size,
        volume_type_id=None if operation is MIGRATE_VOLUME else kind.id,
        multiattach=multiattach,
    )
    claims = (exclusive("volume", volume.id), exclusive(OLD_COPY, volume.id))
    return enqueue(tx, operation, arguments, subject_id=volume.id, claims=claims, caller=caller)
