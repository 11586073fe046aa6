"""Images in the database: who sees and changes what, uploads that end, lists. Both databases."""

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from pumice.caller import Caller, new_id
from pumice.db.engine import Database, Transaction
from pumice.db.schema import events, operation_resources, operations
from pumice.db.schema import images as table
from pumice.errors import BadRequest, Busy, Conflict, Forbidden, NotFound, PumiceError, WrongState
from pumice.images import images, queries, uploads
from pumice.images.attributes import Change
from pumice.images.model import Image, NewImage
from pumice.images.store import ImageStore
from pumice.operations.model import Operation, Step, shared
from pumice.operations.store import enqueue

pytestmark = pytest.mark.real


def make(database: Database, caller: Caller, **wanted: Any) -> Image:
    with database.write() as tx:
        return images.create(tx, caller, NewImage(**{"disk_format": "raw", "container_format": "bare", **wanted}))


def fill(database: Database, store: ImageStore, caller: Caller, image: Image, data: bytes = b"data") -> Image:
    upload_id = new_id()
    with store.begin(image.id, upload_id) as file:
        with database.write() as tx:
            uploads.begin(tx, caller, image.id, upload_id)
        file.write(data)
        stored = file.publish()
        with database.write() as tx:
            return uploads.finish(tx, caller, image.id, upload_id, stored)


def active(database: Database, store: ImageStore, caller: Caller, **wanted: Any) -> Image:
    return fill(database, store, caller, make(database, caller, **wanted))


def get(database: Database, caller: Caller, image_id: str) -> Image:
    with database.read() as tx:
        return images.get(tx, caller, image_id)


def listed(database: Database, caller: Caller, tags: tuple[str, ...] = (), **params: str) -> list[str | None]:
    with database.read() as tx:
        return [image.name for image in queries.list_images(tx, caller, params, tags).items]


class MakeVolume(msgspec.Struct, frozen=True):
    """Arguments of an operation that reads an image."""

    image_id: str


MAKE_VOLUME = Operation(
    "volume.create",
    MakeVolume,
    subject="volume",
    steps=(Step("fill", record=lambda tx, run: None),),
    failed=lambda tx, run, reason: None,
    settle=lambda tx, run: None,
)


def claim(tx: Transaction, caller: Caller, image_id: str) -> str:
    """A live operation that makes a volume of the image."""
    claims = [shared("image", image_id)]
    return enqueue(tx, MAKE_VOLUME, MakeVolume(image_id), subject_id=new_id(), claims=claims, caller=caller).id


def release(tx: Transaction, operation_id: str) -> None:
    """What the engine does when the operation ends."""
    tx.execute(operation_resources.delete().where(operation_resources.c.operation_id == operation_id))
    ended = {"state": "done", "finished_at": tx.now, "session_id": None}
    tx.execute(update(operations).where(operations.c.id == operation_id).values(ended))


def test_an_image_goes_from_queued_to_active_with_its_digests(
    database: Database, store: ImageStore, owner: Caller
) -> None:
    image = make(database, owner, name="a", properties={"kernel_id": "k"}, tags=["t"])
    assert (image.status, image.visibility, image.size) == ("queued", "shared", None)
    fill(database, store, owner, image, b"abc")
    found = get(database, owner, image.id)
    assert (found.status, found.size, found.virtual_size, found.upload_id) == ("active", 3, 3, None)
    assert found.checksum == "900150983cd24fb0d6963f7d28e17f72"
    assert (found.hash_algorithm, (found.hash_value or "")[:16]) == ("sha512", "ddaf35a193617aba")
    assert (found.properties, found.tags) == ({"kernel_id": "k"}, ["t"])


