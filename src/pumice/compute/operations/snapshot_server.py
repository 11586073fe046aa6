"""createImage of a server: an image of its local root disk, or of snapshots of its volumes; running or not.

    server.snapshot            take      its turn
                               look      does the guest run? (one that its user paused stays paused)
                               pause     it stands still                            undo: it goes on
                               freeze    a copy of the disk as of this moment       undo: remove it
                               resume    it goes on
                               upload    the bytes go to the image store            undo: remove them
                               clean     the copy is removed
                               finish    the image is active

    server.snapshot_volumes    wait      until the snapshots are taken              undo: delete them
                               upload    the image has no bytes of its own          undo: remove it
                               finish    the image is active, and names the snapshots

The image is "saving" while the operation lives, and "deleted" when it could not be made.
"""

import msgspec

from pumice.block import queries as block_queries
from pumice.block import snapshots
from pumice.caller import Caller
from pumice.compute.notifications import notify_server
from pumice.compute.operations import root_images
from pumice.compute.operations.settling import at_host, finish_action, settle_server, take_server
from pumice.db.engine import Transaction
from pumice.hypervisors.contract import GuestState
from pumice.images.store import Stored
from pumice.operations.model import Operation, Run, Step, StepFailed, StepNotReady, caller_of


class SnapshotServer(msgspec.Struct, frozen=True, kw_only=True):
    """`snapshots`: those taken of its volumes; () where the root disk is local."""

    server_id: str
    host: str
    event_id: str
    image_id: str
    upload_id: str
    project_id: str
    snapshots: tuple[str, ...] = ()


def take(tx: Transaction, run: Run[SnapshotServer]) -> None:
    take_server(tx, run)


def look(run: Run[SnapshotServer]) -> str:
    """Durable before we touch it, so that a second try does not take our pause for its user's."""
    return str(run.world.hypervisor.state(run.arguments.server_id).value)


def pause(run: Run[SnapshotServer]) -> None:
    if run.results["look"] == GuestState.RUNNING.value:
        run.world.hypervisor.pause(run.arguments.server_id)


def resume(run: Run[SnapshotServer]) -> None:
    hypervisor, server_id = run.world.hypervisor, run.arguments.server_id
    if run.results["look"] == GuestState.RUNNING.value and hypervisor.state(server_id) is GuestState.PAUSED:
        hypervisor.resume(server_id)


def upload(run: Run[SnapshotServer]) -> Stored:
    return root_images.upload(run, root_images.frozen(run))


def wait_for_snapshots(run: Run[SnapshotServer]) -> None:
    with run.database.read() as tx:
        for snapshot_id in run.arguments.snapshots:
            found = block_queries.snapshot(tx, snapshot_id)
            if found is None:
                raise StepFailed(f"snapshot {snapshot_id} is gone")
            if found.life == "broken":
                raise StepFailed(f"snapshot {snapshot_id} could not be taken: {found.broken_reason}")
            if found.life == "making":
                raise StepNotReady(f"snapshot {snapshot_id} is being taken", pause=0.1)


def delete_snapshots(tx: Transaction, run: Run[SnapshotServer]) -> None:
    caller: Caller = msgspec.structs.replace(caller_of(run.row), project_id=run.arguments.project_id)
    for snapshot_id in run.arguments.snapshots:
        found = block_queries.snapshot(tx, snapshot_id)
        if found is not None and found.life == "making":
            raise StepNotReady(f"snapshot {snapshot_id} is being taken", pause=0.1)
        if found is not None and found.life in ("there", "broken"):
            snapshots.delete(tx, caller, snapshot_id)


def mark_active(tx: Transaction, run: Run[SnapshotServer]) -> None:
    root_images.make_active(tx, run, msgspec.convert(run.results["upload"], Stored))
    finish_action(tx, run)


def fail(tx: Transaction, run: Run[SnapshotServer], reason: str) -> None:
    root_images.give_up_image(tx, run)
    finish_action(tx, run, reason)


def settle(tx: Transaction, run: Run[SnapshotServer]) -> None:
    settle_server(tx, run)
    if run.row.state == "done":
        notify_server(
            tx,
            run.arguments.server_id,
            "snapshot.end",
            caller_of(run.row),
            {"snapshot_image_id": run.arguments.image_id},
        )


SNAPSHOT_SERVER = Operation(
    "server.snapshot",
    SnapshotServer,
    "server",
    steps=(
        Step("take", record=take, at=at_host),
        Step("look", do=look, at=at_host),
        Step("pause", do=pause, undo=resume, at=at_host),
        Step("freeze", do=root_images.freeze, undo=root_images.thaw, at=at_host, long=True),
        Step("resume", do=resume, at=at_host, attempts=1000),
        Step("upload", do=upload, undo=root_images.forget_upload, at=at_host, long=True),
        Step("clean", do=root_images.thaw, at=at_host, attempts=1000),
        Step("finish", record=mark_active),
    ),
    failed=fail,
    settle=settle,
)
SNAPSHOT_VOLUMES = Operation(
    "server.snapshot_volumes",
    SnapshotServer,
    "server",
    steps=(
        Step("wait", do=wait_for_snapshots, undo_record=delete_snapshots),
        Step("upload", do=upload, undo=root_images.forget_upload, at=at_host),
        Step("finish", record=mark_active),
    ),
    failed=fail,
    settle=settle,
)
