"""Mistakes and races in transactions: each says clearly what it is."""

from collections.abc import Iterator

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from pumice.db.engine import Database, Transaction, races_told
from pumice.db.schema import marks, metadata
from pumice.db.schema import operation_resources as held
from pumice.errors import Conflict
from tests.support.databases import Databases

pytestmark = pytest.mark.real

RESOURCE = "00000000-0000-4000-8000-000000000000"


def prepare(url: str) -> None:
    database = Database(url)
    metadata.create_all(database.engine)
    database.close()


@pytest.fixture
def database(database_kind: str, databases: Databases) -> Iterator[Database]:
    with databases.fresh(database_kind, prepare) as url:
        opened = Database(url)
        yield opened
        opened.close()


def mark(tx: Transaction, field: str = "status") -> None:
    row = {"resource_type": "volume", "resource_id": RESOURCE, "field": field, "word": "error", "created_at": tx.now}
    tx.execute(insert(marks).values(**row, user_id=RESOURCE))


def told(tx: Transaction, field: str = "status") -> None:
    with races_told():
        mark(tx, field)


def hold_for_nothing(tx: Transaction) -> None:
    refers = {"operation_id": RESOURCE, "resource_type": "volume", "resource_id": RESOURCE, "mode": "shared"}
    with races_told():
        tx.execute(insert(held).values(**refers))


def test_a_race_is_told_from_a_fault_of_ours(database: Database) -> None:
    database.run_write(told)
    with pytest.raises(Conflict, match="Another request"):
        database.run_write(told)
    with pytest.raises(Conflict, match="Another request"):
        database.run_write(hold_for_nothing)
    with pytest.raises(IntegrityError):
        database.run_write(told, field="nonsense")


def test_a_transaction_within_another_says_so_at_once(databases: Databases) -> None:
    with databases.fresh("sqlite", prepare) as url:
        database = Database(url)
        with pytest.raises(RuntimeError, match=r"database\.read\(\) within"), database.read(), database.read():
            pass
        with pytest.raises(RuntimeError, match=r"database\.write\(\) within"), database.write(), database.write():
            pass
        with database.write() as tx, database.read():
            mark(tx)
        database.close()
