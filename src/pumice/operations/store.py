"""The operations as rows: everything that reads or changes them is here, each change one conditional statement.

    enqueue, request_cancel, hasten      called by the domains, inside their own transactions
    get, live_for, list_operations       reading; `live_for` is what statuses are derived from
    advance, begin_undo, retreat,        called by the worker for a step it has in its hands; they return the new row,
    finish, defer, mark_started          or None when another session has taken the operation over

The worker's changes are fenced: they say "while the row is as I know it" (session, epoch, state, position). What the
worker's loop claims and finds is in `claiming.py`. Nothing here runs a step or calls a driver.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, cast

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    column,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import is_live, operation_resources, operations, place_owners, worker_sessions
from pumice.errors import Busy
from pumice.operations.model import (
    ANYWHERE,
    A,
    Claim,
    Mode,
    Operation,
    OperationRow,
    Registry,
    Run,
    State,
)

LIVE: tuple[State, State] = ("running", "undoing")
CLAIMABLE_TOPIC = "operations"

_resources = operation_resources
_live = is_live()
_ROW = columns(operations, OperationRow)


class Answer(Enum):
    """What a conditional change answers."""

    DONE = "done"
    REFUSED = "refused"
    MISSING = "missing"


class LiveOperation(msgspec.Struct, frozen=True):
    """A live operation as the derivation of a status sees it."""

    operation_id: str
    kind: str
    state: State
    position: int
    mode: Mode
    """How it holds the resource that was asked for."""


def moved_topic(operation_id: str) -> str:
    """The wake-up that says: this operation has ended."""
    return f"operation:{operation_id}"


# ---- asked for by the domains


def enqueue(
    tx: Transaction,
    operation: Operation[A],
    arguments: A,
    *,
    subject_id: str,
    claims: Iterable[Claim],
    caller: Caller,
    operation_id: str | None = None,
    delay: int = 0,
) -> OperationRow:
    """Store the operation, take what it holds, give its first step to the session that owns the place, if one lives.

    Call it after the rows it is about are written: it ends with `operation.settle(tx, run)`, which derives their
    statuses. delay: microseconds until the first step may start. Raises Busy naming the kind of operation that holds
    one of the claims. On PostgreSQL an advisory lock on each claimed resource makes the look and the insert one; a
    caller that checks facts of the resource first must have locked its row (`SELECT ... FOR UPDATE`) before that.
    """
    operation_id = operation_id or new_id()
    wanted = _distinct(claims)
    _refuse_if_held(tx, wanted)
    place = operation.steps[0].place(arguments, {})
    values = {
        "id": operation_id,
        "kind": operation.kind,
        "state": "running",
        "subject_type": operation.subject,
        "subject_id": subject_id,
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "request_id": caller.request_id,
        "arguments": msgspec.to_builtins(arguments),
        "results": {},
        "position": 0,
        "place": place,
        "epoch": 1,
        "attempts": 0,
        "crashes": 0,
        "started": False,
        "not_before": tx.now + delay,
        "cancel_requested": False,
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    row = _row(tx.execute(_ENQUEUE, {**values, "owned_place": place}).one())
    _hold(tx, operation_id, wanted)
    tx.wake(CLAIMABLE_TOPIC)
    operation.settle(tx, Run(operation_id, arguments, {}, row.epoch, row, database=cast(Any, None), world=None))
    return row


def take(tx: Transaction, operation_id: str, claims: Iterable[Claim]) -> None:
    """More claims for a live operation, in a step's `record`: what it could not hold from its enqueue on, because an
    operation before it did. Raises Busy as `enqueue` does; the step then raises StepNotReady."""
    wanted = _distinct(claims)
    _refuse_if_held(tx, wanted)
    _hold(tx, operation_id, wanted)


def give_up(tx: Transaction, operation_id: str, resource_type: str, resource_id: str) -> None:
    """Let go of one claim before the operation ends, for another one enqueued in the same transaction."""
    tx.execute(
        delete(_resources).where(
            _resources.c.operation_id == operation_id,
            _resources.c.resource_type == resource_type,
            _resources.c.resource_id == resource_id,
        )
    )


def _distinct(claims: Iterable[Claim]) -> list[Claim]:
    """One claim a resource (exclusive wins), in an order that is the same for everybody."""
    by_resource: dict[tuple[str, str], Claim] = {}
    for claim in claims:
        key = (claim.resource_type, claim.resource_id)
        if key not in by_resource or claim.mode == "exclusive":
            by_resource[key] = claim
    return [by_resource[key] for key in sorted(by_resource)]


def _hold(tx: Transaction, operation_id: str, wanted: Iterable[Claim]) -> None:
    for claim in wanted:
        tx.execute(_HOLD, {"operation_id": operation_id, **msgspec.structs.asdict(claim)})


def _refuse_if_held(tx: Transaction, wanted: Sequence[Claim]) -> None:
    if not wanted:
        return
    if not tx.sqlite:
        tx.execute(_LOCK_RESOURCES, {"keys": [_lock_key(claim) for claim in wanted]})
    for claim in wanted:
        key = {"resource_type": claim.resource_type, "resource_id": claim.resource_id}
        held = tx.execute(_HOLDERS if claim.mode == "exclusive" else _EXCLUSIVE_HOLDERS, key).first()
        if held is not None:
            raise Busy(held.resource_type.capitalize(), held.resource_id, held.kind)


_HOLD = insert(_resources)
_HOLDERS = (
    select(_resources.c.resource_type, _resources.c.resource_id, operations.c.kind)
    .join(operations, operations.c.id == _resources.c.operation_id)
    .where(
        _resources.c.resource_type == bindparam("resource_type"), _resources.c.resource_id == bindparam("resource_id")
    )
    .limit(1)
)
_EXCLUSIVE_HOLDERS = _HOLDERS.where(_resources.c.mode == "exclusive")
_LOCK_RESOURCES = select(func.pg_advisory_xact_lock(column("key", BigInteger))).select_from(
    func.unnest(bindparam("keys", type_=ARRAY(BigInteger))).alias("key")
)


def _lock_key(claim: Claim) -> int:
    digest = hashlib.blake2b(f"{claim.resource_type}/{claim.resource_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def _owner_of(place: Any) -> Any:
    """SQL: the live session that owns the place; NULL for none and for work that anybody may do."""
    return (
        select(place_owners.c.session_id)
        .join(worker_sessions, worker_sessions.c.id == place_owners.c.session_id)
        .where(place_owners.c.place == place, place_owners.c.place != ANYWHERE, worker_sessions.c.ended_at.is_(None))
        .scalar_subquery()
    )


_ENQUEUE = insert(operations).values(session_id=_owner_of(bindparam("owned_place"))).returning(*_ROW)


def request_cancel(tx: Transaction, registry: Registry, operation_id: str) -> Answer:
    """Ask a running operation to turn back at its next step or report of progress.

    REFUSED: it has ended, is being undone already, or only goes forward."""
    kinds = [operation.kind for operation in registry if operation.cancellable and not operation.forward_only]
    statement = (
        update(operations)
        .where(operations.c.id == operation_id, operations.c.state == "running", operations.c.kind.in_(kinds))
        .values(cancel_requested=True, not_before=_not_later(tx, operations.c.not_before), updated_at=tx.now)
    )
    return _answer(tx, operation_id, tx.execute(statement).rowcount)


def hasten(tx: Transaction, operation_id: str) -> Answer:
    """End the pause of an operation that waits to be tried again. REFUSED: it has ended."""
    statement = (
        update(operations)
        .where(operations.c.id == operation_id, _live)
        .values(not_before=_not_later(tx, operations.c.not_before))
    )
    return _answer(tx, operation_id, tx.execute(statement).rowcount)


def _not_later(tx: Transaction, column: ColumnElement[int]) -> ColumnElement[int]:
    """SQL: the column's time, now at the latest."""
    return case((column > tx.now, literal(tx.now, BigInteger)), else_=column)


