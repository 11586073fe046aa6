"""The migrations make what `db.schema` says: from nothing and from every migration, on both databases."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError, ProgrammingError

from pumice.db.engine import Database
from pumice.db.migrations import HEAD
from pumice.db.schema import metadata
from pumice.db.upgrade import DatabaseForeign, DatabaseNewer, revision, revisions, upgrade
from tests.support.databases import Databases

pytestmark = pytest.mark.real


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def described(database_kind: str, databases: Databases) -> Iterator[dict[str, Any]]:
    """What `create_all` makes of the schema."""
    with databases.fresh(database_kind) as url:
        made = Database(url)
        try:
            with made.write() as tx:
                metadata.create_all(tx.connection)
                yield description(tx.connection)
        finally:
            made.close()


def description(connection: Connection) -> dict[str, Any]:
    """Every table as the database itself tells it: columns, keys, CHECKs, indexes with their WHERE."""
    found = inspect(connection)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"], column.get("comment"))
                for column in found.get_columns(table)
            },
            "primary key": found.get_pk_constraint(table),
            "foreign keys": sorted(map(plain, found.get_foreign_keys(table))),
            "unique": sorted(map(plain, found.get_unique_constraints(table))),
            "checks": sorted(map(plain, found.get_check_constraints(table))),
            "indexes": sorted(map(plain, found.get_indexes(table))),
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {plain(value[key])}" for key in sorted(value)) + "}"
    return str(value)


def test_the_schema_has_what_the_comparison_looks_at(described: dict[str, Any]) -> None:
    volumes = described["volumes"]
    assert volumes["columns"]["size"][1] is False
    assert any("ck_volumes_placed" in check for check in volumes["checks"])
    assert any("deleted_at IS NULL" in index for index in volumes["indexes"])


def test_an_empty_database_becomes_the_schema(database: Database, described: dict[str, Any]) -> None:
    assert upgrade(database)
    with database.read() as tx:
        assert description(tx.connection) == described
    assert revision(database) == HEAD


@pytest.mark.parametrize("start", revisions())
def test_every_migration_leads_to_the_schema(database: Database, described: dict[str, Any], start: str) -> None:
    upgrade(database, start)
    upgrade(database)
    with database.read() as tx:
        assert description(tx.connection) == described


def test_head_names_the_last_migration() -> None:
    assert revisions()[-1] == HEAD


def test_the_second_upgrade_has_nothing_to_do(database: Database) -> None:
    assert upgrade(database) is True
    assert upgrade(database) is False


def test_two_processes_that_start_at_once_both_find_the_schema(database_url: str) -> None:
    results: list[bool] = []

    def start() -> None:
        own = Database(database_url)
        try:
            results.append(upgrade(own))
        finally:
            own.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]


def test_a_newer_database_is_refused_and_left_alone(database: Database) -> None:
    upgrade(database)
    with database.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseNewer, match=r"9999.*newer Pumice"):
        upgrade(database)
    assert revision(database) == "9999"


def test_a_database_of_something_else_is_refused(database: Database) -> None:
    with database.write() as tx:
        tx.execute(text("CREATE TABLE orders (id INTEGER)"))
    with pytest.raises(DatabaseForeign, match="orders"):
        upgrade(database)


def test_a_failing_migration_leaves_nothing_behind(database: Database) -> None:
    upgrade(database, "0001")
    with database.write() as tx:
        tx.execute(text("CREATE TABLE quota_class_limits (id INTEGER)"))
    with database.read() as tx:
        before = set(inspect(tx.connection).get_table_names())
    with pytest.raises((OperationalError, ProgrammingError)):
        upgrade(database)
    with database.read() as tx:
        assert set(inspect(tx.connection).get_table_names()) == before
    assert revision(database) == "0001"
