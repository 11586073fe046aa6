"""The space of removed rows goes back to the file system: little by little, or by writing the file anew."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from pumice.db import space
from pumice.db.engine import Database

pytestmark = pytest.mark.fast


def filled_and_emptied(database: Database) -> None:
    with database.write() as tx:
        tx.execute(text("CREATE TABLE IF NOT EXISTS stones (id INTEGER PRIMARY KEY, body TEXT)"))
        tx.execute(
            text("INSERT INTO stones (body) VALUES (:body)"), [{"body": f"{number}" * 800} for number in range(2000)]
        )
    with database.write() as tx:
        tx.execute(text("DELETE FROM stones WHERE id % 50 <> 0"))


def pages(database: Database) -> int:
    with database.read() as tx:
        return int(tx.execute(text("PRAGMA page_count")).scalar_one())


def commits(database: Database) -> int:
    """How often the file was changed, as SQLite counts it in its header (WAL: in the index of the log)."""
    path = Path(str(database.url.database))
    return int.from_bytes(path.with_name(path.name + "-shm").read_bytes()[8:12], sys.byteorder)


def test_a_file_of_ours_gives_its_free_pages_back(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'pumice.db'}")
    try:
        filled_and_emptied(database)
        before = pages(database)
        begun = commits(database)
        given = space.reclaim(database)
        assert given == (before - pages(database)) * 4096
        assert pages(database) < before / 5
        assert commits(database) - begun < before / 50, "many pages a transaction"
        assert space.reclaim(database) == 0
        with database.read() as tx:
            assert tx.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
    finally:
        database.close()


def test_a_file_of_before_learns_it_when_it_is_compacted(tmp_path: Path) -> None:
    path = tmp_path / "pumice.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA journal_mode=WAL")
        old.execute("CREATE TABLE first (id INTEGER)")
    database = Database(f"sqlite:///{path}")
    try:
        filled_and_emptied(database)
        assert space.reclaim(database) == 0
        assert space.compact(database) > 2**20
        assert pages(database) < 100
        filled_and_emptied(database)
        assert space.reclaim(database) > 2**20
    finally:
        database.close()


def test_postgresql_sees_to_it_itself(databases: object, database_url: str) -> None:
    database = Database(database_url)
    try:
        if not database.sqlite:
            assert (space.reclaim(database), space.compact(database)) == (0, 0)
    finally:
        database.close()
