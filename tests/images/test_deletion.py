"""Deleted images come back with all they had, or lose their data in the end. Both databases, real files."""

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from pumice.block import volume_types
from pumice.caller import Caller, new_id, system_caller
from pumice.clock import DAY
from pumice.db.engine import Database
from pumice.db.schema import images as table
from pumice.db.schema import servers, volumes
from pumice.errors import Conflict, NotFound
from pumice.images import deletion, images, members, uploads
from pumice.images.model import Image
from pumice.images.store import ImageStore
from tests.images.test_images import active, get, listed, make

pytestmark = pytest.mark.real


def delete(database: Database, caller: Caller, image: Image, *, ago: int = 0) -> None:
    """ago: microseconds."""
    with database.write() as tx:
        images.delete(tx, caller, image.id)
        tx.execute(update(table).where(table.c.id == image.id).values(deleted_at=tx.now - ago))


def restore(database: Database, store: ImageStore, image_id: str) -> Image:
    with database.write() as tx:
        return deletion.restore(tx, system_caller(), image_id, store)


def deleted(database: Database) -> list[str]:
    with database.read() as tx:
        return [image.id for image in deletion.deleted(tx)]


def add_server(database: Database, caller: Caller, **facts: Any) -> str:
    """A row of a server that is there."""
    row = {
        "id": new_id(),
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "flavor_id": "1",
        "flavor": {},
        "availability_zone": "nova",
        "host": "node1",
        "metadata": {},
        "tags": [],
        "config_drive": False,
        "locked": False,
        "life": "there",
        "power": "on",
        "status": "ACTIVE",
        "vm_state": "active",
    }
    with database.write() as tx:
        tx.execute(insert(servers), {**row, "created_at": tx.now, **facts})
    return str(row["id"])


def add_volume(database: Database, caller: Caller, image_id: str) -> str:
    """A row of a volume that was made of the image."""
    with database.write() as tx:
        volume_types.ensure_default(tx)
        kind = volume_types.default(tx)
        row = {
            "id": new_id(),
            "project_id": caller.project_id,
            "user_id": caller.user_id,
            "size": 1,
            "volume_type_id": kind.id,
            "availability_zone": "nova",
            "backend": "node1@file",
            "pool": "node1@file#pool",
            "metadata": {},
            "bootable": True,
            "multiattach": False,
            "read_only": False,
            "image_id": image_id,
            "consumes_quota": True,
            "life": "there",
            "status": "available",
            "attach_status": "detached",
            "created_at": tx.now,
            "updated_at": tx.now,
        }
        tx.execute(insert(volumes), row)
    return str(row["id"])


def test_a_restored_image_is_what_it_was(
    database: Database, store: ImageStore, owner: Caller, stranger: Caller
) -> None:
    image = active(database, store, owner, name="a", tags=["t"], properties={"colour": "red"}, min_disk=3)
    assert stranger.project_id is not None
    with database.write() as tx:
        members.add(tx, owner, image.id, stranger.project_id)
    delete(database, owner, image)
    with pytest.raises(NotFound):
        get(database, owner, image.id)
    assert listed(database, owner) == [] and deleted(database) == [image.id]
    restored = restore(database, store, image.id)
    assert restored.status == "active" and restored.deleted_at is None
    for name in ("name", "tags", "properties", "min_disk", "size", "hash_value", "visibility", "project_id"):
        assert getattr(restored, name) == getattr(image, name)
    assert store.open(image.id).read(0, 10) == b"data"
    assert get(database, stranger, image.id).name == "a"
    assert deleted(database) == [] and listed(database, owner) == ["a"]


def test_a_queued_and_a_deactivated_image_are_so_again(
    database: Database, store: ImageStore, owner: Caller, admin: Caller
) -> None:
    queued, off, saving = make(database, owner), active(database, store, owner), make(database, owner)
    with database.write() as tx:
        images.deactivate(tx, admin, off.id)
    with database.write() as tx:
        uploads.begin(tx, owner, saving.id, new_id())
    for image in (queued, off, saving):
        delete(database, owner, image)
    assert restore(database, store, queued.id).status == "queued"
    assert restore(database, store, off.id).status == "deactivated"
    assert restore(database, store, saving.id).status == "queued"


def test_what_was_never_deleted_or_never_was_is_not_restored(
    database: Database, store: ImageStore, owner: Caller
) -> None:
    image = active(database, store, owner)
    for image_id in (image.id, new_id()):
        with pytest.raises(NotFound, match="There is no deleted image"):
            restore(database, store, image_id)


def test_the_data_goes_when_its_time_is_over(database: Database, store: ImageStore, owner: Caller) -> None:
    old, young, live = (active(database, store, owner) for _ in range(3))
    delete(database, owner, old, ago=8 * DAY)
    delete(database, owner, young, ago=6 * DAY)
    assert deletion.purge(database, store, 7 * DAY) == [old.id]
    assert sorted(store.published()) == sorted([young.id, live.id])
    assert deleted(database) == [young.id]
    with pytest.raises(Conflict, match="was removed after its deletion"):
        restore(database, store, old.id)
    assert deletion.purge(database, store, 7 * DAY) == []
    assert deletion.purge(database, store, 0) == [young.id]


@pytest.mark.parametrize("use", ["image_id", "kernel_id", "ramdisk_id", "volume"])
def test_the_data_stays_while_it_is_in_use(use: str, database: Database, store: ImageStore, owner: Caller) -> None:
    image = active(database, store, owner)
    user = add_volume(database, owner, image.id) if use == "volume" else add_server(database, owner, **{use: image.id})
    delete(database, owner, image, ago=900 * DAY)
    with database.read() as tx:
        assert deletion.uses(tx, image.id) == ((0, 1) if use == "volume" else (1, 0))
    assert deletion.purge(database, store, 7 * DAY) == []
    assert store.published() == [image.id]
    users = volumes if use == "volume" else servers
    gone = {"life": "gone", "status": "deleted" if use == "volume" else "DELETED"}
    with database.write() as tx:
        tx.execute(update(users).where(users.c.id == user).values(**gone, deleted_at=tx.now))
    assert deletion.purge(database, store, 7 * DAY) == [image.id]
    assert store.published() == []


def test_killed_while_purging_the_sweep_removes_the_data(database: Database, store: ImageStore, owner: Caller) -> None:
    image = active(database, store, owner)
    delete(database, owner, image)
    with database.write() as tx:
        tx.execute(update(table).where(table.c.id == image.id).values(deleted_status=None))
    assert uploads.sweep(database, store).removed == [image.id]
    assert store.published() == []


def test_data_that_is_missing_is_not_restored(database: Database, store: ImageStore, owner: Caller) -> None:
    image = active(database, store, owner)
    delete(database, owner, image)
    store.remove(image.id)
    with pytest.raises(Conflict, match="removed after its deletion"):
        restore(database, store, image.id)
    with database.read() as tx:
        assert tx.execute(select(table.c.status).where(table.c.id == image.id)).scalar_one() == "deleted"
