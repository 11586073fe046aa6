"""Create a volume: blank, or with the data of an image, a snapshot or another volume.

    make      the backend makes it (a clone or import where there is a source)      undo: remove it
    finish    it is there

When it cannot be made it is `error`, and the reason is on the volume and in its messages.
"""

import msgspec
from sqlalchemy import bindparam, update

from pumice.block.model import GIB
from pumice.block.notifications import notify_volume
from pumice.block.operations.settling import at_backend, break_volume, settle_volume, tell_user, told_late
from pumice.db.engine import Transaction
from pumice.db.schema import volumes
from pumice.images.operations.plain import plain_image
from pumice.operations.model import Operation, Run, Step, caller_of
from pumice.operations.world import World


class CreateVolume(msgspec.Struct, frozen=True, kw_only=True):
    """`size` in GiB; one source at most."""

    volume_id: str
    backend: str
    size: int
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    image_id: str | None = None


def make(run: Run[CreateVolume]) -> None:
    world: World = run.world
    wanted = run.arguments
    storage = world.backend(wanted.backend).storage
    size_bytes = wanted.size * GIB
    if wanted.snapshot_id is not None:
        storage.clone_snapshot(wanted.snapshot_id, wanted.volume_id, size_bytes, run.epoch, run.progress)
    elif wanted.source_volume_id is not None:
        storage.clone(wanted.source_volume_id, wanted.volume_id, size_bytes, run.epoch, run.progress)
    elif wanted.image_id is not None:
        with plain_image(run, wanted.image_id) as path:
            storage.import_file(
                str(path), wanted.volume_id, size_bytes, run.epoch, run.progress, image_key=wanted.image_id
            )
    else:
        storage.create(wanted.volume_id, size_bytes, run.epoch)


def remove(run: Run[CreateVolume]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.discard(run.arguments.volume_id, run.epoch)
    storage.delete(run.arguments.volume_id)


def mark_there(tx: Transaction, run: Run[CreateVolume]) -> None:
    tx.execute(_IS_THERE, {"key": run.arguments.volume_id, "now": tx.now})


_IS_THERE = update(volumes).where(volumes.c.id == bindparam("key")).values(life="there", launched_at=bindparam("now"))


def mark_broken(tx: Transaction, run: Run[CreateVolume], reason: str) -> None:
    break_volume(tx, run.arguments.volume_id, reason)
    tell(tx, run, reason)


def tell(tx: Transaction, run: Run[CreateVolume], reason: str) -> None:
    action = "copy image to volume" if run.arguments.image_id else "create volume from backend storage"
    tell_user(tx, run.row, "volume", run.arguments.volume_id, action, reason)


def announce(tx: Transaction, run: Run[CreateVolume]) -> None:
    """The status is derived last; the event tells the status that is seen then."""
    now = settle_volume(tx, run)
    if run.row.state == "done":
        notify_volume(tx, run.arguments.volume_id, "create.end", caller_of(run.row), now=now)


CREATE_VOLUME = Operation(
    "volume.create",
    CreateVolume,
    "volume",
    steps=(
        Step("make", do=make, undo=remove, at=at_backend),
        Step("finish", record=mark_there),
    ),
    failed=mark_broken,
    settle=announce,
    delayed=told_late(tell),
)
