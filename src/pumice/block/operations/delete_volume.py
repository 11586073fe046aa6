"""Delete a volume, and with it the snapshots that its cascade named. Goes forward only: retried until it is gone.

remove_snapshots    the backend forgets them
remove              the backend forgets the volume
finish              rows, holds and marks are gone
"""

import msgspec

from pumice.block.facts import refresh_snapshot
from pumice.block.notifications import notify_snapshot, notify_volume
from pumice.block.operations.settling import (
    at_backend,
    forget_snapshots,
    forget_volume,
    settle_volume,
    tell_user,
    told_late,
)
from pumice.db.engine import Transaction
from pumice.operations.model import Operation, Run, Step, caller_of


class DeleteVolume(msgspec.Struct, frozen=True, kw_only=True):
    """`backend` None: it was never placed, so there is nothing to remove but the row."""

    volume_id: str
    backend: str | None
    snapshot_ids: tuple[str, ...] = ()


def remove_snapshots(run: Run[DeleteVolume]) -> None:
    if run.arguments.backend is None:
        return
    storage = run.world.backend(run.arguments.backend).storage
    for snapshot_id in run.arguments.snapshot_ids:
        storage.delete_snapshot(run.arguments.volume_id, snapshot_id)


def remove(run: Run[DeleteVolume]) -> None:
    if run.arguments.backend is None:
        return
    storage = run.world.backend(run.arguments.backend).storage
    storage.discard(run.arguments.volume_id, run.epoch)
    storage.delete(run.arguments.volume_id)


def mark_gone(tx: Transaction, run: Run[DeleteVolume]) -> None:
    forget_snapshots(tx, run.arguments.snapshot_ids)
    forget_volume(tx, run.arguments.volume_id)


def tell(tx: Transaction, run: Run[DeleteVolume], reason: str) -> None:
    """Cancelled before anything was removed: the volume is as it was."""
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "delete volume", reason)


def announce(tx: Transaction, run: Run[DeleteVolume]) -> None:
    for snapshot_id in run.arguments.snapshot_ids:
        refresh_snapshot(tx, snapshot_id)
    now = settle_volume(tx, run)
    if run.row.state == "done":
        for snapshot_id in run.arguments.snapshot_ids:
            notify_snapshot(tx, snapshot_id, "delete.end", caller_of(run.row))
        notify_volume(tx, run.arguments.volume_id, "delete.end", caller_of(run.row), now=now)


DELETE_VOLUME = Operation(
    "volume.delete",
    DeleteVolume,
    "volume",
    steps=(
        Step("remove_snapshots", do=remove_snapshots, at=at_backend),
        Step("remove", do=remove, at=at_backend),
        Step("finish", record=mark_gone),
    ),
    failed=tell,
    settle=announce,
    cancellable=False,
    forward_only=True,
    delayed=told_late(tell),
)
