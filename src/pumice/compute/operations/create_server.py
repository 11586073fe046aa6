"""Create a server: its volumes first, then its disks on the host, then the guest.

    volumes    wait until the volumes made for it are there          undo: give all back, delete those made for it
    connect    reserve them, let the backends export all of them
    exports    wait until every export is there
    files      kernel, ramdisk, local disks, config drive            undo: remove them
    define     the hypervisor knows the guest                        undo: it forgets it
    start      the guest runs
    finish     the server and its attachments are there

Each export is an operation of block storage at its own backend. When the server cannot be made it is in ERROR with the
reason as its fault, and nothing else is left of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import update

from pumice.block import attachments, volumes
from pumice.block import queries as block_queries
from pumice.block.attachment_facts import record_attached
from pumice.block.operations.settling import tell_user
from pumice.caller import Caller
from pumice.compute import config_drive, instance_actions, queries
from pumice.compute.model import BlockDeviceMapping, Server
from pumice.compute.notifications import notify_server
from pumice.compute.operations import local_disks, server_files
from pumice.compute.operations.definitions import guest_of
from pumice.compute.operations.releasing import hand_back
from pumice.compute.operations.settling import at_host, settle_server
from pumice.db.engine import Transaction
from pumice.db.schema import block_device_mappings, servers
from pumice.errors import PumiceError
from pumice.operations.model import Operation, Run, Step, StepFailed, StepNotReady, caller_of


class CreateServer(msgspec.Struct, frozen=True, kw_only=True):
    """`made`: (mapping id, attachment id) of volumes made for this server, not reserved yet."""

    server_id: str
    host: str
    event_id: str
    made: tuple[tuple[str, str], ...] = ()


def owner_of(server: Server, run: Run[CreateServer]) -> Caller:
    """The volumes are the server's project's, whoever the steps run as."""
    return msgspec.structs.replace(caller_of(run.row), project_id=server.project_id)


def _mappings(tx: Transaction, run: Run[CreateServer]) -> list[BlockDeviceMapping]:
    return queries.mappings_of(tx, [run.arguments.server_id])


def _known(tx: Transaction, run: Run[CreateServer]) -> Server:
    found = queries.server(tx, run.arguments.server_id)
    if found is None:
        raise StepFailed(f"server {run.arguments.server_id} is gone")
    return found


def wait_for_volumes(run: Run[CreateServer]) -> None:
    with run.database.read() as tx:
        for mapping in _mappings(tx, run):
            volume = block_queries.volume(tx, mapping.volume_id) if mapping.volume_id else None
            if mapping.volume_id is None:
                continue
            if volume is None:
                raise StepFailed(f"volume {mapping.volume_id} is gone")
            if volume.life == "broken":
                raise StepFailed(f"volume {volume.id} could not be made: {volume.broken_reason}")
            if volume.life == "making":
                raise StepNotReady(f"volume {volume.id} is being made", pause=0.1)


def give_back(run: Run[CreateServer]) -> None:
    """Volumes that existed are reserved since the request, so this is the first step's undo. It only enqueues releases
    (idempotent, held by their claims), so a late writer does no harm; then it waits for them."""
    run.database.run_write(hand_back, run.arguments.server_id, caller_of(run.row))
    with run.database.read() as tx:
        if block_queries.attachments_of_server(tx, run.arguments.server_id):
            raise StepNotReady("its volumes are being released", pause=0.1)


def delete_made_volumes(tx: Transaction, run: Run[CreateServer]) -> None:
    server = _known(tx, run)
    made = {mapping_id for mapping_id, _ in run.arguments.made}
    for mapping in _mappings(tx, run):
        if mapping.id in made and mapping.volume_id is not None:
            volume = block_queries.volume(tx, mapping.volume_id)
            if volume is not None and volume.life == "making":
                raise StepNotReady(f"volume {volume.id} is being made", pause=0.1)
            if volume is not None:
                delete_with_server(tx, run, volume.id, owner_of(server, run))


def delete_with_server(tx: Transaction, run: Run[Any], volume_id: str, caller: Caller) -> None:
    """Delete a volume that goes with its server; what keeps it alive (a snapshot) is told to the user."""
    try:
        volumes.delete(tx, caller, volume_id)
    except PumiceError as error:
        tell_user(tx, run.row, "volume", volume_id, "delete volume", error.message)


def connect(tx: Transaction, run: Run[CreateServer]) -> None:
    server = _known(tx, run)
    caller = owner_of(server, run)
    made = dict(run.arguments.made)
    host = queries.host(tx, run.arguments.host)
    if host is None:
        raise StepFailed(f"compute host {run.arguments.host} has never reported")
    for mapping in _mappings(tx, run):
        if mapping.volume_id is None:
            continue
        attachment_id = mapping.attachment_id or made[mapping.id]
        if mapping.attachment_id is None:
            attachments.reserve(
                tx,
                caller,
                mapping.volume_id,
                server_id=server.id,
                origin="compute",
                device=mapping.device_name,
                attachment_id=attachment_id,
            )
            statement = update(block_device_mappings).where(block_device_mappings.c.id == mapping.id)
            tx.execute(statement.values(attachment_id=attachment_id, updated_at=tx.now))
        attachments.connect(tx, caller, attachment_id, {**host.connector, "mountpoint": mapping.device_name})


def wait_for_exports(run: Run[CreateServer]) -> None:
    with run.database.read() as tx:
        found = block_queries.attachments_of_server(tx, run.arguments.server_id)
    for attachment in found:
        if attachment.failure is not None:
            raise StepFailed(f"volume {attachment.volume_id} could not be exported: {attachment.failure}")
        if attachment.stage == "reserved":
            raise StepNotReady(f"volume {attachment.volume_id} is being exported", pause=0.05)


def make_files(run: Run[CreateServer]) -> None:
    with run.database.read() as tx:
        server = _known(tx, run)
        mappings = _mappings(tx, run)
    prepare_files(run, server, mappings)


def prepare_files(
    run: Run[Any], server: Server, mappings: Sequence[BlockDeviceMapping], root_image_id: str | None = None
) -> None:
    """Whatever the server has of its own on its host. root_image_id: in place of the image of its local root disk."""
    server_files.clear_scratch(run)
    if server.kernel_id is not None:
        server_files.copy_image(run, server.kernel_id, "kernel")
    if server.ramdisk_id is not None:
        server_files.copy_image(run, server.ramdisk_id, "ramdisk")
    for mapping in mappings:
        if mapping.destination_type == "local" and mapping.image_id is not None:
            size = int(server.flavor["disk"]) << 30
            server_files.copy_image(run, root_image_id or mapping.image_id, "root.raw", size)
    local_disks.make_blank_disks(run, mappings)
    if server.config_drive:
        local_disks.write_config_drive(run, config_drive.files_of(server, mappings))


def remove_files(run: Run[CreateServer]) -> None:
    server_files.remove(run.world, run.arguments.server_id)


def define(run: Run[CreateServer]) -> None:
    run.world.hypervisor.define(guest_of(run))


def undefine(run: Run[CreateServer]) -> None:
    run.world.hypervisor.undefine(run.arguments.server_id)


def start(run: Run[CreateServer]) -> None:
    run.world.hypervisor.start_guest(run.arguments.server_id)


def mark_there(tx: Transaction, run: Run[CreateServer]) -> None:
    server_id, caller = run.arguments.server_id, caller_of(run.row)
    values: Mapping[str, Any] = {
        "life": "there",
        "power": "on",
        "admin_password": None,
        "launched_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(update(servers).where(servers.c.id == server_id).values(**values))
    for attachment in block_queries.attachments_of_server(tx, server_id):
        record_attached(tx, attachment.id, caller)
    instance_actions.finish_event(tx, run.arguments.event_id)


def mark_broken(tx: Transaction, run: Run[CreateServer], reason: str) -> None:
    """One that is being deleted meanwhile is left to that."""
    server_id = run.arguments.server_id
    fault = {"code": 500, "message": reason, "created": tx.now}
    statement = update(servers).where(servers.c.id == server_id, servers.c.life == "making")
    if tx.execute(statement.values(life="broken", fault=fault, admin_password=None, updated_at=tx.now)).rowcount:
        tx.execute(
            update(block_device_mappings)
            .where(block_device_mappings.c.server_id == server_id, block_device_mappings.c.deleted_at.is_(None))
            .values(deleted_at=tx.now, updated_at=tx.now)
        )
    instance_actions.finish_event(tx, run.arguments.event_id, failure=reason)


def announce(tx: Transaction, run: Run[CreateServer]) -> None:
    settle_server(tx, run)
    if run.row.state == "done":
        notify_server(tx, run.arguments.server_id, "create.end", caller_of(run.row))
    elif run.row.state == "undone":
        notify_server(tx, run.arguments.server_id, "create.error", caller_of(run.row), {"message": run.row.error or ""})


CREATE_SERVER = Operation(
    "server.create",
    CreateServer,
    "server",
    steps=(
        Step("volumes", do=wait_for_volumes, undo=give_back, undo_record=delete_made_volumes),
        Step("connect", record=connect),
        Step("exports", do=wait_for_exports),
        Step("files", do=make_files, undo=remove_files, at=at_host, long=True),
        Step("define", do=define, undo=undefine, at=at_host),
        Step("start", do=start, at=at_host),
        Step("finish", record=mark_there),
    ),
    failed=mark_broken,
    settle=announce,
)
