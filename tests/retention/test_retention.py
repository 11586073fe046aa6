"""Retention: every table stays bounded over years of churn, nothing that is needed goes, nobody waits for it long."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import Table, func, select, update

from pumice.caller import new_id, system_caller
from pumice.clock import DAY, HOUR, ManualClock
from pumice.db import purged, schema
from pumice.db.engine import Database, Transaction
from pumice.metering.periodic_audit import run_due
from pumice.metering.periods import Period
from pumice.metering.usage_audit import audit
from pumice.retention.purge import BATCH, count, purge
from pumice.retention.rules import BOUNDED, RULES, unruled
from pumice.settings import RetentionSettings, Settings
from tests.block.cloud import prepare
from tests.retention.rows import add
from tests.support.databases import Databases

pytestmark = pytest.mark.fast

SETTINGS = Settings()
RULED: dict[str, Table] = {rule.table.name: rule.table for rule in RULES}


@pytest.fixture
def database(databases: Databases, database_kind: str) -> Iterator[Database]:
    with databases.fresh(database_kind, prepare) as url:
        opened = Database(url, clock=ManualClock())
        yield opened
        opened.close()


def quickly(database: Database, settings: Settings = SETTINGS, **options: Any) -> dict[str, int]:
    """Purge without resting; rows removed, by table."""
    return {one.table: one.rows for one in purge(database, settings, rest=lambda seconds: None, **options)}


def rows(tx: Transaction, name: str) -> int:
    return int(tx.execute(select(func.count()).select_from(schema.metadata.tables[name])).scalar_one())


def churn(tx: Transaction) -> None:
    """One of everything is made, used, and is over in the same moment."""
    now = tx.now
    over: dict[str, Any] = {"created_at": now, "deleted_at": now}
    kind = add(tx, schema.volume_types, name=new_id(), **over)
    add(tx, schema.volume_type_access, volume_type_id=kind["id"])
    volume = add(tx, schema.volumes, volume_type_id=kind["id"], life="gone", status="deleted", **over)
    add(tx, schema.volume_holds, volume_id=volume["id"], created_at=now, expires_at=now)
    snapshot = add(tx, schema.snapshots, volume_id=volume["id"], life="gone", status="deleted", **over)
    add(tx, schema.marks, resource_type="snapshot", resource_id=snapshot["id"], created_at=now)
    add(tx, schema.attachments, volume_id=volume["id"], stage="released", **over)
    server = add(tx, schema.servers, life="gone", flavor_id=new_id(), **over)
    add(tx, schema.block_device_mappings, server_id=server["id"], volume_id=volume["id"], **over)
    action = add(tx, schema.instance_actions, server_id=server["id"], start_time=now)
    add(tx, schema.instance_action_events, action_id=action["id"], start_time=now)
    add(tx, schema.images, status="deleted", updated_at=now, **over)
    add(tx, schema.flavors, id=new_id(), name=new_id(), **over)
    add(tx, schema.messages, created_at=now, expires_at=now + 30 * DAY)
    add(tx, schema.events, message_id=new_id(), generated=now)
    add(tx, schema.idempotency_keys, created_at=now)
    add(tx, schema.operations, state="done", created_at=now, updated_at=now, finished_at=now)
    add(tx, schema.worker_sessions, started_at=now, heartbeat_at=now, ended_at=now)
    add(tx, schema.login_attempts, client=new_id(), last_at=now)
    user = tx.execute(select(schema.users.c.id)).scalar_one()
    add(tx, schema.tokens, digest=new_id(), user_id=user, issued_at=now, expires_at=now + 4 * HOUR)
    add(tx, schema.quota_limits, project_id=new_id(), updated_at=now)
    add(tx, schema.compute_quota_limits, project_id=new_id(), updated_at=now)
    add(tx, schema.default_volume_types, project_id=new_id(), volume_type_id=kind["id"], updated_at=now)
    add(tx, schema.usage_audits, period="hour@0", begins_at=now - HOUR, ends_at=now, finished_at=now)


def test_every_table_is_bounded_by_a_rule_or_a_reason() -> None:
    assert unruled() == set(), "give it a rule in retention/rules.py, or the reason why it does not grow"
    assert all(len(reason) > 5 for reason in BOUNDED.values())


def test_years_of_churn_leave_every_table_as_large_as_after_the_first(database: Database) -> None:
    clock = database.clock
    assert isinstance(clock, ManualClock)
    with database.write() as tx:
        domain = add(tx, schema.domains, id="default")
        add(tx, schema.users, domain_id=domain["id"])
    sizes: list[dict[str, int]] = []
    for _ in range(26):
        clock.advance(40 * DAY)
        database.run_write(churn)
        quickly(database)
        with database.read() as tx:
            sizes.append({name: rows(tx, name) for name in schema.metadata.tables})
    grown = {name: (sizes[13][name], sizes[25][name]) for name in sizes[13] if sizes[25][name] > sizes[13][name]}
    assert grown == {}
    with database.read() as tx:
        removed = dict(tx.execute(select(schema.purges.c.table_name, schema.purges.c.removed)).all())
    assert set(removed) == set(RULED), "the churn above must make rows of every table that has a rule"
    assert min(removed.values()) >= 12


def test_a_dry_run_says_what_a_purge_removes_and_changes_nothing(database: Database) -> None:
    with database.write() as tx:
        for _ in range(3):
            add(tx, schema.messages, created_at=1, expires_at=tx.now - 1)
        add(tx, schema.messages, created_at=1, expires_at=tx.now + 1)
    assert {one.table: one.rows for one in count(database, SETTINGS) if one.rows} == {"messages": 3}
    with database.read() as tx:
        assert rows(tx, "messages") == 4
    assert quickly(database)["messages"] == 3
    with database.read() as tx:
        assert rows(tx, "messages") == 1


def test_a_row_stays_while_something_that_is_kept_refers_to_it(database: Database) -> None:
    settings = Settings(retention=RetentionSettings(attachments=1000))
    with database.write() as tx:
        old: dict[str, Any] = {"created_at": 1, "deleted_at": tx.now - 500 * DAY}
        kind = add(tx, schema.volume_types, **old)
        flavor = add(tx, schema.flavors, id="small", **old)
        image = add(tx, schema.images, status="deleted", updated_at=1, **old)
        restorable = add(tx, schema.images, status="deleted", deleted_status="active", updated_at=1, **old)
        volume = add(tx, schema.volumes, volume_type_id=kind["id"], life="gone", status="deleted", **old)
        add(tx, schema.attachments, volume_id=volume["id"], stage="released", **old)
        server = add(tx, schema.servers, life="making", image_id=image["id"], flavor_id=flavor["id"], created_at=1)
        session = add(tx, schema.worker_sessions, ended_at=1)
        add(tx, schema.place_owners, session_id=session["id"])
        add(tx, schema.operations, state="running", session_id=session["id"])
    assert not any(quickly(database, settings).values())

    with database.write() as tx:
        tx.execute(update(schema.servers).values(life="gone", deleted_at=tx.now))
    removed = quickly(database)
    assert {name for name, number in removed.items() if number} == {
        "attachments", "volumes", "volume_types", "images", "flavors",
    }  # fmt: skip
    with database.read() as tx:
        assert tx.execute(select(schema.images.c.id)).scalars().all() == [restorable["id"]]
        assert tx.execute(select(schema.servers.c.id)).scalars().all() == [server["id"]]


def test_what_was_set_for_a_project_goes_after_the_project_and_what_it_had(database: Database) -> None:
    with database.write() as tx:
        domain = add(tx, schema.domains)
        living = add(tx, schema.projects, domain_id=domain["id"])["id"]
        gone, with_things = new_id(), new_id()
        kind = add(tx, schema.volume_types)
        add(tx, schema.volumes, project_id=with_things, volume_type_id=kind["id"], life="making", created_at=1)
        add(tx, schema.servers, project_id=with_things, life="making", flavor_id=new_id(), created_at=1)
        for project in (living, gone, with_things):
            add(tx, schema.quota_limits, project_id=project)
            add(tx, schema.compute_quota_limits, project_id=project)
            add(tx, schema.default_volume_types, project_id=project, volume_type_id=kind["id"])
        add(tx, schema.compute_quota_limits, project_id="")
    quickly(database)
    with database.read() as tx:
        for table in (schema.quota_limits, schema.compute_quota_limits, schema.default_volume_types):
            kept = set(tx.execute(select(table.c.project_id)).scalars()) - {""}
            assert kept == {living, with_things}, table.name
        assert rows(tx, "compute_quota_limits") == 3


def test_it_works_in_small_transactions_and_leaves_the_database_to_others_between_them(database: Database) -> None:
    with database.write() as tx:
        old = {"created_at": 1, "deleted_at": 1, "life": "gone", "status": "deleted"}
        kind = add(tx, schema.volume_types)
        for number in range(25):
            volume = add(tx, schema.volumes, volume_type_id=kind["id"], **old)
            if number % 5 == 0:  # these must stay: their attachments do
                add(tx, schema.attachments, volume_id=volume["id"], stage="released", created_at=1, deleted_at=tx.now)
    rests: list[float] = []
    others: list[int] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        with database.write() as tx:  # nobody holds the write lock now
            others.append(rows(tx, "volumes"))

    purge(database, SETTINGS, batch=4, rest=rest)
    assert others == [21, 17, 13, 9, 5]
    assert all(seconds >= 0 for seconds in rests)
    with database.read() as tx:
        assert rows(tx, "volumes") == 5
    assert BATCH <= 1000


def test_what_is_not_billed_yet_is_kept(database: Database) -> None:
    """`[retention]` may be shorter than the period of the audit that runs by itself."""
    clock = database.clock
    assert isinstance(clock, ManualClock)
    settings = Settings(retention=RetentionSettings(volumes=1), usage_audit_period="month")
    with database.write() as tx:
        kind = add(tx, schema.volume_types)
        volume = add(
            tx, schema.volumes, volume_type_id=kind["id"], life="gone", status="deleted", metadata={},
            created_at=tx.now - DAY, deleted_at=tx.now,
        )  # fmt: skip
    clock.advance(10 * DAY)
    assert quickly(database, settings)["volumes"] == 0
    clock.advance(10 * DAY)  # the month is over
    assert quickly(database, settings)["volumes"] == 0
    run_due(database, settings.usage_audit_setting, caller=system_caller())
    with database.read() as tx:
        told = tx.execute(select(schema.events.c.resource_id, schema.events.c.event_type)).all()
    assert (volume["id"], "volume.exists") in told
    assert quickly(database, settings)["volumes"] == 1


def test_an_audit_of_a_time_before_says_that_rows_are_gone(database: Database) -> None:
    with database.write() as tx:
        now = tx.now
        kind = add(tx, schema.volume_types)
        old: dict[str, Any] = {"created_at": 1, "deleted_at": now - 500 * DAY}
        add(tx, schema.volumes, volume_type_id=kind["id"], life="gone", status="deleted", **old)
    before = Period(now - 501 * DAY, now - 499 * DAY)
    assert audit(database, before, caller=system_caller()).gone == {}
    assert quickly(database)["volumes"] == 1
    with database.read() as tx:
        assert purged.newest(tx, "volumes") == now - 500 * DAY
    assert audit(database, before, caller=system_caller()).gone == {"volume": now - 500 * DAY}
    later = Period(now - 500 * DAY, now - 499 * DAY)
    assert audit(database, later, caller=system_caller()).gone == {}


def test_days_are_settings_that_name_themselves() -> None:
    names = set(RetentionSettings.__struct_fields__)
    used = set()
    for rule in RULES:
        for name in names:
            longer = msgspec.structs.replace(SETTINGS.retention, **{name: 99_999})
            if rule.kept(Settings(retention=longer)) != rule.kept(SETTINGS):
                used.add(name)
    assert used == names
