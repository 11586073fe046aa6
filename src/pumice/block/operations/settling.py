"""What the operations of block storage share: places, settling, what is written when one fails."""

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import select, update

from pumice.block import messages
from pumice.block.facts import refresh_snapshot, refresh_volume
from pumice.db.engine import Transaction
from pumice.db.schema import snapshots, volumes
from pumice.operations.model import ANYWHERE, OperationRow, backend_place


class OnBackend(Protocol):
    """Arguments that name the backend whose agent does the work; None: there is nothing to do on any."""

    @property
    def backend(self) -> str | None: ...


def at_backend(arguments: Any, _results: Mapping[str, Any]) -> str:
    """The place of steps that call the backend's driver."""
    backend: str | None = arguments.backend
    return ANYWHERE if backend is None else backend_place(backend)


def settle_volume(tx: Transaction, run: Any) -> None:
    """Rewrite what is derived of the volume that the operation is about."""
    refresh_volume(tx, run.arguments.volume_id)


def settle_snapshot(tx: Transaction, run: Any) -> None:
    """Rewrite what is derived of the snapshot that the operation is about."""
    refresh_snapshot(tx, run.arguments.snapshot_id)


def break_volume(tx: Transaction, volume_id: str, reason: str) -> None:
    """The volume has no usable data, and says why."""
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(life="broken", broken_reason=reason))


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
