"""Grow a volume, attached or not.

    grow        the backend grows it; the new size is a fact at once     undo: cut what nobody was told of
    announce    running guests of ours are told

Once grown it cannot be cancelled; a guest that cannot be told now is told later.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import update

from pumice.block.model import GIB
from pumice.block.notifications import notify_volume
from pumice.block.operations.settling import at_backend, settle_volume, tell_user
from pumice.compute import instance_actions
from pumice.db.engine import Transaction
from pumice.db.schema import volumes
from pumice.operations.model import ANYWHERE, Operation, Run, Step, caller_of, host_place


class ExtendVolume(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in GiB; `guests`: (host, server id) of our own servers that have it."""

    volume_id: str
    backend: str
    old_size: int
    new_size: int
    guests: tuple[tuple[str, str], ...] = ()


def grow(run: Run[ExtendVolume]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.extend(run.arguments.volume_id, run.arguments.new_size * GIB)


def record_size(tx: Transaction, run: Run[ExtendVolume]) -> None:
    tx.execute(
        update(volumes)
        .where(volumes.c.id == run.arguments.volume_id)
        .values(size=run.arguments.new_size, updated_at=tx.now)
    )


def shrink_back(run: Run[ExtendVolume]) -> None:
    storage = run.world.backend(run.arguments.backend).storage
    storage.shrink_back(run.arguments.volume_id, run.arguments.old_size * GIB)


def record_old_size(tx: Transaction, run: Run[ExtendVolume]) -> None:
    tx.execute(
        update(volumes)
        .where(volumes.c.id == run.arguments.volume_id)
        .values(size=run.arguments.old_size, updated_at=tx.now)
    )


def at_guests(arguments: ExtendVolume, _results: Mapping[str, Any]) -> str:
    """The host of the guests. A volume attached on several hosts is announced from the first; the others see it
    at the next look at the disk."""
    return host_place(arguments.guests[0][0]) if arguments.guests else ANYWHERE


def announce_size(run: Run[ExtendVolume]) -> None:
    for host, server_id in run.arguments.guests:
        if host == run.world.host and run.world.hypervisor is not None:
            run.world.hypervisor.disk_grew(server_id, run.arguments.volume_id, run.arguments.new_size * GIB)


def record_actions(tx: Transaction, run: Run[ExtendVolume]) -> None:
    for host, server_id in run.arguments.guests:
        instance_actions.record_done(
            tx, server_id, "extend_volume", "compute_extend_volume", caller=caller_of(run.row), host=host
        )


def tell(tx: Transaction, run: Run[ExtendVolume], reason: str) -> None:
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "extend volume", reason)


def announce(tx: Transaction, run: Run[ExtendVolume]) -> None:
    now = settle_volume(tx, run)
    if run.row.state == "done":
        notify_volume(tx, run.arguments.volume_id, "resize.end", caller_of(run.row), now=now)


EXTEND_VOLUME = Operation(
    "volume.extend",
    ExtendVolume,
    "volume",
    steps=(
        Step("grow", do=grow, record=record_size, undo=shrink_back, undo_record=record_old_size, at=at_backend),
        Step("announce", do=announce_size, record=record_actions, at=at_guests, attempts=1000),
    ),
    failed=tell,
    settle=announce,
    cancellable=False,
)
