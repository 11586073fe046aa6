"""Every operation of block storage through every ordeal, on a real pool of files, with kills in real processes."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pumice.block import (
    attachments,
    image_uploads,
    queries,
    services,
    snapshots,
    volume_types,
    volumes,
)
from pumice.block.model import GIB
from pumice.block.operations import (
    CONNECT_ATTACHMENT,
    CREATE_SNAPSHOT,
    CREATE_VOLUME,
    DELETE_SNAPSHOT,
    DELETE_VOLUME,
    DISCONNECT_ATTACHMENT,
    EXTEND_VOLUME,
    OPERATIONS,
    UPLOAD_VOLUME,
)
from pumice.block.services import PoolReport
from pumice.block.volume_creation import Wanted
from pumice.block.volume_creation import create as create_volume
from pumice.block.volume_sources import Source
from pumice.caller import Caller, new_id
from pumice.db.engine import Database
from pumice.db.schema import images as image_rows
from pumice.db.schema import operations as operation_rows
from pumice.db.schema import snapshots as snapshot_rows
from pumice.db.schema import volumes as volume_rows
from pumice.images import images, uploads
from pumice.images.formats.inspect import inspect
from pumice.images.model import NewImage
from pumice.images.store import ImageStore
from pumice.operations.model import Registry
from pumice.operations.world import Backend, World
from pumice.storage.config import PoolConfig
from pumice.storage.file import FileDriver
from pumice.targets.config import TargetConfig
from pumice.targets.local import LocalTarget
from tests.operations.harness import ORDEALS, Campaign, Drills, OperationCase, finish_all
from tests.support.databases import Databases

pytestmark = pytest.mark.real

HOST = "node1"
BACKEND = "node1@file"
POOL = f"{BACKEND}#pool"
CALLER = Caller(
    request_id="req-1", user_id=new_id(), project_id=new_id(), roles=frozenset({"admin"}), has_service_token=True
)
SMALL = 1 << 20
CONTENT = b"a disk" + bytes(SMALL - 7) + b"!"
CONNECTOR = {"host": HOST, "ip": "127.0.0.1", "mountpoint": "/dev/sdb"}


def open_world(directory: Path) -> World:
    config = PoolConfig(name="file", path=str(directory / "pool"), record_path=str(directory / "pool.json"))
    storage = FileDriver(config)
    storage.start()
    target = LocalTarget(TargetConfig(name="file", host=HOST, directory=str(directory / "exports")))
    target.start()
    backend = Backend(BACKEND, POOL, "file", "nova", storage, target)
    return World(host=HOST, backends={BACKEND: backend}, images=ImageStore(directory / "images"))


def close_world(world: World) -> None:
    for backend in world.backends.values():
        assert isinstance(backend.storage, FileDriver)
        backend.storage.close()


def prepare_cloud(database: Database, world: World) -> None:
    with database.write() as tx:
        volume_types.ensure_default(tx)
        services.report_service(tx, services.VOLUME_BINARY, BACKEND, "nova", [])
        report = PoolReport(
            name=POOL,
            backend=BACKEND,
            backend_name="file",
            capabilities={"atomic_snapshot": True},
            total_bytes=100 * GIB,
            free_bytes=100 * GIB,
            allocated_bytes=0,
        )
        services.report_pool(tx, report)


def finish(database: Database, world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        finish_all(database, CAMPAIGN, world, Path(folder))


def with_volume(database: Database, world: World) -> None:
    prepare_cloud(database, world)
    with database.write() as tx:
        create_volume(tx, CALLER, Wanted(size=1))
    finish(database, world)


def with_snapshot(database: Database, world: World) -> None:
    with_volume(database, world)
    ask_snapshot(database)
    finish(database, world)


def with_reservation(database: Database, world: World) -> None:
    with_volume(database, world)
    volume_id = only_volume(database)
    with database.write() as tx:
        attachments.reserve(tx, CALLER, volume_id, server_id=new_id(), origin="external")


def with_connection(database: Database, world: World) -> None:
    with_reservation(database, world)
    ask_connect(database)
    finish(database, world)


def with_small_volume_in_use(database: Database, world: World) -> None:
    """Its file has 1 MiB only: an image's bytes are hashed, and the campaign makes it many times."""
    with_connection(database, world)
    os.truncate(world.backend(BACKEND).storage.locate(only_volume(database)).path, SMALL)
    attachment_id = only_attachment(database)
    with database.write() as tx:
        attachments.complete(tx, CALLER, attachment_id)