def test_every_change_is_told(database: Database, store: ImageStore, owner: Caller) -> None:
    image = active(database, store, owner)
    with database.write() as tx:
        images.patch(tx, owner, image.id, [Change("replace", "name", "b")])
    with database.write() as tx:
        images.delete(tx, owner, image.id)
    with database.read() as tx:
        told = tx.execute(select(events.c.event_type, events.c.payload).order_by(events.c.sequence)).all()
    assert [row.event_type for row in told] == ["image.create", "image.upload", "image.update", "image.delete"]
    assert [row.payload["size"] for row in told] == [None, 4, 4, 4]
    assert {row.payload["id"] for row in told} == {image.id}


@pytest.mark.parametrize(
    ("visibility", "seen"), [("public", True), ("community", True), ("shared", False), ("private", False)]
)
def test_who_sees_and_who_changes(
    database: Database, owner: Caller, stranger: Caller, admin: Caller, visibility: str, seen: bool
) -> None:
    image = make(database, admin, project_id=owner.project_id, visibility=visibility)
    for allowed in (owner, admin):
        assert get(database, allowed, image.id).id == image.id
        with database.write() as tx:
            images.patch(tx, allowed, image.id, [Change("replace", "min_disk", 3)])
    attempts: list[Callable[[Any], object]] = [
        lambda tx: images.patch(tx, stranger, image.id, []),
        lambda tx: images.deactivate(tx, stranger, image.id),
        lambda tx: uploads.begin(tx, stranger, image.id, new_id()),
        lambda tx: images.add_tag(tx, stranger, image.id, "mine"),
    ]
    for attempt in attempts:
        with pytest.raises(Forbidden if seen else NotFound), database.write() as tx:
            attempt(tx)
    if not seen:
        with pytest.raises(NotFound):
            get(database, stranger, image.id)


def test_only_an_administrator_publishes_and_gives_away(
    database: Database, owner: Caller, stranger: Caller, admin: Caller
) -> None:
    refused: list[dict[str, Any]] = [{"visibility": "public"}, {"project_id": stranger.project_id}]
    for wanted in refused:
        with pytest.raises(Forbidden):
            make(database, owner, **wanted)
    image = make(database, owner, visibility="community")
    for change in (Change("replace", "visibility", "public"), Change("replace", "owner", stranger.project_id)):
        with pytest.raises(Forbidden), database.write() as tx:
            images.patch(tx, owner, image.id, [change])
        with database.write() as tx:
            images.patch(tx, admin, image.id, [change])
    found = get(database, stranger, image.id)
    assert (found.visibility, found.project_id) == ("public", stranger.project_id)


def test_an_id_is_given_once_for_ever(database: Database, store: ImageStore, owner: Caller, stranger: Caller) -> None:
    image = make(database, owner, id="7a9bfc34-36a5-4d48-8b1c-9e4cbd1ec7c5")
    with database.write() as tx:
        images.delete(tx, owner, image.id)
    with pytest.raises(Conflict, match="already exists"):
        make(database, stranger, id=image.id)


def test_a_protected_image_is_not_deleted(database: Database, store: ImageStore, owner: Caller) -> None:
    image = make(database, owner, protected=True)
    with pytest.raises(Forbidden, match="protected"), database.write() as tx:
        images.delete(tx, owner, image.id)
    with database.write() as tx:
        images.patch(tx, owner, image.id, [Change("replace", "protected", False)])
    with database.write() as tx:
        images.delete(tx, owner, image.id)
    with pytest.raises(NotFound):
        get(database, owner, image.id)


def test_a_deleted_image_keeps_its_bytes(database: Database, store: ImageStore, owner: Caller) -> None:
    image = active(database, store, owner)
    with pytest.raises(RuntimeError, match="rolled back"), database.write() as tx:
        images.delete(tx, owner, image.id)
        raise RuntimeError("rolled back")
    assert get(database, owner, image.id).status == "active"
    with database.write() as tx:
        images.delete(tx, owner, image.id)
    assert uploads.sweep(database, store).removed == []
    assert store.published() == [image.id]


