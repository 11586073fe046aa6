"""What an operation that replaces a volume's data in place does first: keep the old data, so that there is a way back.

    Step("keep", do=keep, undo=drop, at=at_backend)
    ... the step that replaces the data: undo=put_back
    Step("finish", record=...)          calls `hand_over`: from here on the old data is forgotten by `volume.drop_kept`

The old data is a snapshot under `point_id`, an id of the operation's own; the operation claims it, so that the
reconciler leaves it alone. It is there until the operation has ended, so that it can turn back at any moment.
"""

from typing import Any

import msgspec

from pumice.block.operations.settling import at_backend, settle_volume, tell_user
from pumice.db.engine import Transaction
from pumice.operations.model import Operation, Run, Step, caller_of, exclusive
from pumice.operations.store import enqueue, give_up


class DropKept(msgspec.Struct, frozen=True, kw_only=True):
    """What was kept, of which volume, where."""

    volume_id: str
    backend: str
    point_id: str


def keep(run: Run[Any]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.create_snapshot(run.arguments.volume_id, run.arguments.point_id, run.epoch, run.progress)


def put_back(run: Run[Any]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.discard(run.arguments.volume_id, run.epoch)
    storage.revert(run.arguments.volume_id, run.arguments.point_id, run.epoch, lambda done, total: None)


def drop(run: Run[Any]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.discard(run.arguments.point_id, run.epoch)
    storage.delete_snapshot(run.arguments.volume_id, run.arguments.point_id)


def hand_over(tx: Transaction, run: Run[Any]) -> None:
    """The new data is what counts: forget the old."""
    wanted = run.arguments
    give_up(tx, run.operation_id, "snapshot", wanted.point_id)
    kept = DropKept(volume_id=wanted.volume_id, backend=wanted.backend, point_id=wanted.point_id)
    claims = (exclusive("snapshot", wanted.point_id),)
    enqueue(tx, DROP_KEPT, kept, subject_id=wanted.volume_id, claims=claims, caller=caller_of(run.row))


def tell(tx: Transaction, run: Run[DropKept], reason: str) -> None:
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "revert volume", reason)


DROP_KEPT = Operation(
    "volume.drop_kept",
    DropKept,
    "volume",
    steps=(Step("drop", do=drop, at=at_backend),),
    failed=tell,
    settle=settle_volume,
    cancellable=False,
    forward_only=True,
)
