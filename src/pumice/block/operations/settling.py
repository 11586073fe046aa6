"""What the operations of block storage share: places, settling, what is written when one fails."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import bindparam, delete, select, update

from pumice.block import messages
from pumice.block.facts import refresh_snapshot, refresh_volume
from pumice.block.model import VolumeNow
from pumice.db.engine import Transaction
from pumice.db.schema import marks, snapshots, volume_holds, volumes
from pumice.operations.model import ANYWHERE, OperationRow, Run, backend_place


class OnBackend(Protocol):
    """Arguments that name the backend whose agent does the work; None: there is nothing to do on any."""

    @property
    def backend(self) -> str | None: ...


def at_backend(arguments: Any, _results: Mapping[str, Any]) -> str:
    """The place of steps that call the backend's driver."""
    backend: str | None = arguments.backend
    return ANYWHERE if backend is None else backend_place(backend)


def settle_volume(tx: Transaction, run: Any) -> VolumeNow | None:
    """Rewrite what is derived of the volume that the operation is about; it as it is then."""
    return refresh_volume(tx, run.arguments.volume_id)


def settle_snapshot(tx: Transaction, run: Any) -> None:
    """Rewrite what is derived of the snapshot that the operation is about."""
    refresh_snapshot(tx, run.arguments.snapshot_id)


def break_volume(tx: Transaction, volume_id: str, reason: str) -> None:
    """The volume has no usable data, and says why."""
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(life="broken", broken_reason=reason))


def forget_volume(tx: Transaction, volume_id: str) -> None:
    """The row of a volume that the backend has forgotten, or that is not managed any more; its holds and marks go."""
    tx.execute(_UNHOLD, {"of_volume": volume_id})
    tx.execute(_UNMARK, {"of_type": "volume", "of_id": volume_id})
    tx.execute(_VOLUME_GONE, {"key": volume_id, "now": tx.now})


def forget_snapshots(tx: Transaction, snapshot_ids: Iterable[str]) -> None:
    """The same for snapshots."""
    for snapshot_id in snapshot_ids:
        tx.execute(_UNMARK, {"of_type": "snapshot", "of_id": snapshot_id})
        tx.execute(_SNAPSHOT_GONE, {"key": snapshot_id, "now": tx.now})


_UNHOLD = delete(volume_holds).where(volume_holds.c.volume_id == bindparam("of_volume"))
_UNMARK = delete(marks).where(marks.c.resource_type == bindparam("of_type"), marks.c.resource_id == bindparam("of_id"))
_GONE = {"life": "gone", "deleted_at": bindparam("now"), "updated_at": bindparam("now")}
_VOLUME_GONE = update(volumes).where(volumes.c.id == bindparam("key")).values(_GONE)
_SNAPSHOT_GONE = update(snapshots).where(snapshots.c.id == bindparam("key")).values(_GONE)


def tell_user(
    tx: Transaction, row: OperationRow, resource_type: str, resource_id: str, action: str, reason: str
) -> None:
    """The cause, where the user asks: a message of the volume or snapshot, in its project and, where an administrator
    asked for the operation, in that one's."""
    table = snapshots if resource_type == "snapshot" else volumes
    owner = tx.execute(select(table.c.project_id).where(table.c.id == resource_id)).scalar_one_or_none()
    for project_id in dict.fromkeys(one for one in (owner, row.project_id) if one is not None):
        messages.record(
            tx,
            project_id=project_id,
            request_id=row.request_id,
            resource_type=resource_type,
            resource_id=resource_id,
            action=action,
            sentence=reason,
        )


def told_late(tell: Callable[[Transaction, Run[Any], str], None]) -> Callable[[Transaction, Run[Any], str], None]:
    """For `Operation.delayed`: what `tell` says, and that it is not the end."""
    return lambda tx, run, reason: tell(tx, run, f"{reason.rstrip('.')}; this is tried again until it works.")
