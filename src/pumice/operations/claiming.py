"""What the worker's loop asks: what nobody has claimed yet, what is this session's, and when there will be more.

    claimable, claim       a look without writing, then the change
    assigned, due_at       what the session may run now; when the next waits for its time

The statements are made once a set of places and kinds: they run at each turn of the loop.
"""

from collections.abc import Collection
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, func, literal, or_, select, update

from pumice.db.engine import Transaction
from pumice.db.schema import is_live, operations
from pumice.operations.model import State

_live = is_live()


class Waiting(msgspec.Struct, frozen=True):
    """What the worker's loop must know to choose what to start next."""

    id: str
    kind: str
    state: State
    position: int
    crashes: int


def claimable(tx: Transaction, places: Collection[str], kinds: Collection[str]) -> bool:
    """Is there anything that nobody has claimed and that `claim` would give? A read, so that idle polls write not."""
    return tx.execute(_claimable(tuple(places), tuple(kinds)), {"now": tx.now}).first() is not None


@cache
def _claimable(places: tuple[str, ...], kinds: tuple[str, ...]) -> Any:
    return select(operations.c.id).where(_free(bindparam("now"), places, kinds)).limit(1)


def claim(tx: Transaction, session_id: str, places: Collection[str], kinds: Collection[str], limit: int) -> int:
    """Give up to `limit` unclaimed operations whose time has come to the session; the epoch of each grows."""
    parameters = {"claimant": session_id, "now": tx.now, "count": limit}
    return tx.execute(_claim(tuple(places), tuple(kinds)), parameters).rowcount


@cache
def _claim(places: tuple[str, ...], kinds: tuple[str, ...]) -> Any:
    chosen = (
        select(operations.c.id)
        .where(_free(bindparam("now"), places, kinds))
        .order_by(operations.c.not_before)
        .limit(bindparam("count"))
        .with_for_update(skip_locked=True)
    )
    return (
        update(operations)
        .where(operations.c.id.in_(chosen), operations.c.session_id.is_(None))
        .values(session_id=bindparam("claimant"), epoch=operations.c.epoch + 1)
    )


def _free(now: Any, places: tuple[str, ...], kinds: tuple[str, ...]) -> ColumnElement[bool]:
    return and_(
        _live,
        operations.c.session_id.is_(None),
        operations.c.place.in_(_literals(places)),
        operations.c.not_before <= now,
        operations.c.kind.in_(_literals(kinds)),
    )


def _literals(words: tuple[str, ...]) -> list[Any]:
    """For a list that is part of the statement: one that is expanded at each execution costs more than the search."""
    return [literal(word) for word in words]


def assigned(tx: Transaction, session_id: str, kinds: Collection[str], limit: int) -> list[Waiting]:
    """What the session has claimed and may run now (what it is running included), the longest due first."""
    parameters = {"session_id": session_id, "now": tx.now, "count": limit}
    return [Waiting(*row) for row in tx.execute(_assigned(tuple(kinds)), parameters)]


@cache
def _assigned(kinds: tuple[str, ...]) -> Any:
    return (
        select(operations.c.id, operations.c.kind, operations.c.state, operations.c.position, operations.c.crashes)
        .where(
            operations.c.session_id == bindparam("session_id"),
            _live,
            operations.c.not_before <= bindparam("now"),
            operations.c.kind.in_(_literals(kinds)),
        )
        .order_by(operations.c.not_before, operations.c.created_at)
        .limit(bindparam("count"))
    )


def due_at(tx: Transaction, session_id: str, places: Collection[str]) -> int | None:
    """When the next operation that waits for its time may be run by this session (microseconds)."""
    statement = _due_at(tuple(places))
    found: int | None = tx.execute(statement, {"session_id": session_id, "now": tx.now}).scalar_one()
    return found


@cache
def _due_at(places: tuple[str, ...]) -> Any:
    mine = or_(
        operations.c.session_id == bindparam("session_id"),
        and_(operations.c.session_id.is_(None), operations.c.place.in_(_literals(places))),
    )
    return select(func.min(operations.c.not_before)).where(_live, mine, operations.c.not_before > bindparam("now"))
