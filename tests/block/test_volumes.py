"""Volumes and snapshots from the request to the pool and back, on both databases."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event, select

from pumice.block import listings, messages, queries, snapshots, volume_creation, volumes
from pumice.block.model import GIB
from pumice.block.volume_creation import Wanted
from pumice.block.volume_sources import Source
from pumice.caller import new_id
from pumice.db.schema import events
from pumice.errors import BadRequest, InvalidField, NotFound
from pumice.outcomes import Problem
from tests.block.cloud import BlockCloud

pytestmark = pytest.mark.real


def made(cloud: BlockCloud, **wanted: object) -> str:
    found = cloud.write(volume_creation.create, cloud.member, Wanted(**{"size": 1, **wanted}))  # type: ignore[arg-type]
    cloud.drain()
    return found.volume.id


def event_types(cloud: BlockCloud, resource_id: str) -> list[str]:
    statement = select(events.c.event_type).where(events.c.resource_id == resource_id).order_by(events.c.sequence)
    return list(cloud.read(lambda tx: tx.execute(statement).scalars().all()))


def test_a_volume_is_creating_then_available_then_gone(cloud: BlockCloud) -> None:
    found = cloud.write(volume_creation.create, cloud.member, Wanted(size=2, name="data", metadata={"a": "b"}))
    assert found.volume.status == "creating"
    cloud.drain()
    volume_id = found.volume.id
    assert cloud.status(volume_id) == "available"
    assert [(one.volume_id, one.size_bytes) for one in cloud.storage.volumes()] == [(volume_id, 2 * GIB)]

    cloud.write(volumes.delete, cloud.member, volume_id)
    assert cloud.status(volume_id) == "deleting"
    cloud.drain()
    assert cloud.status(volume_id) == "deleted"
    assert list(cloud.storage.volumes()) == []
    with pytest.raises(NotFound, match=f"Volume {volume_id} could not be found"):
        cloud.read(volumes.get, cloud.member, volume_id)
    assert event_types(cloud, volume_id) == [
        "volume.create.start",
        "volume.create.end",
        "volume.delete.start",
        "volume.delete.end",
    ]


def test_no_pool_fits_and_the_message_says_why_for_each(cloud: BlockCloud) -> None:
    found = cloud.write(volume_creation.create, cloud.member, Wanted(size=5000))
    assert found.volume.status == "error"
    (message,) = cloud.read(messages.page, cloud.member, {}).items
    assert "node1@memory#pool: 100 GiB free of 5000 GiB asked" in message.user_message
    assert message.resource_id == found.volume.id


def test_a_burst_on_a_thin_pool_is_not_counted_whole_before_it_takes_space(cloud: BlockCloud) -> None:
    burst = [cloud.write(volume_creation.create, cloud.member, Wanted(size=40)).volume for _ in range(3)]  # of 100 GiB
    assert [one.status for one in burst] == ["creating"] * 3
    cloud.drain()
    assert {cloud.status(one.id) for one in burst} == {"available"}


def test_a_backend_with_a_problem_takes_nothing_and_says_what_helps(cloud: BlockCloud) -> None:
    cloud.report([Problem("program-missing", "program tgtadm not found", "install tgt")])
    refused = cloud.write(volume_creation.create, cloud.member, Wanted(size=1)).volume
    assert refused.status == "error"
    assert refused.broken_reason is not None and "program tgtadm not found (install tgt)" in refused.broken_reason
    cloud.report()
    assert cloud.status(made(cloud)) == "available"


def test_a_volume_of_error_can_be_deleted(cloud: BlockCloud) -> None:
    found = cloud.write(volume_creation.create, cloud.member, Wanted(size=5000))
    cloud.write(volumes.delete, cloud.member, found.volume.id)
    cloud.drain()
    assert cloud.status(found.volume.id) == "deleted"


def test_foreign_volumes_are_missing(cloud: BlockCloud) -> None:
    volume_id = made(cloud)
    stranger = cloud.caller()
    with pytest.raises(NotFound):
        cloud.read(volumes.get, stranger, volume_id)
    with pytest.raises(NotFound):
        cloud.write(volumes.delete, stranger, volume_id)
    assert cloud.read(volumes.get, cloud.admin, volume_id).volume.id == volume_id


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(size=None), "size in GiB is needed"),
        (Wanted(size=0), "from 1 to"),
        (Wanted(size=-1), "from 1 to"),
        (Wanted(size=1 << 40), "from 1 to"),
        (Wanted(size=1, source=Source(snapshot_id=new_id(), volume_id=new_id())), "one source"),
    ],
)
def test_bad_wishes_are_refused_with_the_field_and_what_is_right(cloud: BlockCloud, wanted: Wanted, said: str) -> None:
    with pytest.raises((InvalidField, BadRequest), match=said):
        cloud.write(volume_creation.create, cloud.member, wanted)


def test_a_clone_and_a_volume_of_a_snapshot_have_the_old_bytes(cloud: BlockCloud) -> None:
    volume_id = made(cloud)
    cloud.storage.write(volume_id, 0, b"old")
    snapshot = cloud.write(
        snapshots.create,
        cloud.member,
        volume_id,
        name="point",
        description=None,
        metadata={},
        in_use_allowed=False,
    )
    cloud.drain()
    cloud.storage.write(volume_id, 0, b"new")
    clone = made(cloud, size=None, source=Source(volume_id=volume_id))
    restored = made(cloud, size=2, source=Source(snapshot_id=snapshot.id))
    assert cloud.storage.read(clone, 0, 3) == b"new"
    assert cloud.storage.read(restored, 0, 3) == b"old"
    assert cloud.read(volumes.get, cloud.member, restored).volume.size == 2
    with pytest.raises(InvalidField, match="needs at least 2 GiB"):
        cloud.write(volume_creation.create, cloud.member, Wanted(size=1, source=Source(volume_id=restored)))


def test_a_volume_with_snapshots_is_deleted_with_them_or_not_at_all(cloud: BlockCloud) -> None:
    volume_id = made(cloud)
    snapshot = cloud.write(
        snapshots.create, cloud.member, volume_id, name=None, description=None, metadata={}, in_use_allowed=False
    )
    cloud.drain()
    with pytest.raises(BadRequest, match="has 1 snapshot; delete"):
        cloud.write(volumes.delete, cloud.member, volume_id)
    cloud.write(volumes.delete, cloud.member, volume_id, cascade=True)
    cloud.drain()
    assert cloud.status(volume_id) == "deleted"
    assert cloud.read(queries.snapshot, snapshot.id) is None
    assert list(cloud.storage.snapshots()) == []


def test_a_volume_grows_and_never_shrinks(cloud: BlockCloud) -> None:
    volume_id = made(cloud)
    cloud.write(volumes.extend, cloud.member, volume_id, 3, in_use_allowed=False)
    assert cloud.status(volume_id) == "extending"
    cloud.drain()
    assert cloud.read(volumes.get, cloud.member, volume_id).volume.size == 3
    assert [one.size_bytes for one in cloud.storage.volumes()] == [3 * GIB]
    with pytest.raises(InvalidField, match="greater than the present 3 GiB"):
        cloud.write(volumes.extend, cloud.member, volume_id, 2, in_use_allowed=False)


def test_deleting_while_something_is_made_of_it_is_refused_not_lost(cloud: BlockCloud) -> None:
    volume_id = made(cloud)
    cloud.write(volume_creation.create, cloud.member, Wanted(size=1, source=Source(volume_id=volume_id)))
    with pytest.raises(Exception, match=r"held by the operation volume\.create"):
        cloud.write(volumes.delete, cloud.member, volume_id)
    cloud.drain()
    cloud.write(volumes.delete, cloud.member, volume_id)


@contextmanager
def counted() -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("number", [1, 25])
def test_a_list_costs_a_fixed_number_of_statements(cloud: BlockCloud, number: int) -> None:
    for _ in range(number):
        cloud.write(volume_creation.create, cloud.member, Wanted(size=1))
    cloud.drain()
    with counted() as statements:
        page = cloud.read(listings.page_of_volumes, cloud.member, {})
    assert len(page.items) == number
    assert len(statements) == 1, statements


def test_a_list_is_paged_without_gaps_or_repeats(cloud: BlockCloud) -> None:
    expected = {made(cloud, name=f"v{number % 3}") for number in range(7)}
    seen: list[str] = []
    marker = None
    while True:
        params = {"limit": "2", "sort": "name:asc,created_at:desc"} | ({"marker": marker} if marker else {})
        page = cloud.read(listings.page_of_volumes, cloud.member, params)
        seen += [found.volume.id for found in page.items]
        marker = page.next_marker
        if marker is None:
            break
    assert len(seen) == 7 and set(seen) == expected
