"""What domain functions get: a transaction of `engine.Database`."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import CursorResult, Executable
from sqlalchemy.engine import Connection

from pumice.db.prepared import PreparedStatements, Rows


class Transaction:
    """Execute statements, know the time, wake others after the commit."""

    __slots__ = ("_prepared", "connection", "generation", "now", "sqlite", "then", "topics")

    def __init__(self, connection: Connection, now: int, sqlite: bool, prepared: PreparedStatements) -> None:
        self.connection = connection
        self.now = now
        """Microseconds; one value for the whole transaction."""
        self.sqlite = sqlite
        self.topics: list[str] = []
        self.then: list[Callable[[], None]] = []
        self.generation: int | None = None
        """Of identity, once it was read in this transaction (`identity/generation.py`)."""
        self._prepared = prepared

    def execute(
        self, statement: Executable, parameters: dict[str, Any] | Sequence[dict[str, Any]] | None = None
    ) -> CursorResult[*tuple[Any, ...]] | Rows:
        """All rows are fetched at once when the statement is one that is kept (`prepared.py`)."""
        if parameters is None or isinstance(parameters, dict):
            rows = self._prepared.execute(self.connection, statement, parameters)
            if rows is not None:
                return rows
        return self.connection.execute(statement, parameters)

    def part(self, now: int) -> "Transaction":
        """The same transaction for one of several functions that share it: topics and calls of its own."""
        return Transaction(self.connection, now, self.sqlite, self._prepared)

    def wake(self, topic: str) -> None:
        """After the commit, tell every process (this one too) about the topic, e.g. "operation:1234"."""
        if topic not in self.topics:
            self.topics.append(topic)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Run the call in this process once the transaction is committed; never when it is rolled back."""
        self.then.append(call)
