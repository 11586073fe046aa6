"""Databases for tests, of both kinds, each used by one test: empty, or prepared once and copied.

Every test that touches the database runs on both: ask for the fixture `database_url` (empty), or make a fixture that
calls `databases.fresh(kind, prepare)` with the function that brings an empty database up to the schema.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support.postgres import PostgresServer

KINDS = ("sqlite", "postgresql")

Prepare = Callable[[str], None]
"""Takes the URL of an empty database, leaves it as tests want it, and closes its connections."""


class Databases:
    """Makes databases below one directory and, for PostgreSQL, in one server that starts when first needed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._server: PostgresServer | None = None
        self._prepared: dict[tuple[str, Prepare], str] = {}
        self._count = 0

    @property
    def server(self) -> PostgresServer:
        if self._server is None:
            self._server = PostgresServer()
        return self._server

    @contextmanager
    def fresh(self, kind: str, prepare: Prepare | None = None) -> Iterator[str]:
        """The URL of a database that nobody used; a PostgreSQL one is dropped at the end.

        kind: one of KINDS. The same `prepare` runs once a session; later databases are copies of its result.
        """
        if kind == "sqlite":
            yield self._fresh_sqlite(prepare)
            return
        name = self.server.create_database(template=self._postgres_template(prepare))
        try:
            yield self.server.url(name)
        finally:
            self.server.drop_database(name)

    def _new_file(self) -> Path:
        self._count += 1
        directory = self.directory / str(self._count)
        directory.mkdir()
        return directory / "pumice.db"

    def _fresh_sqlite(self, prepare: Prepare | None) -> str:
        path = self._new_file()
        if prepare is not None:
            key = ("sqlite", prepare)
            if key not in self._prepared:
                template = self._new_file()
                prepare(f"sqlite:///{template}")
                self._prepared[key] = str(template)
            with closing(sqlite3.connect(self._prepared[key])) as source, closing(sqlite3.connect(path)) as copy:
                source.backup(copy)
        return f"sqlite:///{path}"

    def _postgres_template(self, prepare: Prepare | None) -> str:
        if prepare is None:
            return "template1"
        key = ("postgresql", prepare)
        if key not in self._prepared:
            name = self.server.create_database()
            prepare(self.server.url(name))
            self._prepared[key] = name
        return self._prepared[key]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
