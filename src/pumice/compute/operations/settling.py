"""What the operations of compute share: places, settling, waiting for one's turn, what is written when one fails."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from pumice.compute import instance_actions, queries
from pumice.compute.facts import refresh_server
from pumice.db.engine import Transaction
from pumice.db.schema import block_device_mappings, operations
from pumice.errors import Busy
from pumice.hypervisors.contract import DetachRefused
from pumice.operations import store
from pumice.operations.model import ANYWHERE, Claim, Run, StepFailed, StepNotReady, exclusive, host_place

QUEUED = (
    "server.detach_volume",
    "server.delete",
    "server.start",
    "server.stop",
    "server.reboot",
    "server.hard_reboot",
    "server.pause",
    "server.unpause",
    "server.suspend",
    "server.resume",
    "server.rebuild",
    "server.resize",
    "server.confirm_resize",
    "server.revert_resize",
    "server.shelve",
    "server.offload",
    "server.unshelve",
    "server.snapshot",
)
"""Kinds that wait for others to let go, instead of being refused."""


def at_host(arguments: Any, _results: Mapping[str, Any]) -> str:
    """The place of steps that call the hypervisor; a server that was never placed has nothing on any host."""
    host: str | None = arguments.host
    return ANYWHERE if host is None else host_place(host)


def take_turn(tx: Transaction, run: Run[Any], claims: Sequence[Claim]) -> None:
    """Hold these from now on (what it holds already stays). Raises StepNotReady while another operation holds one."""
    held = {
        (claim.resource_type, claim.resource_id)
        for claim in claims
        for one in store.live_for(tx, claim.resource_type, claim.resource_id)
        if one.operation_id == run.operation_id
    }
    wanted = [claim for claim in claims if (claim.resource_type, claim.resource_id) not in held]
    try:
        store.take(tx, run.operation_id, wanted)
    except Busy as busy:
        raise StepNotReady(busy.message, pause=0.1) from busy


def take_server(tx: Transaction, run: Run[Any], *others: Claim) -> None:
    """Hold the server (and others) from now on. Raises StepNotReady; StepFailed when the server is being deleted."""
    server = queries.server(tx, run.arguments.server_id)
    if server is None or server.life == "going":
        raise StepFailed(f"server {run.arguments.server_id} is being deleted")
    take_turn(tx, run, (exclusive("server", run.arguments.server_id), *others))


def is_going(run: Run[Any]) -> bool:
    """The server is being deleted: nothing may keep that from going on."""
    with run.database.read() as tx:
        server = queries.server(tx, run.arguments.server_id)
    return server is None or server.life == "going"


def unplug_volume(run: Run[Any]) -> None:
    """Take the volume out of the server's guest, and see it gone. A guest that does not let go is stopped only when its
    server is being deleted. Raises DetachRefused."""
    hypervisor, server_id, volume_id = run.world.hypervisor, run.arguments.server_id, run.arguments.volume_id
    try:
        hypervisor.detach(server_id, volume_id, run.world.detach_deadline)
    except DetachRefused:
        if not is_going(run):
            raise
        hypervisor.stop_guest(server_id)
        hypervisor.detach(server_id, volume_id, run.world.detach_deadline)


def settle_server(tx: Transaction, run: Run[Any]) -> None:
    """Rewrite what is derived of the server; once the operation has ended, wake those that wait for it."""
    refresh_server(tx, run.arguments.server_id)
    if run.row.state in ("done", "undone"):
        subjects = [run.arguments.server_id, run.row.subject_id]
        attached = select(block_device_mappings.c.attachment_id).where(
            block_device_mappings.c.server_id == run.arguments.server_id,
            block_device_mappings.c.attachment_id.is_not(None),
        )
        statement = select(operations.c.id).where(
            operations.c.subject_id.in_(subjects) | operations.c.subject_id.in_(attached),
            operations.c.state == "running",
            operations.c.kind.in_(QUEUED),
            operations.c.not_before > tx.now,
        )
        for waiting in tx.execute(statement).scalars().all():
            store.hasten(tx, waiting)


def forget_mapping(tx: Transaction, attachment_id: str) -> None:
    """The disk is not the server's any more."""
    tx.execute(
        update(block_device_mappings)
        .where(block_device_mappings.c.attachment_id == attachment_id, block_device_mappings.c.deleted_at.is_(None))
        .values(deleted_at=tx.now, updated_at=tx.now)
    )


def finish_action(tx: Transaction, run: Run[Any], failure: str | None = None) -> None:
    """The instance action's event of this operation ends: Success, or Error with one sentence."""
    instance_actions.finish_event(tx, run.arguments.event_id, failure=failure)
