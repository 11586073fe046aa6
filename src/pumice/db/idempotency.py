"""Idempotency keys: one row a (project, user, route, key), taken and answered in the transaction of the creation."""

from typing import Any

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pumice.db.engine import Transaction
from pumice.db.schema import idempotency_keys as keys


class Key(msgspec.Struct, frozen=True):
    """Whose request it is. `project_id` and `user_id` are empty where the caller has none."""

    project_id: str
    user_id: str
    route: str
    key: str


class Stored(msgspec.Struct, frozen=True):
    """What the first request with the key was and was answered. status 0: its operation's end is not answered yet."""

    body_digest: str
    status: int
    answer: Any


def take(tx: Transaction, key: Key, body_digest: str, oldest: int) -> Stored | None:
    """None: the key is ours now, and `answer` must follow in this transaction. Else what is stored under it.

    Rows from before `oldest` (microseconds) are forgotten. Two requests at once: the later waits for the former."""
    tx.execute(delete(keys).where(keys.c.created_at < oldest))
    values = {**msgspec.to_builtins(key), "body_digest": body_digest, "status": 0, "answer": {}, "created_at": tx.now}
    insert = sqlite.insert(keys) if tx.sqlite else postgresql.insert(keys)
    if tx.execute(insert.values(**values).on_conflict_do_nothing().returning(keys.c.key)).first() is not None:
        return None
    row = tx.execute(select(keys.c.body_digest, keys.c.status, keys.c.answer).where(*_same(key))).one()
    return Stored(*row)


def answer(tx: Transaction, key: Key, status: int, body: Any) -> None:
    """Store what is answered. status 0 and {"operation_id"}: the end of an operation is awaited."""
    tx.execute(update(keys).where(*_same(key)).values(status=status, answer=body))


def _same(key: Key) -> list[Any]:
    return [keys.c[name] == value for name, value in msgspec.to_builtins(key).items()]
