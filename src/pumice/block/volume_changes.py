"""Changes of a volume that need nobody but its row: read-only, image metadata, another type on the same pool."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update

from pumice.block import capability_specs, migrations, queries, quotas, volume_types
from pumice.block.guards import guard_older, lock
from pumice.block.model import Pool, Volume
from pumice.block.notifications import notify_volume
from pumice.block.volumes import get
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import pools, volumes
from pumice.errors import BadRequest, InvalidField, NotFound


def set_read_only(tx: Transaction, caller: Caller, volume_id: str, read_only: bool) -> None:
    """Servers get it read-only from now on. Raises BadRequest (not available), NotFound."""
    get(tx, caller, volume_id)
    guard_older(tx, "volume", volume_id, "a change of the read-only flag")
    _store(tx, volume_id, {"read_only": read_only, "read_only_told": True})


def set_image_metadata(tx: Transaction, caller: Caller, volume_id: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """Merge into what is known of the image that the volume was made of; all of it then.

    Raises NotFound, InvalidField."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    volume = get(tx, caller, volume_id).volume
    for key, value in metadata.items():
        if not 1 <= len(key) <= 255:
            raise InvalidField("metadata", key, "a key has 1 to 255 characters")
        if len(value) > 255:
            raise InvalidField(f"metadata.{key}", value, "at most 255 characters")
    merged = {**(volume.image_metadata or {}), **metadata}
    _store(tx, volume_id, {"image_metadata": merged})
    return merged


def unset_image_metadata(tx: Transaction, caller: Caller, volume_id: str, key: str) -> None:
    """Forget one key. Raises NotFound for the volume or the key."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    volume = get(tx, caller, volume_id).volume
    known = volume.image_metadata or {}
    if key not in known:
        raise NotFound.of("Image metadata item", key)
    _store(tx, volume_id, {"image_metadata": {name: value for name, value in known.items() if name != key} or None})


def retype(tx: Transaction, caller: Caller, volume_id: str, name_or_id: str, *, may_move: bool = False) -> None:
    """Give the volume another type: at once where its pool is what that type asks for; else, with may_move, it moves
    to a pool that is.

    Raises BadRequest (it has that type, or no pool fits, saying why), NotFound, QuotaExceeded, Busy."""
    volume = get(tx, caller, volume_id).volume
    try:
        kind = volume_types.visible(tx, caller, name_or_id)
    except NotFound as error:
        raise BadRequest(error.message) from error
    if kind.id == volume.volume_type_id:
        raise BadRequest(f"Volume {volume_id} is of type {kind.name} already.")
    guard_older(tx, "volume", volume_id, "retype")
    multiattach = kind.extra_specs.get("multiattach") == "<is> True"
    if multiattach != volume.multiattach and volume.attach_status != "detached":
        raise BadRequest(f"Volume {volume_id} is attached: its multiattach cannot change.")
    pool = _pool(tx, volume)
    if volume.consumes_quota:
        quotas.check_type(tx, volume.project_id, kind.id, volume.size)
    refusal = capability_specs.refusal(kind.extra_specs, pool)
    if refusal is not None and may_move:
        migrations.retype(tx, caller, volume, kind)
        return
    if refusal is not None:
        raise BadRequest(
            f"Volume {volume_id} cannot become {kind.name} where it is: pool {pool.name}: {refusal}."
            " The migration policy on-demand moves it."
        )
    notify_volume(tx, volume_id, "retype.start", caller)
    _store(tx, volume_id, {"volume_type_id": kind.id, "multiattach": multiattach})
    notify_volume(tx, volume_id, "retype.end", caller)


def _pool(tx: Transaction, volume: Volume) -> Pool:
    row = tx.execute(select(*queries.POOL).where(pools.c.name == volume.pool)).one_or_none()
    if row is None:
        raise BadRequest(f"Volume {volume.id} is on no pool.")
    return Pool(*row)


def _store(tx: Transaction, volume_id: str, values: dict[str, Any]) -> None:
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(**values, updated_at=tx.now))
