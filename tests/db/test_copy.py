"""All rows from one database into another: from each kind to each, compared, all or nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from pumice.caller import new_id
from pumice.db import schema
from pumice.db.copy import CannotCopy, copy
from pumice.db.engine import Database
from pumice.db.upgrade import upgrade
from tests.retention.rows import add, add_to_empty
from tests.support.databases import Databases

pytestmark = pytest.mark.real

HARD: list[Any] = [
    {"a": [1, 2.5, -0.0, 1e10, None, True, "ü 🪨 \\ \" '"], "z": {"b": 1, "a": 2.0}},
    {"": "", "text": "line\nbreak\ttab", "long": "x" * 100_000, "big": 2**53},
]


def upgraded(url: str) -> None:
    database = Database(url)
    upgrade(database)
    database.close()


def filled(url: str) -> None:
    upgraded(url)
    database = Database(url)
    with database.write() as tx:
        fill(tx)
    database.close()


@pytest.fixture
def source(databases: Databases, database_kind: str) -> Iterator[Database]:
    with databases.fresh(database_kind, filled) as url:
        opened = Database(url)
        yield opened
        opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Database]:
    """Empty, without any table."""
    with databases.fresh(str(request.param)) as url:
        opened = Database(url)
        yield opened
        opened.close()


def fill(tx: Any) -> None:
    """Rows in every table, with everything that databases see differently: JSON, booleans, NULLs, large numbers."""
    add(tx, schema.domains, id="default")
    user = add(tx, schema.users, domain_id="default")
    add(tx, schema.tokens, user_id=user["id"], methods=["password"])
    kind = add(tx, schema.volume_types, extra_specs={}, is_default=True)
    for number in range(1500):
        add(tx, schema.volumes, volume_type_id=kind["id"], life="making", bootable=number % 2 == 0, name=f"n {number}")
    for payload in HARD:
        volume = add(tx, schema.volumes, volume_type_id=kind["id"], life="making", metadata=payload, name=None)
        add(tx, schema.attachments, volume_id=volume["id"], stage="reserved", connector=payload, server_id=new_id())
    for number in range(10):
        add(tx, schema.events, message_id=new_id(), generated=2**52 + number, payload=HARD[0], traits={"far": 1e300})
    tx.execute(schema.events.delete().where(schema.events.c.sequence == 3))
    add_to_empty(tx)


def test_everything_arrives_and_goes_on_counting(source: Database, target: Database) -> None:
    copied = {one.table: one for one in copy(source, target, alone=True)}
    assert copied["volumes"].rows == 1502
    assert copied["events"].rows == 9
    assert set(copied) == set(schema.metadata.tables)
    for table in schema.metadata.sorted_tables:
        with source.read() as old, target.read() as new:
            found = [sorted(tx.execute(select(table)).all(), key=str) for tx in (old, new)]
        assert len(found[0]) == copied[table.name].rows > 0, table.name
        # JSONB tells 1e300 in another way: there the digests of both sides, which know this, were compared.
        assert found[0] == found[1] or table.name == "events", table.name
    with target.write() as tx:
        add(tx, schema.events, message_id=new_id())
        highest = tx.execute(select(func.max(schema.events.c.sequence))).scalar_one()
        assert highest == 11
        tx.execute(text("UPDATE volumes SET name = 'mended'"))


def test_a_target_with_rows_is_refused_and_left_alone(source: Database, target: Database) -> None:
    upgrade(target)
    with target.write() as tx:
        add(tx, schema.roles, name="kept")
    with pytest.raises(CannotCopy, match="its table roles has rows"):
        copy(source, target, alone=True)
    with target.read() as tx:
        assert tx.execute(select(func.count()).select_from(schema.volumes)).scalar_one() == 0
        assert tx.execute(select(schema.roles.c.name)).scalars().all() == ["kept"]


def test_a_source_of_another_migration_is_refused(source: Database, target: Database) -> None:
    with source.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    with pytest.raises(CannotCopy, match="stands at migration 0002"):
        copy(source, target, alone=True)


def test_a_row_that_does_not_fit_leaves_the_target_empty(databases: Databases) -> None:
    """SQLite does not look at the length of a text; PostgreSQL does."""
    with databases.fresh("sqlite", upgraded) as old_url, databases.fresh("postgresql") as new_url:
        source, target = Database(old_url), Database(new_url)
        try:
            with source.write() as tx:
                add(tx, schema.roles)
                tx.execute(insert(schema.volume_types), {**_type(), "name": "n" * 300})
            with pytest.raises(CannotCopy, match=r"the table volume_types cannot be copied .*too long"):
                copy(source, target, alone=True)
            with target.read() as tx:
                assert tx.execute(select(func.count()).select_from(schema.roles)).scalar_one() == 0
        finally:
            source.close()
            target.close()


def _type() -> dict[str, Any]:
    return {"id": new_id(), "is_public": True, "is_default": False, "extra_specs": {}, "created_at": 1}