def test_an_image_that_becomes_a_volume_keeps_its_bytes(database: Database, store: ImageStore, owner: Caller) -> None:
    image = active(database, store, owner)
    with database.write() as tx:
        operation_id = claim(tx, owner, image.id)
    with pytest.raises(Busy, match=r"volume\.create"), database.write() as tx:
        images.delete(tx, owner, image.id)
    assert get(database, owner, image.id).status == "active"
    with database.write() as tx:
        release(tx, operation_id)
    with database.write() as tx:
        images.delete(tx, owner, image.id)


def test_delete_waits_for_whoever_is_just_taking_the_image(
    database: Database, store: ImageStore, owner: Caller
) -> None:
    image = active(database, store, owner)
    refused: list[PumiceError] = []

    def delete() -> None:
        try:
            with database.write() as tx:
                images.delete(tx, owner, image.id)
        except Busy as error:
            refused.append(error)

    with database.write() as tx:
        images.for_boot(tx, owner, image.id)
        other = threading.Thread(target=delete)
        other.start()
        other.join(0.2)
        assert other.is_alive()
        claim(tx, owner, image.id)
    other.join(10)
    assert [type(error) for error in refused] == [Busy]
    assert get(database, owner, image.id).status == "active"


def test_a_deactivated_image_is_read_by_administrators_only(
    database: Database, store: ImageStore, owner: Caller, admin: Caller
) -> None:
    image = active(database, store, owner)
    for _ in range(2):
        with database.write() as tx:
            images.deactivate(tx, owner, image.id)
    with pytest.raises(Forbidden, match="deactivated"), database.read() as tx:
        images.readable(tx, owner, image.id)
    with pytest.raises(BadRequest, match="is deactivated"), database.write() as tx:
        images.for_boot(tx, owner, image.id)
    with database.read() as tx:
        assert images.readable(tx, admin, image.id).status == "deactivated"
    with database.write() as tx:
        images.reactivate(tx, owner, image.id)
    with database.write() as tx:
        assert images.for_boot(tx, owner, image.id).status == "active"


def test_only_an_active_image_boots_or_is_deactivated(database: Database, owner: Caller, stranger: Caller) -> None:
    image = make(database, owner)
    with pytest.raises(Forbidden, match="queued; deactivate needs active"), database.write() as tx:
        images.deactivate(tx, owner, image.id)
    with pytest.raises(BadRequest, match="is queued; it must be active"), database.write() as tx:
        images.for_boot(tx, owner, image.id)
    for nobodys in (image.id, new_id()):
        with pytest.raises(NotFound), database.write() as tx:
            images.for_boot(tx, stranger, nobodys)


def test_of_two_uploads_the_first_wins(database: Database, store: ImageStore, owner: Caller) -> None:
    image = make(database, owner)
    first = new_id()
    with database.write() as tx:
        uploads.begin(tx, owner, image.id, first)
    with pytest.raises(WrongState, match="saving; upload needs queued"), database.write() as tx:
        uploads.begin(tx, owner, image.id, new_id())
    with database.write() as tx:
        assert uploads.begin(tx, owner, image.id, first).upload_id == first
        assert not uploads.abandon(tx, image.id, new_id())
        assert uploads.abandon(tx, image.id, first)
    assert get(database, owner, image.id).status == "queued"
    fill(database, store, owner, image)
    with pytest.raises(WrongState, match="is active"), database.write() as tx:
        uploads.begin(tx, owner, image.id, new_id())


def test_an_upload_needs_the_formats(database: Database, owner: Caller) -> None:
    image = make(database, owner, disk_format=None, container_format=None)
    with pytest.raises(BadRequest, match="disk_format and container_format"), database.write() as tx:
        uploads.begin(tx, owner, image.id, new_id())