def _answer(tx: Transaction, operation_id: str, changed: int) -> Answer:
    if changed:
        tx.wake(CLAIMABLE_TOPIC)
        return Answer.DONE
    return Answer.MISSING if get(tx, operation_id) is None else Answer.REFUSED


# ---- reading


def get(tx: Transaction, operation_id: str) -> OperationRow | None:
    found = tx.execute(_GET, {"known_id": operation_id}).first()
    return None if found is None else _row(found)


_GET = select(*_ROW).where(operations.c.id == bindparam("known_id"))


def live_for(tx: Transaction, resource_type: str, resource_id: str) -> list[LiveOperation]:
    """The live operations that hold the resource, the oldest first. One indexed statement."""
    found = tx.execute(_LIVE_FOR, {"resource_type": resource_type, "resource_id": resource_id})
    return [LiveOperation(**row._mapping) for row in found]


_LIVE_FOR = (
    select(
        operations.c.id.label("operation_id"),
        operations.c.kind,
        operations.c.state,
        operations.c.position,
        _resources.c.mode,
    )
    .join(operations, operations.c.id == _resources.c.operation_id)
    .where(
        _resources.c.resource_type == bindparam("resource_type"),
        _resources.c.resource_id == bindparam("resource_id"),
    )
    .order_by(operations.c.created_at, operations.c.id)
)


