"""Shelve a server; take what it has on its host away; bring it back, there or elsewhere.

    server.shelve      take      its turn
                       stop      the guest is off                                     undo: as it was
                       upload    its local root disk goes to an image                 undo: remove it
                       finish    shelved; offloaded at once where the settings say so

    server.offload     take      its turn
                       undefine  host and hypervisor have nothing of it
                       park      its volumes stay attached, exported nowhere
                       parked    wait until that is so
                       finish    shelved and offloaded: on no host                    (goes forward only)

    server.unshelve    take      its turn
                       connect   its volumes are exported for its new host
                       exports   wait until all of them are                           undo: exported nowhere again
                       files     kernel, ramdisk, root disk from the shelved image    undo: remove them
                       define    the hypervisor knows the guest                       undo: it forgets it
                       start     it runs                                              undo: stop it
                       finish    active; the shelved image is deleted

A shelved server that was not offloaded is only started again. A volume is never exported to a host where the guest is
not, and never disconnected while it may still write.
"""

from typing import Any

import msgspec
from sqlalchemy import update

from pumice.caller import system_caller
from pumice.compute import instance_actions, queries
from pumice.compute.facts import clear_mark
from pumice.compute.notifications import notify_server
from pumice.compute.operations import move_attachment, restarting, root_images, server_files
from pumice.compute.operations.create_server import prepare_files
from pumice.compute.operations.definitions import guest_of
from pumice.compute.operations.settling import at_host, finish_action, settle_server, take_server
from pumice.db.engine import Transaction
from pumice.db.schema import servers
from pumice.images import images
from pumice.images.store import Stored
from pumice.operations import store
from pumice.operations.model import Operation, Run, Step, StepFailed, caller_of, exclusive


class ShelveServer(msgspec.Struct, frozen=True, kw_only=True):
    """`image_id`, `upload_id`: of the image of its local root disk; None: it has none. `offload`: at once."""

    server_id: str
    host: str
    event_id: str
    runs: bool
    image_id: str | None = None
    upload_id: str | None = None
    offload: bool = False


class OffloadServer(msgspec.Struct, frozen=True, kw_only=True):
    server_id: str
    host: str
    event_id: str


class UnshelveServer(msgspec.Struct, frozen=True, kw_only=True):
    """`offloaded`: it is on no host, `host` is its new one. `image_id`: of its local root disk; None: it has none."""

    server_id: str
    host: str
    event_id: str
    offloaded: bool
    image_id: str | None = None


def take(tx: Transaction, run: Run[Any]) -> None:
    take_server(tx, run)


def upload(run: Run[ShelveServer]) -> Stored | None:
    if run.arguments.image_id is None:
        return None
    return root_images.upload(run, root_images.root_of(run))


def forget_upload(run: Run[ShelveServer]) -> None:
    if run.arguments.image_id is not None:
        root_images.forget_upload(run)


def mark_shelved(tx: Transaction, run: Run[ShelveServer]) -> None:
    wanted = run.arguments
    if wanted.image_id is not None:
        root_images.make_active(tx, run, msgspec.convert(run.results["upload"], Stored))
    values = {"stage": "shelved", "stage_since": tx.now, "power": "off", "shelved_image_id": wanted.image_id}
    tx.execute(update(servers).where(servers.c.id == wanted.server_id).values(**values, updated_at=tx.now))
    clear_mark(tx, wanted.server_id)
    finish_action(tx, run)
    if wanted.offload:
        store.give_up(tx, run.operation_id, "server", wanted.server_id)
        action_id = instance_actions.start(tx, wanted.server_id, "shelveOffload", caller=caller_of(run.row))
        event_id = instance_actions.start_event(tx, action_id, "compute_shelve_offload_instance", wanted.host)
        arguments = OffloadServer(server_id=wanted.server_id, host=wanted.host, event_id=event_id)
        claims = (exclusive("server", wanted.server_id),)
        store.enqueue(
            tx, OFFLOAD_SERVER, arguments, subject_id=wanted.server_id, claims=claims, caller=caller_of(run.row)
        )


def not_shelved(tx: Transaction, run: Run[ShelveServer], reason: str) -> None:
    if run.arguments.image_id is not None:
        root_images.give_up_image(tx, run)
    finish_action(tx, run, reason)


def undefine(run: Run[Any]) -> None:
    run.world.hypervisor.undefine(run.arguments.server_id)
    server_files.remove(run.world, run.arguments.server_id)


def park(tx: Transaction, run: Run[OffloadServer]) -> None:
    move_attachment.park_all(tx, run.arguments.server_id, caller_of(run.row))


def mark_offloaded(tx: Transaction, run: Run[OffloadServer]) -> None:
    values = {"stage": "offloaded", "stage_since": tx.now, "host": None, "power": "off", "updated_at": tx.now}
    tx.execute(update(servers).where(servers.c.id == run.arguments.server_id).values(**values))
    finish_action(tx, run)


