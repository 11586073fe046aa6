"""Put a volume's data back to its latest snapshot's (revert), in place.

    keep      the backend keeps the data as it is now                                    undo: forget it
    revert    the volume has the snapshot's data, all at once                            undo: the kept data again
    finish    what was kept is handed to `volume.drop_kept`

A volume that was extended since keeps its size.
"""

import msgspec
from sqlalchemy import update

from pumice.block.facts import refresh_snapshot
from pumice.block.notifications import notify_volume
from pumice.block.operations.keeping import drop, hand_over, keep, put_back
from pumice.block.operations.settling import at_backend, settle_volume, tell_user
from pumice.db.engine import Transaction
from pumice.db.schema import volumes
from pumice.operations.model import Operation, Run, Step, caller_of


class RevertVolume(msgspec.Struct, frozen=True, kw_only=True):
    """`point_id`: under which the data of now is kept meanwhile."""

    volume_id: str
    snapshot_id: str
    backend: str
    point_id: str


def revert(run: Run[RevertVolume]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.revert(run.arguments.volume_id, run.arguments.snapshot_id, run.epoch, run.progress)


def mark_changed(tx: Transaction, run: Run[RevertVolume]) -> None:
    tx.execute(update(volumes).where(volumes.c.id == run.arguments.volume_id).values(updated_at=tx.now))
    hand_over(tx, run)


def tell(tx: Transaction, run: Run[RevertVolume], reason: str) -> None:
    """The volume is as it was."""
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "revert volume", reason)


def announce(tx: Transaction, run: Run[RevertVolume]) -> None:
    refresh_snapshot(tx, run.arguments.snapshot_id)
    now = settle_volume(tx, run)
    if run.row.state == "done":
        notify_volume(tx, run.arguments.volume_id, "revert.end", caller_of(run.row), now=now)


REVERT_VOLUME = Operation(
    "volume.revert",
    RevertVolume,
    "volume",
    steps=(
        Step("keep", do=keep, undo=drop, at=at_backend, long=True),
        Step("revert", do=revert, undo=put_back, at=at_backend, long=True),
        Step("finish", record=mark_changed),
    ),
    failed=tell,
    settle=announce,
)
