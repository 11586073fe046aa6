"""Move a volume that nobody uses to another pool of the same agent, and with it to another type where that was asked.

    copy      the other pool has a copy of the data                                      undo: remove it
    switch    the volume is there; what is left in the old pool is handed to `volume.remove_copy`

    volume.migrate      os-migrate_volume               volume.retype      os-retype with migration_policy on-demand

Up to the switch nothing is lost by turning back; behind it the volume has moved, whatever becomes of the old copy.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import update

from pumice.block.model import GIB
from pumice.block.notifications import notify_volume
from pumice.block.operations.settling import at_backend, settle_volume, tell_user
from pumice.db.engine import Transaction
from pumice.db.schema import volumes
from pumice.operations.model import Operation, Run, Step, StepFailed, backend_place, caller_of, exclusive
from pumice.operations.store import enqueue, give_up

OLD_COPY = "old copy"
"""What the removal claims (with the volume's id): the volume does not move back into the old pool before its end."""


class MigrateVolume(msgspec.Struct, frozen=True, kw_only=True):
    """From one backend to another's pool; `size` in GiB. volume_type_id None: the type stays."""

    volume_id: str
    source: str
    backend: str
    pool: str
    availability_zone: str
    size: int
    volume_type_id: str | None = None
    multiattach: bool = False


class RemoveCopy(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a volume in the pool that it was in."""

    volume_id: str
    backend: str


def at_source(arguments: RemoveCopy, _results: Mapping[str, Any]) -> str:
    return backend_place(arguments.backend)


def copy(run: Run[MigrateVolume]) -> None:
    wanted = run.arguments
    source = run.world.backends.get(wanted.source)
    if source is None:
        raise StepFailed(f"backend {wanted.source} is not on host {run.world.host}: volumes move within a host only")
    location = source.storage.locate(wanted.volume_id)
    if location.kind not in ("file", "block"):
        raise StepFailed(f"the data of backend {wanted.source} cannot be read as a file")
    storage = run.world.backend(wanted.backend).storage
    storage.import_file(location.path, wanted.volume_id, wanted.size * GIB, run.epoch, run.progress)


def remove(run: Run[MigrateVolume]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.discard(run.arguments.volume_id, run.epoch)
    storage.delete(run.arguments.volume_id)


def switch(tx: Transaction, run: Run[MigrateVolume]) -> None:
    wanted = run.arguments
    values: dict[str, Any] = {
        "backend": wanted.backend,
        "pool": wanted.pool,
        "availability_zone": wanted.availability_zone,
        "migration": "success",
    }
    if wanted.volume_type_id is not None:
        values |= {"volume_type_id": wanted.volume_type_id, "multiattach": wanted.multiattach}
    tx.execute(update(volumes).where(volumes.c.id == wanted.volume_id).values(**values, updated_at=tx.now))
    left = RemoveCopy(volume_id=wanted.volume_id, backend=wanted.source)
    give_up(tx, run.operation_id, OLD_COPY, wanted.volume_id)
    claims = (exclusive(OLD_COPY, wanted.volume_id),)
    enqueue(tx, REMOVE_COPY, left, subject_id=wanted.volume_id, claims=claims, caller=caller_of(run.row))


def tell(tx: Transaction, run: Run[MigrateVolume], reason: str) -> None:
    """The volume is where it was."""
    volume_id = run.arguments.volume_id
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(migration="error"))
    tell_user(tx, run.row, "volume", volume_id, "migrate volume", reason)


def announce(tx: Transaction, run: Run[MigrateVolume]) -> None:
    now = settle_volume(tx, run)
    if run.row.state == "done":
        event = "retype.end" if run.row.kind == RETYPE_VOLUME.kind else "migrate.end"
        notify_volume(tx, run.arguments.volume_id, event, caller_of(run.row), now=now)


def remove_copy(run: Run[RemoveCopy]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.discard(run.arguments.volume_id, run.epoch)
    storage.delete(run.arguments.volume_id)


def tell_left(tx: Transaction, run: Run[RemoveCopy], reason: str) -> None:
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "migrate volume", reason)


_STEPS = (
    Step("copy", do=copy, undo=remove, at=at_backend, long=True),
    Step("switch", record=switch),
)

MIGRATE_VOLUME = Operation("volume.migrate", MigrateVolume, "volume", steps=_STEPS, failed=tell, settle=announce)
RETYPE_VOLUME = Operation("volume.retype", MigrateVolume, "volume", steps=_STEPS, failed=tell, settle=announce)
REMOVE_COPY = Operation(
    "volume.remove_copy",
    RemoveCopy,
    "volume",
    steps=(Step("remove", do=remove_copy, at=at_source),),
    failed=tell_left,
    settle=settle_volume,
    cancellable=False,
    forward_only=True,
)
