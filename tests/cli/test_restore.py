"""`pumice image` and `pumice flavor`: deleted ones are listed and come back."""

import json
from pathlib import Path

import pytest

from pumice.caller import new_id
from pumice.compute import flavors
from pumice.db.engine import Database
from pumice.images import images, uploads
from pumice.images.model import NewImage
from pumice.images.store import ImageStore
from tests.cli.test_commands import database as database
from tests.cli.test_commands import pumice
from tests.cli.test_commands import state as state
from tests.images.conftest import caller

pytestmark = pytest.mark.real


def test_a_deleted_image_is_listed_and_restored(state: Path, database: Database) -> None:
    owner, store, upload_id = caller(), ImageStore(state / "images"), new_id()
    with database.write() as tx:
        image = images.create(tx, owner, NewImage(name="precious", disk_format="raw", container_format="bare"))
        uploads.begin(tx, owner, image.id, upload_id)
    with store.begin(image.id, upload_id) as upload:
        upload.write(b"data")
        stored = upload.publish()
    with database.write() as tx:
        uploads.finish(tx, owner, image.id, upload_id, stored)
    store.close()
    assert "precious" in pumice("image", "list", state=state).stdout
    with database.write() as tx:
        images.delete(tx, owner, image.id)
    assert "precious" not in pumice("image", "list", state=state).stdout
    (listed,) = json.loads(pumice("image", "list", "--deleted", "--json", state=state).stdout)
    assert (listed["id"], listed["name"], listed["servers"], listed["volumes"]) == (image.id, "precious", 0, 0)
    done = pumice("image", "restore", image.id, state=state)
    assert (done.returncode, done.stdout) == (0, f"image {image.id} (precious) is active again\n")
    with database.read() as tx:
        assert images.get(tx, owner, image.id).name == "precious"
    again = pumice("image", "restore", image.id, state=state)
    assert again.returncode == 1 and "There is no deleted image" in again.stderr


def test_a_deleted_flavor_is_listed_and_restored(state: Path, database: Database) -> None:
    with database.write() as tx:
        flavors.ensure_defaults(tx)
        flavors.delete(tx, "2")
    assert "m1.small" not in pumice("flavor", "list", state=state).stdout
    (listed,) = json.loads(pumice("flavor", "list", "--deleted", "--json", state=state).stdout)
    assert (listed["id"], listed["name"], listed["servers"]) == ("2", "m1.small", 0)
    with database.write() as tx:
        flavors.create(tx, "20", "m1.small", memory_mib=64, vcpus=1, disk=0)
    refused = pumice("flavor", "restore", "2", state=state)
    assert refused.returncode == 1 and "Flavor 20 is called m1.small now" in refused.stderr
    with database.write() as tx:
        flavors.delete(tx, "20")
    done = pumice("flavor", "restore", "2", state=state)
    assert (done.returncode, done.stdout) == (0, "flavor 2 (m1.small) is there again\n")
    with database.read() as tx:
        assert flavors.known(tx, "2").memory_mib == 256
    assert pumice("flavor", "restore", "2", state=state).returncode == 1


def test_a_new_flavor_may_have_the_id_of_a_deleted_one(database: Database) -> None:
    with database.write() as tx:
        flavors.ensure_defaults(tx)
        flavors.delete(tx, "2")
        assert flavors.create(tx, "2", "other", memory_mib=64, vcpus=1, disk=0).name == "other"
        assert flavors.deleted(tx) == []
