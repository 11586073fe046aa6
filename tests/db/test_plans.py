"""What runs at each turn of a worker, or after each change, finds its rows by an index however many have ended."""

from collections.abc import Mapping
from typing import Any

import pytest

from pumice.block import facts as block_facts
from pumice.compute import facts as compute_facts
from pumice.db.engine import Database, Transaction
from pumice.db.schema import metadata
from pumice.operations import claiming, store
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
