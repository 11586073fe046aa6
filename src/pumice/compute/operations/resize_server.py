"""Resize a server on its host; then confirm it, or take it back.

    server.resize            take      its turn
                             stop      the guest is off                                   undo: as it was
                             disk      its files are kept, copies of them used, grown     undo: the kept ones again
                             define    the hypervisor has the new size
                             start     if it ran                                          undo: stop it
                             finish    resized: to be confirmed or reverted

    server.revert_resize     the same steps with the kept files and the old size; then what was new is cleared
    server.confirm_resize    the kept files are cleared

Volumes stay attached: their exports are the same, on the same host. What was written to a local root disk since the
resize is lost by a revert, as the users of compute know it.
"""

from typing import Any

import msgspec

from pumice.compute.notifications import notify_server
from pumice.compute.operations import clear_kept, server_directories
from pumice.compute.operations.definitions import guest_of
from pumice.compute.operations.restarting import record_facts, start, start_as_it_was, stop, stop_again, take
from pumice.compute.operations.settling import at_host, finish_action, settle_server, take_server
from pumice.db.engine import Transaction
from pumice.db.schema import servers
from pumice.operations.model import Operation, Run, Step, caller_of, exclusive


class ResizeServer(msgspec.Struct, frozen=True, kw_only=True):
    """`flavor`: the one that the server is to have, as servers keep it; `old_flavor`: what it has, None to confirm."""

    server_id: str
    host: str
    event_id: str
    runs: bool
    flavor: dict[str, Any]
    old_flavor: dict[str, Any] | None = None


def copy_disk(run: Run[ResizeServer]) -> None:
    server_directories.set_aside(run.world, run.arguments.server_id)
    server_directories.copy_kept(run, int(run.arguments.flavor["disk"]) << 30)


def bring_disk_back(run: Run[ResizeServer]) -> None:
    server_directories.bring_back(run.world, run.arguments.server_id)


def take_old_disk(run: Run[ResizeServer]) -> None:
    server_directories.take_old(run.world, run.arguments.server_id)


def take_new_disk(run: Run[ResizeServer]) -> None:
    server_directories.take_new(run.world, run.arguments.server_id)


def define(run: Run[ResizeServer]) -> None:
    run.world.hypervisor.define(guest_of(run, flavor=run.arguments.flavor))


_ENDED = {"old_flavor": None, "stage": None, "stage_since": None}
"""The columns of a server that is neither to be confirmed nor to be reverted any more."""


def mark_resized(tx: Transaction, run: Run[ResizeServer]) -> None:
    wanted = run.arguments
    values = {
        "flavor": wanted.flavor,
        "flavor_id": wanted.flavor["id"],
        "old_flavor": wanted.old_flavor,
        "stage": "resized",
        "stage_since": tx.now,
    }
    record_facts(tx, run, values)


def mark_reverted(tx: Transaction, run: Run[ResizeServer]) -> None:
    wanted = run.arguments
    record_facts(tx, run, {"flavor": wanted.flavor, "flavor_id": wanted.flavor["id"], **_ENDED})
    clear_kept.hand_over(tx, run, caller_of(run.row))


def confirm(tx: Transaction, run: Run[ResizeServer]) -> None:
    server_id = run.arguments.server_id
    take_server(tx, run, exclusive("server_files", server_id))
    tx.execute(servers.update().where(servers.c.id == server_id).values(**_ENDED, updated_at=tx.now))
    finish_action(tx, run)
    clear_kept.hand_over(tx, run, caller_of(run.row))


def fail(tx: Transaction, run: Run[ResizeServer], reason: str) -> None:
    finish_action(tx, run, reason)
    if not run.row.cancel_requested:
        notify_server(tx, run.arguments.server_id, "resize.error", caller_of(run.row), {"message": reason})


def announced(*events: str) -> Any:
    """A `settle` that announces these when the operation is done."""

    def settle(tx: Transaction, run: Run[ResizeServer]) -> None:
        settle_server(tx, run)
        if run.row.state == "done":
            for event in events:
                notify_server(tx, run.arguments.server_id, event, caller_of(run.row))

    return settle


RESIZE_SERVER = Operation(
    "server.resize",
    ResizeServer,
    "server",
    steps=(
        Step("take", record=take, at=at_host),
        Step("stop", do=stop, undo=start_as_it_was, at=at_host, long=True),
        Step("disk", do=copy_disk, undo=bring_disk_back, at=at_host, long=True),
        Step("define", do=define, at=at_host),
        Step("start", do=start, undo=stop_again, at=at_host),
        Step("finish", record=mark_resized, at=at_host),
    ),
    failed=fail,
    settle=announced("resize.end", "finish_resize.end"),
)
REVERT_RESIZE = Operation(
    "server.revert_resize",
    ResizeServer,
    "server",
    steps=(
        Step("take", record=take, at=at_host),
        Step("stop", do=stop, undo=start_as_it_was, at=at_host, long=True),
        Step("disk", do=take_old_disk, undo=take_new_disk, at=at_host),
        Step("define", do=define, at=at_host),
        Step("start", do=start, undo=stop_again, at=at_host),
        Step("finish", record=mark_reverted, at=at_host),
    ),
    failed=fail,
    settle=announced("resize.revert.end"),
)
CONFIRM_RESIZE = Operation(
    "server.confirm_resize",
    ResizeServer,
    "server",
    steps=(Step("confirm", record=confirm, at=at_host),),
    failed=fail,
    settle=announced("resize.confirm.end"),
)