def with_qcow2_image(database: Database, world: World) -> None:
    """An active image of 1 MiB in another format."""
    prepare_cloud(database, world)
    store, upload_id = world.images, new_id()
    assert store is not None
    with tempfile.TemporaryDirectory() as folder:
        raw, path = Path(folder) / "raw", Path(folder) / "qcow2"
        raw.write_bytes(CONTENT)
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path], check=True)
        with database.write() as tx:
            image = images.create(tx, CALLER, NewImage(disk_format="qcow2", container_format="bare"))
            uploads.begin(tx, CALLER, image.id, upload_id)
        with store.begin(image.id, upload_id) as upload:
            upload.disk_format = "qcow2"
            upload.write(path.read_bytes())
            stored = upload.publish()
    with database.write() as tx:
        uploads.finish(tx, CALLER, image.id, upload_id, stored)
    assert only_image(database) == image.id


def with_small_volume(database: Database, world: World) -> None:
    with_volume(database, world)
    os.truncate(world.backend(BACKEND).storage.locate(only_volume(database)).path, SMALL)


def only_image(database: Database) -> str:
    with database.read() as tx:
        return str(tx.execute(select(image_rows.c.id)).scalar_one())


def only_volume(database: Database) -> str:
    statement = select(volume_rows.c.id).order_by(volume_rows.c.created_at).limit(1)
    with database.read() as tx:
        return str(tx.execute(statement).scalar_one())


def only_snapshot(database: Database) -> str:
    with database.read() as tx:
        return str(tx.execute(select(snapshot_rows.c.id)).scalar_one())


def only_attachment(database: Database) -> str:
    volume_id = only_volume(database)
    with database.read() as tx:
        return queries.attachments_of(tx, [volume_id])[0].id


def asked(function: Callable[[Any, Database], object]) -> Callable[[Database], str]:
    """Run the service function; the id of the operation that it enqueued."""

    def ask(database: Database) -> str:
        with database.write() as tx:
            function(tx, database)
        newest = select(operation_rows.c.id).order_by(operation_rows.c.created_at.desc()).limit(1)
        with database.read() as tx:
            return str(tx.execute(newest).scalar_one())

    return ask


ask_blank = asked(lambda tx, database: create_volume(tx, CALLER, Wanted(size=1)))
ask_clone = asked(
    lambda tx, database: create_volume(tx, CALLER, Wanted(size=2, source=Source(volume_id=only_volume(database))))
)
ask_from_snapshot = asked(
    lambda tx, database: create_volume(tx, CALLER, Wanted(size=2, source=Source(snapshot_id=only_snapshot(database))))
)
ask_from_image = asked(
    lambda tx, database: create_volume(tx, CALLER, Wanted(size=1, source=Source(image_id=only_image(database))))
)
ask_upload_qcow2 = asked(
    lambda tx, database: image_uploads.upload(
        tx, CALLER, only_volume(database), image_uploads.WantedImage(name="copy", disk_format="qcow2")
    )
)
ask_delete = asked(lambda tx, database: volumes.delete(tx, CALLER, only_volume(database), cascade=True))
ask_extend = asked(
    lambda tx, database: volumes.extend(tx, CALLER, only_volume(database), 3, in_use_allowed=True),
)
ask_upload = asked(
    lambda tx, database: image_uploads.upload(
        tx, CALLER, only_volume(database), image_uploads.WantedImage(name="copy", force=True)
    )
)
ask_snapshot = asked(
    lambda tx, database: snapshots.create(
        tx, CALLER, only_volume(database), name=None, description=None, metadata={}, in_use_allowed=True
    )
)
ask_delete_snapshot = asked(lambda tx, database: snapshots.delete(tx, CALLER, only_snapshot(database)))
ask_connect = asked(lambda tx, database: attachments.connect(tx, CALLER, only_attachment(database), CONNECTOR))
ask_disconnect = asked(lambda tx, database: attachments.disconnect(tx, CALLER, only_attachment(database)))


def statuses(database: Database) -> list[str]:
    """The statuses of live volumes, oldest first."""
    statement = (
        select(volume_rows.c.status).where(volume_rows.c.deleted_at.is_(None)).order_by(volume_rows.c.created_at)
    )
    with database.read() as tx:
        return list(tx.execute(statement).scalars())


def volumes_are(*words: str) -> Callable[[Database, World], None]:
    def check(database: Database, world: World) -> None:
        assert statuses(database) == list(words)

    return check


def snapshot_is(word: str) -> Callable[[Database, World], None]:
    def check(database: Database, world: World) -> None:
        with database.read() as tx:
            assert tx.execute(select(snapshot_rows.c.status)).scalar_one() == word
        assert statuses(database) == ["available"]

    return check


def grown(database: Database, world: World) -> None:
    with database.read() as tx:
        assert tx.execute(select(volume_rows.c.size)).scalar_one() == 3
    assert [one.size_bytes for one in world.backend(BACKEND).storage.volumes()] == [3 * GIB]
    assert statuses(database) == ["available"]


