"""The operations that replace a volume's data or move it, through every ordeal, on two real pools of files."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from pumice.block import (
    data_changes,
    managing,
    migrations,
    queries,
    services,
    volume_changes,
    volume_creation,
    volume_types,
)
from pumice.block.model import GIB
from pumice.block.operations import OPERATIONS
from pumice.block.operations.keeping import DROP_KEPT, DropKept
from pumice.block.operations.manage_volume import (
    LIST_UNMANAGED,
    MANAGE_SNAPSHOT,
    MANAGE_VOLUME,
    UNMANAGE_SNAPSHOT,
    UNMANAGE_VOLUME,
)
from pumice.block.operations.migrate_volume import MIGRATE_VOLUME, OLD_COPY, REMOVE_COPY, RETYPE_VOLUME, RemoveCopy
from pumice.block.operations.reimage_volume import REIMAGE_VOLUME
from pumice.block.operations.revert_volume import REVERT_VOLUME
from pumice.block.services import PoolReport
from pumice.block.volume_creation import Wanted
from pumice.caller import new_id
from pumice.db.engine import Database, Transaction
from pumice.db.schema import images
from pumice.db.schema import snapshots as snapshot_rows
from pumice.db.schema import volumes as volume_rows
from pumice.images.store import ImageStore
from pumice.operations import store
from pumice.operations.model import Registry, exclusive
from pumice.operations.store import enqueue
from pumice.operations.world import Backend, World
from pumice.storage.config import PoolConfig
from pumice.storage.file import FileDriver
from pumice.targets.config import TargetConfig
from pumice.targets.local import LocalTarget
from tests.block import test_operations_campaign as others
from tests.block.test_operations_campaign import BACKEND, CALLER, HOST, ask_snapshot, asked, close_world, only_volume
from tests.operations.harness import ORDEALS, Campaign, Drills, OperationCase, finish_all
from tests.support.databases import Databases

pytestmark = pytest.mark.real

OTHER = "node1@other"
OLD, NEW, OF_THE_IMAGE = b"as it was at the snapshot", b"as it is now", b"as it is in the image"
POINT = "00000000-0000-4000-8000-00000000cafe"
KIND = "kind-of-the-other"


def open_world(directory: Path) -> World:
    backends = {}
    for name in (BACKEND, OTHER):
        short = name.partition("@")[2]
        config = PoolConfig(name=short, path=str(directory / short), record_path=str(directory / f"{short}.json"))
        storage = FileDriver(config)
        storage.start()
        target = LocalTarget(TargetConfig(name=short, host=HOST, directory=str(directory / f"exports-{short}")))
        target.start()
        backends[name] = Backend(name, f"{name}#pool", short, "nova", storage, target)
    return World(host=HOST, backends=backends, images=ImageStore(directory / "images"))


def finish(database: Database, world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        finish_all(database, CAMPAIGN, world, Path(folder))


def with_volume(database: Database, world: World) -> None:
    """A volume in the first pool, whose bytes are NEW."""
    with database.write() as tx:
        volume_types.ensure_default(tx)
        specs = {"volume_backend_name": "other"}
        volume_types.create(tx, volume_types.NewType(name=KIND, extra_specs=specs))
        for name in (BACKEND, OTHER):
            services.report_service(tx, services.VOLUME_BINARY, name, "nova", [])
            report = PoolReport(
                name=f"{name}#pool",
                backend=name,
                backend_name=name.partition("@")[2],
                capabilities={},
                total_bytes=100 * GIB,
                free_bytes=(100 if name == BACKEND else 50) * GIB,
                allocated_bytes=0,
            )
            services.report_pool(tx, report)
        volume_creation.create(tx, CALLER, Wanted(size=1))
    finish(database, world)
    write(database, world, NEW)


def with_snapshot(database: Database, world: World) -> None:
    """The same with a snapshot, whose bytes are OLD."""
    with_volume(database, world)
    write(database, world, OLD)
    ask_snapshot(database)
    finish(database, world)
    write(database, world, NEW)


def with_image(database: Database, world: World) -> None:
    with_volume(database, world)
    assert world.images is not None
    image_id = new_id()
    world.images.directory.mkdir(parents=True, exist_ok=True)
    world.images.path(image_id).write_bytes(OF_THE_IMAGE)
    row = {
        "id": image_id,
        "project_id": new_id(),
        "name": "image",
        "status": "active",
        "visibility": "public",
        "disk_format": "raw",
        "container_format": "bare",
        "protected": False,
        "hidden": False,
        "min_disk": 0,
        "min_ram": 0,
        "size": len(OF_THE_IMAGE),
        "properties": {"os": "none"},
        "tags": [],
        "checksum": "0" * 32,
        "hash_algorithm": "sha512",
        "hash_value": "0" * 128,
        "created_at": 1,
        "updated_at": 1,
    }
    with database.write() as tx:
        tx.execute(images.insert(), row)


def with_old_copy(database: Database, world: World) -> None:
    """The volume has moved; what is left of it waits to be removed."""
    with_volume(database, world)
    ask_migrate(database)
    finish(database, world)
    world.backend(BACKEND).storage.create(only_volume(database), GIB, 1)


def write(database: Database, world: World, data: bytes) -> None:
    fd = os.open(world.backend(BACKEND).storage.locate(only_volume(database)).path, os.O_WRONLY)
    try:
        os.pwrite(fd, data, 4096)
    finally:
        os.close(fd)


def has(data: bytes, *, backend: str = BACKEND, migration: str | None = None) -> Callable[[Database, World], None]:
    """The volume is available on that backend, with these bytes; nothing is left of what was kept meanwhile."""

    def check(database: Database, world: World) -> None:
        volume_id = only_volume(database)
        with database.read() as tx:
            volume = queries.volume(tx, volume_id)
            kept = {row.id for row in tx.execute(select(snapshot_rows.c.id, snapshot_rows.c.status))}
            words = set(tx.execute(select(snapshot_rows.c.status)).scalars())
        assert volume is not None
        assert (volume.status, volume.backend, volume.pool) == ("available", backend, f"{backend}#pool")
        assert volume.migration_status == migration
        assert words <= {"available"}
        location = world.backend(backend).storage.locate(volume_id)
        with Path(location.path).open("rb") as stored:
            stored.seek(4096 if data is not OF_THE_IMAGE else 0)
            assert stored.read(len(data)) == data
        assert location.size_bytes == GIB
        for name, one in world.backends.items():
            assert [found.volume_id for found in one.storage.volumes()] == ([volume_id] if name == backend else [])
            assert {found.snapshot_id for found in one.storage.snapshots()} == (kept if name == BACKEND else set())

    return check


def of_the_image(database: Database, world: World) -> None:
    has(OF_THE_IMAGE)(database, world)
    volume_id = only_volume(database)
    with database.read() as tx:
        volume = queries.volume(tx, volume_id)
    assert volume is not None and volume.bootable and (volume.image_metadata or {})["os"] == "none"


def retyped(database: Database, world: World) -> None:
    has(NEW, backend=OTHER, migration="success")(database, world)
    volume_id = only_volume(database)
    with database.read() as tx:
        found = queries.volume_with_attachments(tx, volume_id)
    assert found is not None and found.type_name == KIND


def only_one(database: Database, table: object) -> str:
    with database.read() as tx:
        return str(tx.execute(select(table.c.id)).scalar_one())  # type: ignore[attr-defined]


ask_revert = asked(
    lambda tx, database: data_changes.revert(tx, CALLER, only_volume(database), only_one(database, snapshot_rows))
)
ask_reimage = asked(
    lambda tx, database: data_changes.reimage(tx, CALLER, only_volume(database), only_one(database, images))
)
ask_migrate = asked(lambda tx, database: migrations.migrate(tx, CALLER, only_volume(database), f"{OTHER}#pool"))
ask_retype = asked(
    lambda tx, database: volume_changes.retype(tx, CALLER, only_volume(database), KIND, may_move=True),
)


def ask_remove_copy(database: Database) -> str:
    """As `switch` does it: once more, with what the switch left."""
    volume_id = only_volume(database)
    with database.write() as tx:
        left = RemoveCopy(volume_id=volume_id, backend=BACKEND)
        claims = (exclusive(OLD_COPY, volume_id),)
        return enqueue(tx, REMOVE_COPY, left, subject_id=volume_id, claims=claims, caller=CALLER).id


def with_kept(database: Database, world: World) -> None:
    """The volume was reverted; what was kept of it waits to be dropped."""
    with_snapshot(database, world)
    world.backend(BACKEND).storage.create_snapshot(only_volume(database), POINT, 1, lambda done, total: None)


def ask_drop_kept(database: Database) -> str:
    volume_id = only_volume(database)
    with database.write() as tx:
        kept = DropKept(volume_id=volume_id, backend=BACKEND, point_id=POINT)
        claims = (exclusive("snapshot", POINT),)
        return enqueue(tx, DROP_KEPT, kept, subject_id=volume_id, claims=claims, caller=CALLER).id


def with_aside(database: Database, world: World) -> None:
    """The volume was let go; its data is set aside."""
    with_volume(database, world)
    volume_id = only_volume(database)
    ask_unmanage(database)
    finish(database, world)
    assert [one.name for one in world.backend(BACKEND).storage.unmanaged()] == [f"volume-{volume_id}"]


def with_snapshot_aside(database: Database, world: World) -> None:
    with_snapshot(database, world)
    ask_unmanage_snapshot(database)
    finish(database, world)


def first(database: Database) -> str:
    with database.read() as tx:
        return str(tx.execute(select(volume_rows.c.id).order_by(volume_rows.c.created_at).limit(1)).scalar_one())


def manage_first(tx: Transaction, database: Database) -> None:
    wanted = managing.WantedVolume(host=f"{BACKEND}#pool", source_name=f"volume-{first(database)}")
    managing.manage(tx, CALLER, wanted)


def manage_snapshot_again(tx: Transaction, database: Database) -> None:
    name = f"_snapshot-{oldest_snapshot(database)}"
    managing.manage_snapshot(tx, CALLER, managing.WantedSnapshot(volume_id=only_volume(database), source_name=name))


def oldest_snapshot(database: Database) -> str:
    with database.read() as tx:
        return str(tx.execute(select(snapshot_rows.c.id).order_by(snapshot_rows.c.created_at).limit(1)).scalar_one())


ask_unmanage = asked(lambda tx, database: managing.unmanage(tx, CALLER, only_volume(database)))
ask_manage = asked(manage_first)
ask_unmanage_snapshot = asked(lambda tx, database: managing.unmanage_snapshot(tx, CALLER, oldest_snapshot(database)))
ask_manage_snapshot = asked(manage_snapshot_again)
ask_list = asked(lambda tx, database: managing.look(tx, CALLER, BACKEND))


def rows_and_data(*, live: list[str], snapshots: list[str], aside: int) -> Callable[[Database, World], None]:
    """The statuses of live volumes and snapshots, and how much is set aside in the pool."""

    def check(database: Database, world: World) -> None:
        with database.read() as tx:
            for table, words in ((volume_rows, live), (snapshot_rows, snapshots)):
                found = tx.execute(select(table.c.status).where(table.c.deleted_at.is_(None))).scalars()
                assert list(found) == words
        storage = world.backend(BACKEND).storage
        assert len(list(storage.unmanaged())) == aside
        assert len(list(storage.volumes())) == len([word for word in live if word == "available"])
        assert len(list(storage.snapshots())) == len([word for word in snapshots if word == "available"])

    return check


def managed(database: Database, world: World) -> None:
    rows_and_data(live=["available"], snapshots=[], aside=0)(database, world)
    (stored,) = world.backend(BACKEND).storage.volumes()
    assert stored.volume_id != first(database) and stored.size_bytes == GIB
    with Path(world.backend(BACKEND).storage.locate(stored.volume_id).path).open("rb") as file:
        file.seek(4096)
        assert file.read(len(NEW)) == NEW


def listed(database: Database, world: World) -> None:
    with database.read() as tx:
        (row,) = store.list_operations(tx, kind=LIST_UNMANAGED.kind)
    assert row.state == "done" and [one["size_bytes"] for one in row.results["list"]] == [GIB]


REGISTRY = Registry()
REGISTRY.add(*OPERATIONS)
CAMPAIGN = Campaign(
    __name__,
    REGISTRY,
    open_world,
    [f"backend:{BACKEND}", f"backend:{OTHER}", f"host:{HOST}"],
    [
        OperationCase(REVERT_VOLUME, ask_revert, has(OLD), has(NEW), with_snapshot),
        OperationCase(REIMAGE_VOLUME, ask_reimage, of_the_image, has(NEW), with_image),
        OperationCase(
            MIGRATE_VOLUME,
            ask_migrate,
            has(NEW, backend=OTHER, migration="success"),
            has(NEW, migration="error"),
            with_volume,
        ),
        OperationCase(
            UNMANAGE_VOLUME,
            ask_unmanage,
            rows_and_data(live=[], snapshots=[], aside=1),
            rows_and_data(live=["available"], snapshots=[], aside=0),
            with_volume,
        ),
        OperationCase(
            MANAGE_VOLUME, ask_manage, managed, rows_and_data(live=["error"], snapshots=[], aside=1), with_aside
        ),
        OperationCase(
            UNMANAGE_SNAPSHOT,
            ask_unmanage_snapshot,
            rows_and_data(live=["available"], snapshots=[], aside=1),
            rows_and_data(live=["available"], snapshots=["available"], aside=0),
            with_snapshot,
        ),
        OperationCase(
            MANAGE_SNAPSHOT,
            ask_manage_snapshot,
            rows_and_data(live=["available"], snapshots=["available"], aside=0),
            rows_and_data(live=["available"], snapshots=["error"], aside=1),
            with_snapshot_aside,
        ),
        OperationCase(LIST_UNMANAGED, ask_list, listed, setup=with_aside),
        OperationCase(DROP_KEPT, ask_drop_kept, has(NEW), setup=with_kept),
        OperationCase(RETYPE_VOLUME, ask_retype, retyped, has(NEW, migration="error"), with_volume),
        OperationCase(REMOVE_COPY, ask_remove_copy, has(NEW, backend=OTHER, migration="success"), setup=with_old_copy),
    ],
    close_world=close_world,
)


@pytest.mark.campaign
@pytest.mark.parametrize("case", CAMPAIGN.cases, ids=str)
@pytest.mark.parametrize("ordeal", ORDEALS, ids=lambda ordeal: ordeal.__name__)
def test_ordeal(
    ordeal: Callable[[Drills], None], case: OperationCase, databases: Databases, database_kind: str, tmp_path: Path
) -> None:
    ordeal(Drills(CAMPAIGN, case, databases, database_kind, tmp_path))


def test_every_operation_has_a_case() -> None:
    cases = (*CAMPAIGN.cases, *others.CAMPAIGN.cases)
    assert set(REGISTRY.kinds()) == {case.operation.kind for case in cases}
