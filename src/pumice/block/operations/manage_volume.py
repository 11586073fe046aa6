"""Take data of a pool into management as a volume or snapshot, let it go again, and list what could be taken.

volume.manage         take_in     what is set aside is the volume, of whole GiB      undo: set aside again
                      finish      it is there, and its size counts in the quotas (beyond them: back)
volume.unmanage       set_aside   the data is kept under a name of its own           undo: the volume again
                      finish      the row and its marks are gone
snapshot.manage, snapshot.unmanage      the same of a snapshot
backend.list_unmanaged                  list: the answer is the operation's result
"""

from typing import Any

import msgspec
from sqlalchemy import update

from pumice.block import queries, quotas
from pumice.block.facts import refresh_snapshot, refresh_volume
from pumice.block.model import GIB
from pumice.block.notifications import notify_snapshot, notify_volume
from pumice.block.operations.settling import at_backend, break_volume, forget_snapshots, forget_volume, tell_user
from pumice.db.engine import Transaction
from pumice.db.schema import snapshots, volumes
from pumice.operations.model import Operation, Run, Step, StepFailed, caller_of
from pumice.storage.contract import Kind


class Managed(msgspec.Struct, frozen=True, kw_only=True):
    """`name` of the data outside of management; `volume_id` is that of a snapshot's volume, else the volume's own.
    `largest`: GiB that data to take in may have at most; 0: any size."""

    kind: Kind
    thing_id: str
    volume_id: str
    backend: str
    name: str
    largest: int = 0


class ListUnmanaged(msgspec.Struct, frozen=True, kw_only=True):
    """Of which backend."""

    backend: str


def take_in(run: Run[Managed]) -> int:
    """The size in GiB; a volume is grown to whole ones. Raises StepFailed for data that is too large."""
    wanted = run.arguments
    storage = run.world.backend(wanted.backend).storage
    for one in storage.unmanaged() if wanted.largest else ():
        if one.name == wanted.name and one.size_bytes > wanted.largest * GIB:
            raise StepFailed(f"{wanted.name} has {one.size_bytes} bytes, its volume {wanted.largest} GiB")
    storage.take_in(wanted.kind, wanted.thing_id, wanted.name, wanted.volume_id)
    if wanted.kind == "snapshot":
        return 0
    size = max(1, -(-storage.locate(wanted.thing_id).size_bytes // GIB))
    storage.extend(wanted.thing_id, size * GIB)
    return int(size)


def set_aside(run: Run[Managed]) -> None:
    wanted = run.arguments
    run.world.backend(wanted.backend).storage.set_aside(wanted.kind, wanted.thing_id, wanted.name)


def take_back(run: Run[Managed]) -> None:
    """The undo of `set_aside`; it may never have happened."""
    wanted = run.arguments
    storage = run.world.backend(wanted.backend).storage
    if any(one.name == wanted.name for one in storage.unmanaged()):
        storage.take_in(wanted.kind, wanted.thing_id, wanted.name, wanted.volume_id)


def mark_there(tx: Transaction, run: Run[Managed]) -> None:
    """Raises QuotaExceeded: the size of a volume is not known before."""
    wanted = run.arguments
    if wanted.kind == "snapshot":
        values: dict[str, Any] = {"life": "there", "progress": "100%", "updated_at": tx.now}
        tx.execute(update(snapshots).where(snapshots.c.id == wanted.thing_id).values(values))
    else:
        _count(tx, wanted.thing_id, run.results["take_in"])
        values = {"life": "there", "size": run.results["take_in"], "launched_at": tx.now, "updated_at": tx.now}
        tx.execute(update(volumes).where(volumes.c.id == wanted.thing_id).values(values))


def _count(tx: Transaction, volume_id: str, size: int) -> None:
    """What was counted of it when it was asked for is its row's size."""
    volume = queries.volume(tx, volume_id)
    if volume is not None:
        grown = size - volume.size
        added = quotas.Addition(volume_type_id=volume.volume_type_id, gigabytes=grown, volume_size=size)
        quotas.check(tx, volume.project_id, added)


def mark_broken(tx: Transaction, run: Run[Managed], reason: str) -> None:
    wanted = run.arguments
    if wanted.kind == "snapshot":
        broken = {"life": "broken", "broken_reason": reason}
        tx.execute(update(snapshots).where(snapshots.c.id == wanted.thing_id).values(broken))
        tell_user(tx, run.row, "snapshot", wanted.thing_id, "snapshot create", reason)
    else:
        break_volume(tx, wanted.thing_id, reason)
        tell_user(tx, run.row, "volume", wanted.thing_id, "create volume from backend storage", reason)


def mark_gone(tx: Transaction, run: Run[Managed]) -> None:
    wanted = run.arguments
    if wanted.kind == "snapshot":
        forget_snapshots(tx, (wanted.thing_id,))
        return
    forget_volume(tx, wanted.thing_id)


def tell(tx: Transaction, run: Run[Managed], reason: str) -> None:
    """It is managed as before."""
    wanted = run.arguments
    action = "snapshot delete" if wanted.kind == "snapshot" else "unmanage volume"
    tell_user(tx, run.row, wanted.kind, wanted.thing_id, action, reason)


def announce(tx: Transaction, run: Run[Managed]) -> None:
    wanted = run.arguments
    taken = run.row.kind in (MANAGE_VOLUME.kind, MANAGE_SNAPSHOT.kind)
    if wanted.kind == "snapshot":
        refresh_snapshot(tx, wanted.thing_id)
    else:
        refresh_volume(tx, wanted.thing_id)
    if run.row.state != "done":
        return
    if wanted.kind == "snapshot":
        notify_snapshot(tx, wanted.thing_id, "create.end" if taken else "delete.end", caller_of(run.row))
    else:
        notify_volume(tx, wanted.thing_id, "manage_existing.end" if taken else "unmanage.end", caller_of(run.row))


def list_unmanaged(run: Run[ListUnmanaged]) -> list[dict[str, Any]]:
    storage = run.world.backend(run.arguments.backend).storage
    return [{"name": one.name, "size_bytes": one.size_bytes} for one in storage.unmanaged()]


_TAKE = (Step("take_in", do=take_in, undo=set_aside, at=at_backend), Step("finish", record=mark_there))
_LET_GO = (Step("set_aside", do=set_aside, undo=take_back, at=at_backend), Step("finish", record=mark_gone))

MANAGE_VOLUME = Operation("volume.manage", Managed, "volume", steps=_TAKE, failed=mark_broken, settle=announce)
UNMANAGE_VOLUME = Operation("volume.unmanage", Managed, "volume", steps=_LET_GO, failed=tell, settle=announce)
MANAGE_SNAPSHOT = Operation("snapshot.manage", Managed, "snapshot", steps=_TAKE, failed=mark_broken, settle=announce)
UNMANAGE_SNAPSHOT = Operation("snapshot.unmanage", Managed, "snapshot", steps=_LET_GO, failed=tell, settle=announce)
LIST_UNMANAGED = Operation(
    "backend.list_unmanaged",
    ListUnmanaged,
    "backend",
    steps=(Step("list", do=list_unmanaged, at=at_backend),),
    failed=lambda tx, run, reason: None,
    settle=lambda tx, run: None,
)
