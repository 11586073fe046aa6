"""Conditional changes of state: one statement, three answers (done, refused with what is, missing).

    guard(tx, "volume", volume_id, "delete")            or raises WrongState / NotFound
    guard_older(tx, "volume", volume_id, "delete")      or raises BadRequest / NotFound

The UPDATE locks the row, so that on PostgreSQL whatever follows in the transaction (claims, refresh) is serialised per
resource; on SQLite the write lock does.
"""

from functools import cache
from typing import Any

from sqlalchemy import Table, bindparam, literal, select, true, update

from pumice.block.transitions import Resource, transition
from pumice.db.engine import Transaction
from pumice.db.schema import attachments, snapshots, volumes
from pumice.errors import NotFound, WrongState

_TABLES: dict[Resource, tuple[Table, str]] = {
    "volume": (volumes, "status"),
    "snapshot": (snapshots, "status"),
    "attachment": (attachments, "attach_status"),
}
_FOUND = {
    resource: select(table.c[status]).where(table.c.id == bindparam("key"), table.c.deleted_at.is_(None))
    for resource, (table, status) in _TABLES.items()
}


_HOLD = {
    resource: update(table).where(table.c.id == bindparam("key")).values(updated_at=bindparam("now"))
    for resource, (table, _) in _TABLES.items()
}


def lock(tx: Transaction, resource: Resource, resource_id: str) -> None:
    """Lock the row, whatever its status, before reading what the same transaction will write back: on PostgreSQL two
    requests at once would else lose the change of one."""
    tx.execute(_HOLD[resource], {"key": resource_id, "now": tx.now})


def guard(tx: Transaction, resource: Resource, resource_id: str, action: str) -> None:
    """Lock the row if its status and, where the action needs its data, its life allow the action. Raises WrongState
    (409) with what is and what is needed, or NotFound."""
    entry = transition(resource, action)
    statement = _locking(resource, entry.allowed, entry.needs_data)
    changed = tx.execute(statement, {"key": resource_id, "now": tx.now}).rowcount
    if changed:
        return
    found = tx.execute(_FOUND[resource], {"key": resource_id}).scalar_one_or_none()
    noun = resource.capitalize()
    if found is None:
        raise NotFound.of(noun, resource_id)
    if found not in entry.allowed:
        raise WrongState(noun, resource_id, action, found, entry.allowed)
    table = _TABLES[resource][0]
    why = tx.execute(select(table.c.broken_reason).where(table.c.id == resource_id)).scalar_one()
    without = f"without data, whatever word is shown ({why or 'it was never made'})"
    raise WrongState(noun, resource_id, action, without, ("one that has data",))


def guard_older(tx: Transaction, resource: Resource, resource_id: str, action: str) -> None:
    """`guard` for the older calls, which answer 400 where the newer ones answer 409. Raises BadRequest, NotFound."""
    try:
        guard(tx, resource, resource_id, action)
    except WrongState as error:
        raise error.as_bad_request() from error


@cache
def _locking(resource: Resource, allowed: tuple[str, ...], needs_data: bool) -> Any:
    table, status = _TABLES[resource]
    return (
        update(table)
        .where(table.c.life == "there" if needs_data else true())
        .where(
            table.c.id == bindparam("key"),
            table.c.deleted_at.is_(None),
            table.c[status].in_([literal(word) for word in allowed]),
        )
        .values(updated_at=bindparam("now"))
    )
