"""Rebuild a server from an image: its local disks anew, or its root volume with the image's bytes.

    take       its turn
    stop       the guest is off                                                       undo: as it was
    files      what it had on its host is kept, new files are made from the image     undo: the kept ones again
    reimage    its root volume's data is kept, and replaced by the image's            undo: the kept data again
    define     the hypervisor knows the new guest
    start      if it ran                                                              undo: stop it
    finish     what was kept is cleared

Name, metadata, image and the like are the new ones from the request on, as clients expect; undone, they are the old
ones. Volumes stay attached.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import delete, update

from pumice.compute import queries
from pumice.compute.notifications import notify_server
from pumice.compute.operations import clear_kept, server_directories
from pumice.compute.operations.clear_kept import Kept, at_kept, forget_points
from pumice.compute.operations.create_server import prepare_files
from pumice.compute.operations.definitions import guest_of
from pumice.compute.operations.restarting import record_facts, start, start_as_it_was, stop, stop_again
from pumice.compute.operations.settling import at_host, finish_action, settle_server, take_server
from pumice.db.engine import Transaction
from pumice.db.schema import block_device_mappings, servers, volumes
from pumice.images.operations.plain import plain_image
from pumice.operations.model import Operation, Run, Step, StepFailed, caller_of, exclusive
from pumice.storage.contract import NotFound


class RootMapping(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the mapping of the local root disk: "changed" (from `image_id`), "added" or "removed"."""

    id: str
    change: str
    image_id: str | None = None


class RebuildServer(msgspec.Struct, frozen=True, kw_only=True):
    """`old`: columns of the server as they were. `kept`: the root volume's, where that is reimaged."""

    server_id: str
    host: str
    event_id: str
    runs: bool
    image_id: str
    old: dict[str, Any]
    root: RootMapping | None = None
    kept: Kept | None = None
    image_metadata: dict[str, str] | None = None

    @property
    def old_guest(self) -> dict[str, Any]:
        """What the guest's definition depends on."""
        return {name: self.old[name] for name in ("name", "kernel_id", "ramdisk_id", "config_drive")}


def take(tx: Transaction, run: Run[RebuildServer]) -> None:
    others = [exclusive("server_files", run.arguments.server_id)]
    kept = run.arguments.kept
    if kept is not None:
        others += [exclusive("volume", one) for one in (kept.volume_id, kept.new_id)]
        others += [exclusive("snapshot", one) for one in (kept.old_id, kept.new_id)]
    take_server(tx, run, *others)


def files(run: Run[RebuildServer]) -> None:
    server_directories.set_aside(run.world, run.arguments.server_id)
    with run.database.read() as tx:
        server = queries.server(tx, run.arguments.server_id)
        mappings = queries.mappings_of(tx, [run.arguments.server_id])
    if server is None:
        raise StepFailed(f"server {run.arguments.server_id} is gone")
    prepare_files(run, server, mappings)


def files_back(run: Run[RebuildServer]) -> None:
    server_directories.bring_back(run.world, run.arguments.server_id)


def reimage(run: Run[RebuildServer]) -> None:
    kept = run.arguments.kept
    if kept is None:
        return
    storage = run.world.backend(kept.backend).storage
    size = storage.locate(kept.volume_id).size_bytes
    storage.create_snapshot(kept.volume_id, kept.old_id, run.epoch, run.progress)
    with plain_image(run, run.arguments.image_id) as path:
        storage.import_file(str(path), kept.new_id, size, run.epoch, run.progress)
    storage.create_snapshot(kept.new_id, kept.new_id, run.epoch, run.progress)
    storage.revert(kept.volume_id, kept.new_id, run.epoch, run.progress)


def data_back(run: Run[RebuildServer]) -> None:
    """Without the snapshot nothing was replaced yet."""
    kept = run.arguments.kept
    if kept is None:
        return
    storage = run.world.backend(kept.backend).storage
    storage.discard(kept.volume_id, run.epoch)
    if any(found.snapshot_id == kept.old_id for found in storage.snapshots()):
        try:
            storage.revert(kept.volume_id, kept.old_id, run.epoch, run.progress)
        except NotFound as error:
            raise StepFailed(f"volume {kept.volume_id} is not in its pool: {error}") from error
    forget_points(run, kept)


def define(run: Run[RebuildServer]) -> None:
    run.world.hypervisor.define(guest_of(run))


def mark_rebuilt(tx: Transaction, run: Run[RebuildServer]) -> None:
    wanted = run.arguments
    record_facts(tx, run, {"admin_password": None, "launched_at": tx.now})
    if wanted.kept is not None:
        statement = update(volumes).where(volumes.c.id == wanted.kept.volume_id)
        tx.execute(statement.values(image_metadata=wanted.image_metadata, bootable=True, updated_at=tx.now))
    clear_kept.hand_over(tx, run, caller_of(run.row), wanted.kept)


def fail(tx: Transaction, run: Run[RebuildServer], reason: str) -> None:
    """It is as it was, and says so."""
    wanted = run.arguments
    tx.execute(
        update(servers)
        .where(servers.c.id == wanted.server_id)
        .values(**wanted.old, admin_password=None, updated_at=tx.now)
    )
    if wanted.root is not None:
        put_back(tx, wanted.root)
    finish_action(tx, run, reason)
    if not run.row.cancel_requested:
        notify_server(tx, wanted.server_id, "rebuild.error", caller_of(run.row), {"message": reason})


def put_back(tx: Transaction, root: RootMapping) -> None:
    """The mapping of the local root disk as it was."""
    table = block_device_mappings
    if root.change == "added":
        tx.execute(delete(table).where(table.c.id == root.id))
        return
    values: Mapping[str, Any] = {"deleted_at": None} if root.change == "removed" else {"image_id": root.image_id}
    tx.execute(update(table).where(table.c.id == root.id).values(**values, updated_at=tx.now))


def settle(tx: Transaction, run: Run[RebuildServer]) -> None:
    settle_server(tx, run)
    if run.row.state == "done":
        notify_server(tx, run.arguments.server_id, "rebuild.end", caller_of(run.row))


REBUILD_SERVER = Operation(
    "server.rebuild",
    RebuildServer,
    "server",
    steps=(
        Step("take", record=take, at=at_host),
        Step("stop", do=stop, undo=start_as_it_was, at=at_host, long=True),
        Step("files", do=files, undo=files_back, at=at_host, long=True),
        Step("reimage", do=reimage, undo=data_back, at=at_kept, long=True),
        Step("define", do=define, at=at_host),
        Step("start", do=start, undo=stop_again, at=at_host),
        Step("finish", record=mark_rebuilt, at=at_host),
    ),
    failed=fail,
    settle=settle,
)
