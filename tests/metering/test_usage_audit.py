"""The audit: each resource alive in the period once, whatever a row holds, in a fixed number of statements a page."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text, update

from pumice.db.schema import events, snapshots, volumes
from pumice.metering.audited import KINDS
from pumice.metering.periods import Period, shown
from pumice.metering.usage_audit import AuditSummary, audit, message_id
from tests.metering.world import ADMIN, PROJECT, TYPE, USER, Meters

BEGIN, END = 1_790_812_800_000_000, 1_793_491_200_000_000
OCTOBER = Period(BEGIN, END)


def run(meters: Meters, period: Period = OCTOBER, **options: Any) -> AuditSummary:
    return audit(meters.database, period, caller=ADMIN, **options)


def told(meters: Meters, event_type: str = "volume.exists") -> list[str]:
    return [event.resource_id for event in meters.events(event_type)]


def test_a_volume_is_told_with_all_that_bills_need(meters: Meters) -> None:
    volume_id = meters.volume(BEGIN + 500_000, name="database", size=7, metadata={"a": "b"}, image_metadata={"c": "d"})
    attachment_id = meters.attachment(volume_id, "server-1")
    assert run(meters).sent == 1
    (event,) = meters.events("volume.exists")
    assert event.payload == {
        "tenant_id": PROJECT,
        "host": "node1@file#pool",
        "user_id": USER,
        "availability_zone": "nova",
        "volume_id": volume_id,
        "volume_type": TYPE,
        "display_name": "database",
        "launched_at": "2026-10-01T00:00:00.500000",
        "created_at": "2026-10-01T00:00:00.500000",
        "status": "available",
        "snapshot_id": None,
        "size": 7,
        "replication_status": "disabled",
        "replication_extended_status": None,
        "replication_driver_data": None,
        "metadata": {"a": "b"},
        "volume_attachment": [
            {
                "id": attachment_id,
                "volume_id": volume_id,
                "server_id": "server-1",
                "instance_uuid": "server-1",
                "attached_host": "node1",
                "mountpoint": "/dev/sdb",
                "attach_mode": "rw",
                "attach_status": "attached",
                "attach_time": "1970-01-01T00:00:00.000001",
                "detach_time": None,
            }
        ],
        "glance_metadata": [{"key": "c", "value": "d"}],
        "audit_period_beginning": "2026-10-01 00:00:00",
        "audit_period_ending": "2026-11-01 00:00:00",
    }
    assert event.publisher_id == "volume.node1@file"
    assert "hush" not in str(event) and "iqn" not in str(event)


def test_connection_info_is_not_even_read(meters: Meters) -> None:
    volume_id = meters.volume("2026-10-01")
    meters.attachment(volume_id, "server-1")
    with meters.database.write() as tx:
        broken = "'{not json'" if meters.database.sqlite else "'[]'"
        tx.execute(text(f"UPDATE attachments SET connection_info = {broken}, connector = {broken}"))
    assert run(meters).failed == 0
    assert told(meters) == [volume_id]


def test_a_snapshot_is_told_with_its_volumes_zone(meters: Meters) -> None:
    volume_id = meters.volume("2026-01-01", availability_zone="east")
    snapshot_id = meters.snapshot(volume_id, "2026-10-02")
    run(meters)
    (event,) = meters.events("snapshot.exists")
    assert event.payload == {
        "tenant_id": PROJECT,
        "user_id": USER,
        "availability_zone": "east",
        "volume_id": volume_id,
        "volume_size": 2,
        "snapshot_id": snapshot_id,
        "display_name": "before",
        "created_at": "2026-10-02T00:00:00.000000",
        "status": "available",
        "deleted": "",
        "metadata": "{'why': 'upgrade'}",
        "audit_period_beginning": "2026-10-01 00:00:00",
        "audit_period_ending": "2026-11-01 00:00:00",
    }


def test_borders_are_exact(meters: Meters) -> None:
    alive = {
        meters.volume(BEGIN - 10),
        meters.volume(BEGIN),
        meters.volume(END - 1),
        meters.volume(BEGIN - 10, BEGIN + 1),
        meters.volume(BEGIN, BEGIN + 1),
        meters.volume(BEGIN - 10, END),
        meters.volume(BEGIN - 10, END + 10),
    }
    meters.volume(END)
    meters.volume(BEGIN - 10, BEGIN)
    meters.volume(BEGIN - 10, BEGIN - 1)
    run(meters)
    assert sorted(told(meters)) == sorted(alive)


lives = st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers(1, 20)), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives=lives, length=st.integers(1, 15))
def test_each_volume_is_told_once_in_each_period_that_it_lived_in(
    meters: Meters, lives: list[tuple[int, int | None]], length: int
) -> None:
    with meters.database.write() as tx:
        tx.execute(delete(volumes))
        tx.execute(delete(events))
    made = {}
    for begun, lasted in lives:
        end = None if lasted is None else begun + lasted
        made[meters.volume(begun, end)] = (begun, end)
    periods = [Period(begin, begin + length) for begin in range(0, 60, length)]
    for period in periods:
        run(meters, period, send_actions=True, page=3)
    stored = {
        (event.event_type, event.resource_id, event.payload["audit_period_beginning"]) for event in meters.events()
    }
    assert len(stored) == len(meters.events())
    for volume_id, (begun, end) in made.items():
        expected = {
            shown(period.begin) for period in periods if begun < period.end and (end is None or end > period.begin)
        }
        assert {when for kind, name, when in stored if (kind, name) == ("volume.exists", volume_id)} == expected
        for action, count in (("create.start", 1), ("create.end", 1), ("delete.start", end is not None)):
            assert len([1 for kind, name, _ in stored if (kind, name) == (f"volume.{action}", volume_id)]) == count


def test_a_second_run_stores_nothing_and_says_the_same(meters: Meters) -> None:
    for day in range(1, 8):
        meters.snapshot(meters.volume(f"2026-10-0{day}"), "2026-10-09")
    first = run(meters, send_actions=True)
    stored = meters.events()
    meters.volume("2026-09-01")
    second = run(meters, send_actions=True)
    assert (first.sent, first.failed, first.kinds["volume"].repeated) == (7 * 6, 0, 0)
    assert (second.sent, second.kinds["volume"].repeated, second.kinds["snapshot"].repeated) == (43, 21, 21)
    assert meters.events()[:-1] == stored


def test_message_ids_are_made_of_type_resource_and_period() -> None:
    ids = {
        message_id("volume.exists", "1", OCTOBER),
        message_id("volume.exists", "1", Period(BEGIN, END + 1)),
        message_id("volume.exists", "2", OCTOBER),
        message_id("volume.create.end", "1", OCTOBER),
    }
    assert len(ids) == 4
    # Never change this: what was billed would be billed again.
    assert message_id("volume.exists", "1", OCTOBER) == "33e599ea-430e-5c10-b5cd-473475ea0066"


def test_deleted_in_the_period_is_told_with_its_actions(meters: Meters) -> None:
    volume_id = meters.volume("2026-09-01", "2026-10-15")
    run(meters, send_actions=True)
    assert [event.event_type for event in meters.events()] == [
        "volume.exists",
        "volume.delete.start",
        "volume.delete.end",
    ]
    assert {event.resource_id for event in meters.events()} == {volume_id}
    assert meters.events()[0].payload["status"] == "deleted"


@pytest.mark.parametrize("wrong", ['["a", "list"]', '{"a": {"deep": 1}}', "17"])
def test_a_bad_row_is_named_and_the_rest_is_told(meters: Meters, wrong: str) -> None:
    good = [meters.volume("2026-10-01") for _ in range(4)]
    bad = meters.volume("2026-10-01")
    with meters.database.write() as tx:
        column = "CAST(:value AS JSONB)" if not meters.database.sqlite else ":value"
        tx.execute(text(f"UPDATE volumes SET metadata = {column} WHERE id = :id"), {"value": wrong, "id": bad})
    summary = run(meters, page=2)
    assert sorted(told(meters)) == sorted(good)
    assert (summary.sent, summary.failed) == (4, 1)
    assert summary.failures[0].id == bad
    assert "metadata cannot be read" in summary.failures[0].reason


def test_rows_that_cannot_be_read_at_all_are_named(meters: Meters) -> None:
    good, broken, bytes_ = (meters.volume("2026-10-01") for _ in range(3))
    with meters.database.write() as tx:
        if meters.database.sqlite:
            tx.execute(text("UPDATE volumes SET metadata = '{\"a' WHERE id = :id"), {"id": broken})
            tx.execute(text("UPDATE volumes SET name = CAST(X'ff41' AS TEXT) WHERE id = :id"), {"id": bytes_})
        else:
            # PostgreSQL stores no such thing; a time before the year 1 is what its columns allow.
            tx.execute(update(volumes).where(volumes.c.id.in_([broken, bytes_])).values(created_at=-(2**62)))
    summary = run(meters, page=2)
    assert told(meters) == [good]
    assert sorted(bad.id for bad in summary.failures) == sorted([broken, bytes_])
    assert summary.kinds["volume"].resources == 3


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_the_number_of_statements_a_page_is_fixed(meters: Meters, kind: Any) -> None:
    def fill(count: int) -> None:
        for _ in range(count):
            volume_id = meters.volume("2026-10-01")
            meters.attachment(volume_id, "server-1")
            meters.snapshot(volume_id, "2026-10-02")

    def statements(page: int) -> int:
        with meters.database.write() as tx:
            tx.execute(delete(events))
        with meters.counted() as seen:
            summary = run(meters, kinds=[kind], page=page)
        assert summary.failed == 0
        return len([one for one in seen if not one.startswith(("BEGIN", "PRAGMA"))])

    fill(2)
    few = statements(100)
    fill(10)
    assert statements(100) == few
    # 12 rows are four pages, the last one empty, or three: a page costs its rows, what belongs to them, one insert.
    assert statements(4) - statements(6) <= 3


def test_snapshots_of_purged_volumes_are_still_told(meters: Meters) -> None:
    volume_id = meters.volume("2026-10-01")
    snapshot_id = meters.snapshot(volume_id, "2026-10-02")
    with meters.database.write() as tx:
        tx.execute(update(snapshots).values(deleted_at=END - 1, life="gone", status="deleted"))
    run(meters)
    assert told(meters, "snapshot.exists") == [snapshot_id]
