"""What runs at each turn of a worker, or after each change, finds its rows by an index however many have ended."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from pumice.block import attachments, snapshots, volume_creation, volumes
from pumice.block import facts as block_facts
from pumice.block.volume_creation import Wanted
from pumice.block.volume_sources import Source
from pumice.compute import facts as compute_facts
from pumice.db.engine import Database, Transaction
from pumice.db.schema import metadata
from pumice.operations import claiming, store
from tests.block.cloud import BlockCloud
from tests.support.databases import Databases

pytestmark = pytest.mark.fast

PLACES, KINDS = ("backend:a", "host:b"), ("volume.create", "volume.delete")
MINE = {"session_id": "s", "now": 1, "count": 10}
VOLUME = {"resource_type": "volume", "resource_id": "v"}
QUESTIONS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "what nobody has claimed": (claiming._claimable(PLACES, KINDS), {"now": 1}),
    "claim": (claiming._claim(PLACES, KINDS), {"claimant": "s", "now": 1, "count": 4}),
    "what is assigned": (claiming._assigned(KINDS), MINE),
    "what is due next": (claiming._due_at(PLACES), {"session_id": "s", "now": 1}),
    "who holds it": (store._HOLDERS, VOLUME),
    "live operations of a volume": (store._LIVE_FOR, VOLUME),
    "a volume's attachments": (block_facts._ATTACHMENTS, {"id": "v"}),
    "what a volume's status needs": (block_facts._ABOUT_VOLUME, {"id": "v"}),
    "a server's operations": (compute_facts._OPERATIONS, {"id": "s"}),
}

SCAN = re.compile(r"SCAN (?P<table>\w+)(?: USING (?:COVERING )?INDEX (?P<index>\w+))?")
SMALL = ("volume_types", "pools", "services")
"""Tables that do not grow with use."""
LIVE = ("ix_worker_sessions_live",)
"""Partial indices of what lives now: they do not grow with use either. (Sessions are looked at now and then.)"""
CONNECTOR = {"host": "node1", "initiator": "iqn.2026-01.test:one", "ip": "127.0.0.1", "multipath": False}


def prepare(url: str) -> None:
    database = Database(url)
    metadata.create_all(database.engine)
    database.close()


def plan(tx: Transaction, statement: Any, parameters: Mapping[str, Any]) -> list[str]:
    """SQLite's, made without the values, as for a statement that is kept."""
    compiled = statement.compile(dialect=tx.connection.dialect)
    rows = tx.connection.exec_driver_sql(
        f"EXPLAIN QUERY PLAN {compiled}", tuple(compiled.construct_params(parameters)[n] for n in compiled.positiontup)
    )
    return [str(row[3]) for row in rows]


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_reads_a_whole_table(databases: Databases, question: str) -> None:
    statement, parameters = QUESTIONS[question]
    with databases.fresh("sqlite", prepare) as url:
        database = Database(url)
        with database.read() as tx:
            steps = plan(tx, statement, parameters)
        database.close()
    assert steps
    assert [step for step in steps if step.startswith("SCAN") or "AUTOMATIC" in step] == []


def live(cloud: BlockCloud) -> None:
    """The life of a volume, its snapshot, its clone and two of its attachments."""
    volume_id = cloud.write(volume_creation.create, cloud.member, Wanted(size=1)).volume.id
    cloud.drain()
    words: dict[str, Any] = {"name": "one", "description": None, "metadata": {}}
    snapshot = cloud.write(snapshots.create, cloud.member, volume_id, in_use_allowed=False, **words)
    cloud.drain()
    clone = cloud.write(
        volume_creation.create, cloud.member, Wanted(size=1, source=Source(snapshot_id=snapshot.id))
    ).volume.id
    cloud.drain()
    for _ in range(2):
        made = cloud.write(attachments.reserve, cloud.member, volume_id, server_id=None, origin="external")
        cloud.write(attachments.connect, cloud.member, made.id, CONNECTOR)
        cloud.drain()
        cloud.write(attachments.complete, cloud.member, made.id)
        cloud.write(attachments.disconnect, cloud.member, made.id)
        cloud.drain()
    cloud.write(snapshots.delete, cloud.member, snapshot.id)
    cloud.drain()
    for one in (clone, volume_id):
        cloud.write(volumes.delete, cloud.member, one)
        cloud.drain()


def test_nothing_in_the_life_of_a_volume_reads_a_table_that_grows(databases: Databases, tmp_path: Path) -> None:
    statements: set[str] = set()
    with databases.fresh("sqlite", prepare) as url:
        cloud = BlockCloud(url, tmp_path)
        for engine in (cloud.database._writer, cloud.database._reader):
            event.listen(engine, "before_cursor_execute", lambda *given: statements.add(given[2]))
        live(cloud)
        with cloud.database.read() as tx:
            raw: Any = tx.connection.connection.driver_connection
            plans = {
                statement: [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", (None,) * count)]
                for statement in statements
                for count in (statement.count("?"),)
            }
        cloud.close()
    assert len(plans) > 50
    scanned = {
        statement: step
        for statement, steps in plans.items()
        for step in steps
        if "AUTOMATIC" in step
        or ((found := SCAN.match(step)) and found["table"] not in SMALL and found["index"] not in LIVE)
    }
    assert scanned == {}