def test_an_upload_of_a_deleted_image_ends_with_a_conflict(
    database: Database, store: ImageStore, owner: Caller
) -> None:
    image, upload_id = make(database, owner), new_id()
    with store.begin(image.id, upload_id) as file:
        with database.write() as tx:
            uploads.begin(tx, owner, image.id, upload_id)
        with database.write() as tx:
            images.delete(tx, owner, image.id)
        stored = file.publish()
        with pytest.raises(Conflict, match="deleted during the upload"), database.write() as tx:
            uploads.finish(tx, owner, image.id, upload_id, stored)


def test_the_sweep_ends_what_nobody_works_at(database: Database, store: ImageStore, owner: Caller) -> None:
    kept = active(database, store, owner)
    live, half, whole, claimed = (make(database, owner) for _ in range(4))
    ids = {image.id: new_id() for image in (live, half, whole, claimed)}
    for image_id, upload_id in ids.items():
        with database.write() as tx:
            uploads.begin(tx, owner, image_id, upload_id)
    with database.write() as tx:
        claim(tx, owner, claimed.id)
    (store.directory / f".{half.id}.{ids[half.id]}.upload").write_bytes(b"half")
    store.path(whole.id).write_bytes(b"published, and then its process died")
    store.path(orphan := new_id()).write_bytes(b"of no image")
    with store.begin(live.id, ids[live.id]) as file:
        file.write(b"at it")
        swept = uploads.sweep(database, store)
        assert sorted(swept.queued) == sorted([half.id, whole.id])
        assert sorted(swept.removed) == sorted([half.id, whole.id, orphan])
        assert uploads.sweep(database, store) == uploads.Swept([], [])
        assert get(database, owner, live.id).status == "saving"
        stored = file.publish()
        assert uploads.sweep(database, store) == uploads.Swept([], [])
        with database.write() as tx:
            uploads.finish(tx, owner, live.id, ids[live.id], stored)
    assert uploads.sweep(database, store) == uploads.Swept([], [])
    assert sorted(store.published()) == sorted([kept.id, live.id])
    states = [get(database, owner, image.id).status for image in (kept, live, half, whole, claimed)]
    assert states == ["active", "active", "queued", "queued", "saving"]


def test_tags_come_and_go(database: Database, owner: Caller) -> None:
    image = make(database, owner)
    for _ in range(2):
        with database.write() as tx:
            images.add_tag(tx, owner, image.id, "red")
    assert get(database, owner, image.id).tags == ["red"]
    with database.write() as tx:
        images.remove_tag(tx, owner, image.id, "red")
    with pytest.raises(NotFound), database.write() as tx:
        images.remove_tag(tx, owner, image.id, "red")


def test_the_schema_ties_saving_to_an_upload(database: Database, owner: Caller) -> None:
    image = make(database, owner)
    with pytest.raises(Exception, match=r"ck_images_upload|CHECK"), database.write() as tx:
        tx.execute(update(table).where(table.c.id == image.id).values(status="saving"))


# ---- lists


