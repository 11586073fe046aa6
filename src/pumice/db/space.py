"""Gives the disk space of removed rows back. PostgreSQL does that by itself (autovacuum).

    reclaim(database)      pages that are free at the end of a purge, a few at a time; the agent, every hour
    compact(database)      the whole file written anew; `pumice db purge --compact`

A SQLite database made by Pumice keeps what it needs to give pages back (auto_vacuum=incremental). One of before that
does not; its free pages are used again by new rows, and `compact` changes it.
"""

import sqlite3
import threading
from contextlib import closing

from pumice.db.engine import Database

PAGES = 500
"""A transaction: some milliseconds of the write lock."""
_LEFT = 0.1
"""The share of the file that may stay free: the next rows need it."""


def reclaim(database: Database) -> int:
    """Give pages back until a tenth of the file is free; how many bytes."""
    given = 0
    while database.sqlite:
        with database.alone() as path, closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
            free, pages, size, mode = (
                _number(connection, name) for name in ("freelist_count", "page_count", "page_size", "auto_vacuum")
            )
            wanted = min(PAGES, free - int(pages * _LEFT))
            if mode != _INCREMENTAL or wanted <= 0:
                break
            # The statement stops after each page; of Python's calls only this one runs it to its end.
            connection.executescript(f"PRAGMA incremental_vacuum({wanted});")
            less = pages - _number(connection, "page_count")
        if less <= 0:
            break
        given += less * size
        threading.Event().wait(0.005)
    return given


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


_INCREMENTAL = 2


def compact(database: Database) -> int:
    """Write the file anew, without holes; how many bytes smaller it is. Writers wait meanwhile, readers go on."""
    if not database.sqlite:
        return 0
    with database.alone() as path, closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        before = path.stat().st_size
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return before - path.stat().st_size