def list_operations(
    tx: Transaction,
    *,
    live: bool | None = None,
    kind: str | None = None,
    subject_id: str | None = None,
    project_id: str | None = None,
    place: str | None = None,
    limit: int = 1000,
    after: OperationRow | None = None,
) -> list[OperationRow]:
    """The newest first; the next page starts `after` the last row of this one."""
    wanted: Select[Any] = select(*_ROW)
    if live is not None:
        wanted = wanted.where(_live if live else operations.c.finished_at.is_not(None))
    for name, value in (("kind", kind), ("subject_id", subject_id), ("project_id", project_id), ("place", place)):
        if value is not None:
            wanted = wanted.where(operations.c[name] == value)
    if after is not None:
        older = operations.c.created_at < after.created_at
        same = and_(operations.c.created_at == after.created_at, operations.c.id < after.id)
        wanted = wanted.where(or_(older, same))
    wanted = wanted.order_by(operations.c.created_at.desc(), operations.c.id.desc()).limit(limit)
    return [_row(found) for found in tx.execute(wanted)]


# ---- the worker's changes, fenced


def advance(
    tx: Transaction, row: OperationRow, *, results: Mapping[str, Any], position: int, place: str, keep: bool
) -> OperationRow | None:
    """The steps up to `position` are done. keep: the session goes on itself; else whoever owns the place does."""
    return _move(tx, row, keep, results=dict(results), position=position, place=place, progress=None)


def begin_undo(
    tx: Transaction, row: OperationRow, *, position: int, place: str, reason: str, keep: bool
) -> OperationRow | None:
    """The step failed for good (or the operation was cancelled): go back, that step first."""
    return _move(tx, row, keep, state="undoing", error=reason, position=position, place=place, progress=None)


def retreat(tx: Transaction, row: OperationRow, *, position: int, place: str, keep: bool) -> OperationRow | None:
    """What stands after `position` is undone."""
    return _move(tx, row, keep, position=position, place=place)


def _move(tx: Transaction, row: OperationRow, keep: bool, **values: Any) -> OperationRow | None:
    if not keep:
        values |= {"session_id": _owner_of(values["place"]), "epoch": operations.c.epoch + 1}
        tx.wake(CLAIMABLE_TOPIC)
    clean = {"attempts": 0, "crashes": 0, "started": False, "last_error": None, "not_before": tx.now}
    return _change(tx, row, **clean, **values)


def finish(tx: Transaction, row: OperationRow, state: State, *, results: Mapping[str, Any]) -> OperationRow | None:
    """The operation has ended ("done" or "undone"): it holds nothing any more."""
    ended = _change(
        tx,
        row,
        state=state,
        results=dict(results),
        session_id=None,
        attempts=0,
        started=False,
        last_error=None,
        progress=100 if state == "done" else row.progress,
        finished_at=tx.now,
    )
    if ended is not None:
        tx.execute(_LET_GO, {"known_id": row.id})
        tx.wake(moved_topic(row.id))
    return ended


_LET_GO = delete(_resources).where(_resources.c.operation_id == bindparam("known_id"))


def defer(tx: Transaction, row: OperationRow, *, pause: int, reason: str, failed_try: bool) -> OperationRow | None:
    """Run the step (or its undo) again after `pause` microseconds."""
    return _change(
        tx,
        row,
        not_before=tx.now + pause,
        last_error=reason,
        attempts=row.attempts + (1 if failed_try else 0),
        started=False,
    )


def mark_started(tx: Transaction, row: OperationRow) -> OperationRow | None:
    """Remember that the step is about to run, so that the next crash can be laid at its door."""
    return _change(tx, row, started=True)


def report_progress(tx: Transaction, row: OperationRow, percent: int) -> OperationRow | None:
    return _change(tx, row, progress=percent)


def _change(tx: Transaction, row: OperationRow, **values: Any) -> OperationRow | None:
    fixed = {name: value for name, value in values.items() if isinstance(value, ColumnElement)}
    plain = {name: value for name, value in values.items() if name not in fixed}
    statement = _changing(tuple(sorted(plain)))
    if fixed:
        statement = statement.values(**fixed)
    known = {
        "known_id": row.id,
        "known_session": row.session_id,
        "known_epoch": row.epoch,
        "known_state": row.state,
        "known_position": row.position,
    }
    found = tx.execute(statement, {**plain, **known, "updated_at": tx.now}).first()
    return None if found is None else _row(found)


@cache
def _changing(names: tuple[str, ...]) -> Any:
    """The fenced UPDATE of these columns, made once: building it costs more than running it."""
    return (
        update(operations)
        .where(
            operations.c.id == bindparam("known_id"),
            operations.c.session_id.is_not_distinct_from(bindparam("known_session")),
            operations.c.epoch == bindparam("known_epoch"),
            operations.c.state == bindparam("known_state"),
            operations.c.position == bindparam("known_position"),
        )
        .values({name: bindparam(name) for name in (*names, "updated_at")})
        .returning(*_ROW)
    )


def _row(found: Any) -> OperationRow:
    return OperationRow(*found)
