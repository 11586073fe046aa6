"""Take a snapshot of a volume, in use or not: a point in time, crash-consistent.

    look      does the guest run? (one that its user paused stays paused)
    pause     only where the backend cannot snapshot a volume that is being written to: the guest stands still
    take      the backend takes it                                                  undo: remove it
    resume    the guest goes on                                                     (also the undo of pause)
    finish    it is there

That a guest was paused by us is in this operation's row, so it goes on whatever dies meanwhile.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import update

from pumice.block.notifications import notify_snapshot
from pumice.block.operations.settling import at_backend, settle_snapshot, tell_user
from pumice.db.engine import Transaction
from pumice.db.schema import snapshots
from pumice.operations.model import ANYWHERE, Operation, Run, Step, caller_of, host_place


class CreateSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`paused`: (host, server id) of the guest that must stand still meanwhile; None: not needed."""

    snapshot_id: str
    volume_id: str
    backend: str
    paused: tuple[str, str] | None = None


def at_guest(arguments: CreateSnapshot, _results: Mapping[str, Any]) -> str:
    return host_place(arguments.paused[0]) if arguments.paused else ANYWHERE


def look(run: Run[CreateSnapshot]) -> str:
    """The state of the guest before we touch it: durable, so that a second try does not take our pause for its own."""
    if run.arguments.paused is None:
        return "absent"
    return str(run.world.hypervisor.state(run.arguments.paused[1]).value)


def pause(run: Run[CreateSnapshot]) -> None:
    if run.arguments.paused and run.results["look"] == "running":
        run.world.hypervisor.pause(run.arguments.paused[1])


def resume(run: Run[CreateSnapshot]) -> None:
    if run.arguments.paused and run.results["look"] == "running":
        run.world.hypervisor.resume(run.arguments.paused[1])


def take(run: Run[CreateSnapshot]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.create_snapshot(run.arguments.volume_id, run.arguments.snapshot_id, run.epoch, run.progress)


def remove(run: Run[CreateSnapshot]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.discard(run.arguments.snapshot_id, run.epoch)
    storage.delete_snapshot(run.arguments.volume_id, run.arguments.snapshot_id)


def mark_there(tx: Transaction, run: Run[CreateSnapshot]) -> None:
    tx.execute(
        update(snapshots)
        .where(snapshots.c.id == run.arguments.snapshot_id)
        .values(life="there", progress="100%", updated_at=tx.now)
    )


def mark_broken(tx: Transaction, run: Run[CreateSnapshot], reason: str) -> None:
    snapshot_id = run.arguments.snapshot_id
    tx.execute(update(snapshots).where(snapshots.c.id == snapshot_id).values(life="broken", broken_reason=reason))
    tell_user(tx, run.row, "snapshot", snapshot_id, "snapshot create", reason)


def announce(tx: Transaction, run: Run[CreateSnapshot]) -> None:
    settle_snapshot(tx, run)
    if run.row.state == "done":
        notify_snapshot(tx, run.arguments.snapshot_id, "create.end", caller_of(run.row))


CREATE_SNAPSHOT = Operation(
    "snapshot.create",
    CreateSnapshot,
    "snapshot",
    steps=(
        Step("look", do=look, at=at_guest),
        Step("pause", do=pause, undo=resume, at=at_guest),
        Step("take", do=take, undo=remove, at=at_backend),
        Step("resume", do=resume, at=at_guest, attempts=1000),
        Step("finish", record=mark_there),
    ),
    failed=mark_broken,
    settle=announce,
)
