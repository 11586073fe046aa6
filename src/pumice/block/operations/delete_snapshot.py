"""Delete a snapshot. Goes forward only: retried until it is gone.

remove    the backend forgets it
finish    the row and its marks are gone
"""

import msgspec

from pumice.block.notifications import notify_snapshot
from pumice.block.operations.settling import at_backend, forget_snapshots, settle_snapshot, tell_user, told_late
from pumice.db.engine import Transaction
from pumice.operations.model import Operation, Run, Step, caller_of


class DeleteSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Which, of which volume, where."""

    snapshot_id: str
    volume_id: str
    backend: str


def remove(run: Run[DeleteSnapshot]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.discard(run.arguments.snapshot_id, run.epoch)
    storage.delete_snapshot(run.arguments.volume_id, run.arguments.snapshot_id)


def mark_gone(tx: Transaction, run: Run[DeleteSnapshot]) -> None:
    forget_snapshots(tx, (run.arguments.snapshot_id,))


def tell(tx: Transaction, run: Run[DeleteSnapshot], reason: str) -> None:
    """Cancelled before anything was removed: the snapshot is as it was."""
    tell_user(tx, run.row, "snapshot", run.arguments.snapshot_id, "snapshot delete", reason)


def announce(tx: Transaction, run: Run[DeleteSnapshot]) -> None:
    settle_snapshot(tx, run)
    if run.row.state == "done":
        notify_snapshot(tx, run.arguments.snapshot_id, "delete.end", caller_of(run.row))


DELETE_SNAPSHOT = Operation(
    "snapshot.delete",
    DeleteSnapshot,
    "snapshot",
    steps=(Step("remove", do=remove, at=at_backend), Step("finish", record=mark_gone)),
    failed=tell,
    settle=announce,
    cancellable=False,
    forward_only=True,
    delayed=told_late(tell),
)