@pytest.fixture
def several(database: Database, store: ImageStore, owner: Caller, stranger: Caller, admin: Caller) -> None:
    make(database, owner, name="mine", tags=["a", "b"], properties={"colour": "red", 'q"uote': "x"}, min_ram=512)
    active(database, store, owner, name="mine, too", tags=["b"], visibility="private", disk_format="aki")
    make(database, owner, name="hidden", hidden=True)
    make(database, stranger, name="theirs", visibility="private")
    make(database, stranger, name="everybody's", visibility="community")
    make(database, admin, name="public", visibility="public", protected=True, properties={"colour": "blue"})
    with database.write() as tx:
        gone = images.create(tx, owner, NewImage(name="gone"))
        images.delete(tx, owner, gone.id)


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {"mine", "mine, too", "public"}),
        ({"name": "mine"}, {"mine"}),
        ({"name": 'in:"mine, too",public'}, {"mine, too", "public"}),
        ({"status": "active"}, {"mine, too"}),
        ({"status": "in:active,queued"}, {"mine", "mine, too", "public"}),
        ({"visibility": "public"}, {"public"}),
        ({"visibility": "private"}, {"mine, too"}),
        ({"visibility": "community"}, {"everybody's"}),
        ({"visibility": "all"}, {"mine", "mine, too", "public", "everybody's"}),
        ({"os_hidden": "true"}, {"hidden"}),
        ({"disk_format": "aki"}, {"mine, too"}),
        ({"size_min": "4"}, {"mine, too"}),
        ({"size_max": "3"}, set()),
        ({"min_ram": "512"}, {"mine"}),
        ({"protected": "true"}, {"public"}),
        ({"colour": "red"}, {"mine"}),
        ({"colour": "blue"}, {"public"}),
        ({'q"uote': "x"}, {"mine"}),
        ({"colour": "green"}, set()),
        ({"created_at": "gte:2001-01-01T00:00:00Z"}, {"mine", "mine, too", "public"}),
        ({"created_at": "lt:2001-01-01T00:00:00Z"}, set()),
        ({"member_status": "all"}, {"mine", "mine, too", "public"}),
    ],
)
def test_a_list_is_filtered(database: Database, owner: Caller, params: dict[str, str], expected: set[str]) -> None:
    assert set(listed(database, owner, **params)) == expected


@pytest.mark.usefixtures("several")
def test_tags_are_asked_for_together(database: Database, owner: Caller) -> None:
    assert set(listed(database, owner, ("b",))) == {"mine", "mine, too"}
    assert listed(database, owner, ("a", "b")) == ["mine"]
    assert listed(database, owner, ("a", "c")) == []


@pytest.mark.usefixtures("several")
def test_an_administrator_lists_all_but_foreign_community_images(database: Database, admin: Caller) -> None:
    assert set(listed(database, admin)) == {"mine", "mine, too", "theirs", "public"}
    assert set(listed(database, admin, visibility="all")) == {"mine", "mine, too", "theirs", "public", "everybody's"}


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("sort", ["name:asc", "size:desc,name:asc", "created_at:desc", "disk_format:asc"])
def test_pages_put_together_are_the_list(database: Database, admin: Caller, sort: str) -> None:
    whole = listed(database, admin, visibility="all", sort=sort)
    pages: list[str | None] = []
    params = {"visibility": "all", "sort": sort, "limit": "2"}
    while True:
        with database.read() as tx:
            page = queries.list_images(tx, admin, params, ())
        pages += [image.name for image in page.items]
        if page.next_marker is None:
            break
        params["marker"] = page.next_marker
    assert pages == whole
    assert len(whole) == 5


@pytest.mark.parametrize(
    "params",
    [
        {"visibility": "open"},
        {"member_status": "maybe"},
        {"os_hidden": "perhaps"},
        {"size_min": "-1"},
        {"size_max": str(2**63)},
        {"min_ram": "many"},
        {"name": 'in:"open'},
        {"sort": "colour:asc"},
        {"sort": "name:up"},
        {"limit": "x"},
        {"marker": "nobody"},
        {"created_at": "gt:yesterday"},
    ],
)
def test_a_filter_that_is_none_is_refused(database: Database, owner: Caller, params: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        listed(database, owner, **params)


def test_an_image_is_meant_by_its_id_or_by_a_name_that_is_its_own(
    database: Database, owner: Caller, stranger: Caller
) -> None:
    image, foreign = make(database, owner, name="tiny"), make(database, stranger, name="theirs", visibility="private")
    with database.read() as tx:
        for wanted in (image.id, "tiny"):
            assert queries.id_of(tx, owner, wanted) == image.id
        assert queries.id_of(tx, owner, "theirs") == "theirs"
        assert queries.id_of(tx, stranger, "theirs") == foreign.id
    make(database, owner, name="tiny")
    with database.read() as tx, pytest.raises(BadRequest, match="Several images are named tiny"):
        queries.id_of(tx, owner, "tiny")