def connected(database: Database, world: World) -> None:
    attachment_id = only_attachment(database)
    with database.read() as tx:
        attachment = queries.attachment(tx, attachment_id)
    assert attachment is not None
    assert attachment.connection_info is not None and attachment.host == HOST and attachment.device == "/dev/sdb"
    assert statuses(database) == ["attaching"]
    secret = attachment.connection_info["data"]["device_path"]
    with database.read() as tx:
        assert secret not in str(tx.execute(select(operation_rows)).all())
    assert len(world.backend(BACKEND).target.exports()) == 1


def same_size(database: Database, world: World) -> None:
    with database.read() as tx:
        assert tx.execute(select(volume_rows.c.size)).scalar_one() == 1
    assert statuses(database) == ["available"]


def refused(database: Database, world: World) -> None:
    attachment_id = only_attachment(database)
    with database.read() as tx:
        attachment = queries.attachment(tx, attachment_id)
    assert attachment is not None and attachment.failure and attachment.attach_status == "error_attaching"


def released(database: Database, world: World) -> None:
    assert statuses(database) == ["available"]
    assert world.backend(BACKEND).target.exports() == []


def all_gone(database: Database, world: World) -> None:
    assert statuses(database) == []
    storage = world.backend(BACKEND).storage
    assert list(storage.volumes()) == [] and list(storage.snapshots()) == []


def imported(database: Database, world: World) -> None:
    """The volume holds the disk inside of the image; what was converted is whole."""
    assert statuses(database) == ["available"]
    path = world.backend(BACKEND).storage.locate(only_volume(database)).path
    with open(path, "rb") as file:
        assert file.read(SMALL) == CONTENT
    assert world.images is not None
    kept = list((world.images.directory / ".converted").iterdir())
    assert [one.name for one in kept] == [f"{only_image(database)}.raw"] and kept[0].read_bytes() == CONTENT


def uploaded(image_status: str, volume_status: str) -> Callable[[Database, World], None]:
    """The image is so, with its bytes or without any; nothing else is left in the pool or the image store."""

    def check(database: Database, world: World) -> None:
        with database.read() as tx:
            columns = (image_rows.c.id, image_rows.c.status, image_rows.c.size, image_rows.c.disk_format)
            image_id, status, size, disk_format = tx.execute(select(*columns)).one()
        assert status == image_status
        assert statuses(database) == [volume_status]
        storage, store = world.backend(BACKEND).storage, world.images
        assert len(list(storage.volumes())) == 1 and list(storage.snapshots()) == []
        assert store is not None
        files = {path.name for path in store.directory.glob("*")} - {".lock"} if store.directory.exists() else set()
        if image_status == "active":
            assert store.path(image_id).stat().st_size == size
            with store.path(image_id).open("rb") as file:
                assert inspect(file.fileno(), disk_format, None) == SMALL
            assert files == {image_id}
        else:
            assert files == set()

    return check


REGISTRY = Registry()
REGISTRY.add(*OPERATIONS)
CAMPAIGN = Campaign(
    __name__,
    REGISTRY,
    open_world,
    [f"backend:{BACKEND}", f"host:{HOST}"],
    [
        OperationCase(CREATE_VOLUME, ask_blank, volumes_are("available"), volumes_are("error"), prepare_cloud, "blank"),
        OperationCase(
            CREATE_VOLUME,
            ask_clone,
            volumes_are("available", "available"),
            volumes_are("available", "error"),
            with_volume,
            "clone",
        ),
        OperationCase(
            CREATE_VOLUME,
            ask_from_snapshot,
            volumes_are("available", "available"),
            volumes_are("available", "error"),
            with_snapshot,
            "from snapshot",
        ),
        OperationCase(
            CREATE_VOLUME,
            ask_from_image,
            imported,
            volumes_are("error"),
            with_qcow2_image,
            "from qcow2",
        ),
        OperationCase(DELETE_VOLUME, ask_delete, all_gone, setup=with_snapshot),
        OperationCase(EXTEND_VOLUME, ask_extend, grown, same_size, with_volume),
        OperationCase(
            UPLOAD_VOLUME,
            ask_upload,
            uploaded("active", "in-use"),
            uploaded("deleted", "in-use"),
            with_small_volume_in_use,
            "upload in use",
        ),
        OperationCase(
            UPLOAD_VOLUME,
            ask_upload_qcow2,
            uploaded("active", "available"),
            uploaded("deleted", "available"),
            with_small_volume,
            "upload as qcow2",
        ),
        OperationCase(CREATE_SNAPSHOT, ask_snapshot, snapshot_is("available"), snapshot_is("error"), with_volume),
        OperationCase(DELETE_SNAPSHOT, ask_delete_snapshot, snapshot_is("deleted"), setup=with_snapshot),
        OperationCase(CONNECT_ATTACHMENT, ask_connect, connected, refused, with_reservation),
        OperationCase(DISCONNECT_ATTACHMENT, ask_disconnect, released, setup=with_connection),
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
