"""Forget what a rebuild, resize or revert had kept in case it must be undone. Enqueued where it has ended well.

    files     what is kept on the host goes
    points    the kept data of a reimaged volume goes

It only goes forward, and holds the server's files: the next rebuild or resize waits for it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from pumice.caller import Caller
from pumice.compute.operations import server_directories
from pumice.compute.operations.settling import at_host
from pumice.db.engine import Transaction
from pumice.operations import store
from pumice.operations.model import ANYWHERE, Operation, Run, Step, backend_place, exclusive


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A reimaged volume's old data: a snapshot `old_id` of it; and what its new data came from, volume and snapshot
    `new_id`."""

    volume_id: str
    backend: str
    old_id: str
    new_id: str


class ClearKept(msgspec.Struct, frozen=True, kw_only=True):
    """`kept` None: no volume was reimaged."""

    server_id: str
    host: str
    kept: Kept | None = None


def at_kept(arguments: Any, _results: Mapping[str, Any]) -> str:
    """The backend of the volume, if there is one."""
    return ANYWHERE if arguments.kept is None else backend_place(arguments.kept.backend)


def clear_files(run: Run[ClearKept]) -> None:
    server_directories.forget(run.world, run.arguments.server_id)


def clear_points(run: Run[ClearKept]) -> None:
    if run.arguments.kept is not None:
        forget_points(run, run.arguments.kept)


def forget_points(run: Run[Any], kept: Kept) -> None:
    """Remove what was made beside the volume; absent is fine."""
    storage = run.world.backend(kept.backend).storage
    storage.discard(kept.new_id, run.epoch)
    storage.discard(kept.old_id, run.epoch)
    storage.delete_snapshot(kept.new_id, kept.new_id)
    storage.delete_snapshot(kept.volume_id, kept.old_id)
    storage.delete(kept.new_id)


def nothing_to_settle(_tx: Transaction, _run: Run[ClearKept]) -> None:
    """No row depends on it."""


def nothing_to_record(_tx: Transaction, _run: Run[ClearKept], _reason: str) -> None:
    """Never reached: it only goes forward."""


CLEAR_KEPT = Operation(
    "server.clear_kept",
    ClearKept,
    "server_files",
    steps=(Step("files", do=clear_files, at=at_host), Step("points", do=clear_points, at=at_kept)),
    failed=nothing_to_record,
    settle=nothing_to_settle,
    cancellable=False,
    forward_only=True,
)


def hand_over(tx: Transaction, run: Run[Any], caller: Caller, kept: Kept | None = None) -> None:
    """The end of an operation that kept something: what it holds of it goes to the operation that clears it."""
    server_id = run.arguments.server_id
    store.give_up(tx, run.operation_id, "server_files", server_id)
    claims = [exclusive("server_files", server_id)]
    if kept is not None:
        for one in (kept.old_id, kept.new_id):
            store.give_up(tx, run.operation_id, "snapshot", one)
            claims.append(exclusive("snapshot", one))
        claims.append(exclusive("volume", kept.new_id))
        store.give_up(tx, run.operation_id, "volume", kept.new_id)
    arguments = ClearKept(server_id=server_id, host=run.arguments.host, kept=kept)
    store.enqueue(tx, CLEAR_KEPT, arguments, subject_id=server_id, claims=claims, caller=caller)