def tell(tx: Transaction, run: Run[Any], reason: str) -> None:
    """Never reached while it only goes forward; kept honest for whoever ends it by hand."""
    finish_action(tx, run, reason)


def connect(tx: Transaction, run: Run[UnshelveServer]) -> None:
    if run.arguments.offloaded:
        move_attachment.return_all(tx, run.arguments.server_id, run.arguments.host, caller_of(run.row))


def wait_for_exports(run: Run[UnshelveServer]) -> None:
    if run.arguments.offloaded:
        move_attachment.wait_returned(run)


def disconnect(run: Run[UnshelveServer]) -> None:
    """Enqueues (idempotent, held by their claims), so a late writer does no harm; then it waits for them."""
    if run.arguments.offloaded:
        run.database.run_write(move_attachment.park_all, run.arguments.server_id, caller_of(run.row))
        move_attachment.wait_parked(run)


def files(run: Run[UnshelveServer]) -> None:
    if run.arguments.offloaded:
        with run.database.read() as tx:
            server = queries.server(tx, run.arguments.server_id)
            mappings = queries.mappings_of(tx, [run.arguments.server_id])
        if server is None:
            raise StepFailed(f"server {run.arguments.server_id} is gone")
        prepare_files(run, server, mappings, root_image_id=run.arguments.image_id)


def remove_files(run: Run[UnshelveServer]) -> None:
    if run.arguments.offloaded:
        server_files.remove(run.world, run.arguments.server_id)


def define(run: Run[UnshelveServer]) -> None:
    run.world.hypervisor.define(guest_of(run))


def forget(run: Run[UnshelveServer]) -> None:
    if run.arguments.offloaded:
        run.world.hypervisor.undefine(run.arguments.server_id)


def start(run: Run[UnshelveServer]) -> None:
    run.world.hypervisor.start_guest(run.arguments.server_id)


def mark_back(tx: Transaction, run: Run[UnshelveServer]) -> None:
    server = queries.server(tx, run.arguments.server_id)
    values = {"stage": None, "stage_since": None, "power": "on", "shelved_image_id": None, "updated_at": tx.now}
    tx.execute(update(servers).where(servers.c.id == run.arguments.server_id).values(**values))
    if server is not None and server.shelved_image_id is not None:
        delete_shelved_image(tx, run, server.shelved_image_id)
    clear_mark(tx, run.arguments.server_id)
    finish_action(tx, run)


def delete_shelved_image(tx: Transaction, run: Run[Any], image_id: str) -> None:
    """Nobody needs it any more; one that its owner protected or deleted, or that is being used, is left as it is."""
    store.give_up(tx, run.operation_id, "image", image_id)
    image = images.find(tx, image_id)
    if image is not None and not image.protected and not store.live_for(tx, "image", image_id):
        images.delete(tx, system_caller(run.row.request_id), image_id)


def not_back(tx: Transaction, run: Run[UnshelveServer], reason: str) -> None:
    if run.arguments.offloaded:
        statement = update(servers).where(servers.c.id == run.arguments.server_id)
        tx.execute(statement.values(host=None, updated_at=tx.now))
    finish_action(tx, run, reason)


def announced(event: str) -> Any:
    """A `settle` that announces this when the operation is done."""

    def settle(tx: Transaction, run: Run[Any]) -> None:
        settle_server(tx, run)
        if run.row.state == "done":
            notify_server(tx, run.arguments.server_id, event, caller_of(run.row))

    return settle


SHELVE_SERVER = Operation(
    "server.shelve",
    ShelveServer,
    "server",
    steps=(
        Step("take", record=take, at=at_host),
        Step("stop", do=restarting.stop, undo=restarting.start_as_it_was, at=at_host, long=True),
        Step("upload", do=upload, undo=forget_upload, at=at_host, long=True),
        Step("finish", record=mark_shelved, at=at_host),
    ),
    failed=not_shelved,
    settle=announced("shelve.end"),
)
OFFLOAD_SERVER = Operation(
    "server.offload",
    OffloadServer,
    "server",
    steps=(
        Step("take", record=take, at=at_host),
        Step("undefine", do=undefine, at=at_host),
        Step("park", record=park),
        Step("parked", do=move_attachment.wait_parked),
        Step("finish", record=mark_offloaded),
    ),
    failed=tell,
    settle=announced("shelve_offload.end"),
    cancellable=False,
    forward_only=True,
)
UNSHELVE_SERVER = Operation(
    "server.unshelve",
    UnshelveServer,
    "server",
    steps=(
        Step("take", record=take, at=at_host),
        Step("connect", record=connect),
        Step("exports", do=wait_for_exports, undo=disconnect),
        Step("files", do=files, undo=remove_files, at=at_host, long=True),
        Step("define", do=define, undo=forget, at=at_host),
        Step("start", do=start, undo=restarting.stop_again, at=at_host),
        Step("finish", record=mark_back, at=at_host),
    ),
    failed=not_back,
    settle=announced("unshelve.end"),
)
