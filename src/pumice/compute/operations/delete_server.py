"""Delete a server in any state, half-made ones too. Goes forward only: retried until it is gone.

    take       its turn: what is under way on it has been told to turn back, and has ended
    undefine   the hypervisor and the host's directory have nothing of it
    release    its volumes are given back, each by an operation at its backend
    released   wait until all of them are
    finish     the row is gone; volumes that go with it are deleted

A volume's data is never touched while the guest may still write: releasing comes after undefining.
"""

from typing import Any

import msgspec
from sqlalchemy import update

from pumice.block import queries as block_queries
from pumice.compute import instance_actions, queries
from pumice.compute.facts import clear_mark
from pumice.compute.notifications import notify_server
from pumice.compute.operations import server_files
from pumice.compute.operations.create_server import delete_with_server
from pumice.compute.operations.releasing import hand_back
from pumice.compute.operations.settling import at_host, settle_server, take_turn
from pumice.compute.operations.shelve_server import delete_shelved_image
from pumice.db.engine import Transaction
from pumice.db.schema import block_device_mappings, servers
from pumice.operations.model import Operation, Run, Step, StepNotReady, caller_of, exclusive


class DeleteServer(msgspec.Struct, frozen=True, kw_only=True):
    """`host` None: it was never placed, so there is nothing to remove but the row."""

    server_id: str
    host: str | None
    project_id: str
    event_id: str


def take(tx: Transaction, run: Run[DeleteServer]) -> None:
    take_turn(tx, run, (exclusive("server", run.arguments.server_id),))


def undefine(run: Run[DeleteServer]) -> None:
    if run.arguments.host is not None:
        run.world.hypervisor.undefine(run.arguments.server_id)
        server_files.remove(run.world, run.arguments.server_id)


def release(tx: Transaction, run: Run[DeleteServer]) -> None:
    hand_back(tx, run.arguments.server_id, caller_of(run.row))


def wait_until_released(run: Run[DeleteServer]) -> None:
    with run.database.read() as tx:
        if block_queries.attachments_of_server(tx, run.arguments.server_id):
            raise StepNotReady("its volumes are being released", pause=0.05)


def mark_gone(tx: Transaction, run: Run[DeleteServer]) -> None:
    server_id = run.arguments.server_id
    caller = msgspec.structs.replace(caller_of(run.row), project_id=run.arguments.project_id)
    for mapping in queries.mappings_of(tx, [server_id]):
        if mapping.delete_on_termination and mapping.volume_id is not None:
            volume = block_queries.volume(tx, mapping.volume_id)
            if volume is not None and volume.attach_status == "detached":
                delete_with_server(tx, run, mapping.volume_id, caller)
    server = queries.server(tx, server_id)
    if server is not None and server.shelved_image_id is not None:
        delete_shelved_image(tx, run, server.shelved_image_id)
    clear_mark(tx, server_id)
    tx.execute(
        update(block_device_mappings)
        .where(block_device_mappings.c.server_id == server_id, block_device_mappings.c.deleted_at.is_(None))
        .values(deleted_at=tx.now, updated_at=tx.now)
    )
    values: dict[str, Any] = {"stage": None, "stage_since": None, "old_flavor": None}
    values |= {"life": "gone", "power": "none", "deleted_at": tx.now, "updated_at": tx.now}
    tx.execute(update(servers).where(servers.c.id == server_id).values(**values))
    instance_actions.finish_event(tx, run.arguments.event_id)


def tell(tx: Transaction, run: Run[DeleteServer], reason: str) -> None:
    """Never reached while it only goes forward; kept honest for whoever ends it by hand."""
    instance_actions.finish_event(tx, run.arguments.event_id, failure=reason)


def announce(tx: Transaction, run: Run[DeleteServer]) -> None:
    settle_server(tx, run)
    if run.row.state == "done":
        notify_server(tx, run.arguments.server_id, "delete.end", caller_of(run.row))


DELETE_SERVER = Operation(
    "server.delete",
    DeleteServer,
    "server",
    steps=(
        Step("take", record=take, at=at_host),
        Step("undefine", do=undefine, at=at_host),
        Step("release", record=release),
        Step("released", do=wait_until_released),
        Step("finish", record=mark_gone),
    ),
    failed=tell,
    settle=announce,
    cancellable=False,
    forward_only=True,
)
