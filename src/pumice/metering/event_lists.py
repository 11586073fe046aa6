"""Events read back: lists with filters and keyset paging, one event, the types there are, their traits.

A caller sees the events of their project, an administrator all.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.engine import Row

from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import events
from pumice.errors import BadRequest, NotFound
from pumice.metering.conditions import Condition, event_clause
from pumice.metering.definitions import Traits, TraitType, definition_of
from pumice.metering.samples import visible

_COLUMNS = (events.c.message_id, events.c.event_type, events.c.generated, events.c.traits)
DEFAULT_TRAITS = ("project_id", "request_id", "service", "tenant_id", "user_id")


class Event(msgspec.Struct, frozen=True):
    """One event; `generated` in microseconds, `traits` as {name: [type, value]}."""

    message_id: str
    event_type: str
    generated: int
    traits: Traits


def list_events(
    tx: Transaction,
    caller: Caller,
    conditions: Sequence[Condition],
    limit: int,
    *,
    marker: str | None = None,
    order: Literal["asc", "desc"] = "asc",
) -> list[Event]:
    """Events in the order of their time. `marker`: the message id of the last one of the page before.

    Raises InvalidField, BadRequest (unknown marker)."""
    place: list[ColumnElement[Any]] = [events.c.generated, events.c.message_id]
    statement = select(*_COLUMNS).where(*_seen(caller), *(event_clause(condition) for condition in conditions))
    if marker is not None:
        found = _one(tx, caller, marker)
        if found is None:
            raise BadRequest(
                f"Invalid input for field 'marker': {marker[:64]!r} is not the id of an event in the list."
            )
        there = tuple_(found.generated, found.message_id)
        statement = statement.where(tuple_(*place) > there if order == "asc" else tuple_(*place) < there)
    ordered = [column.asc() if order == "asc" else column.desc() for column in place]
    return [Event(*row) for row in tx.execute(statement.order_by(*ordered).limit(limit))]


def get_event(tx: Transaction, caller: Caller, message_id: str) -> Event:
    """One event. Raises NotFound."""
    row = _one(tx, caller, message_id)
    if row is None:
        raise NotFound.of("Event", message_id)
    return Event(row.message_id, row.event_type, row.generated, row.traits)


def list_event_types(tx: Transaction, caller: Caller) -> list[str]:
    """The types of the events there are, by name."""
    if not caller.is_admin:
        statement = select(events.c.event_type).where(*_seen(caller)).distinct().order_by(events.c.event_type)
        return list(tx.execute(statement).scalars())
    # From type to type along the index, instead of over all events.
    types = select(func.min(events.c.event_type).label("event_type")).cte("types", recursive=True)
    following = select(func.min(events.c.event_type)).where(events.c.event_type > types.c.event_type)
    types = types.union_all(select(following.scalar_subquery()).where(types.c.event_type.is_not(None)))
    name = types.c.event_type
    return list(tx.execute(select(name).where(name.is_not(None)).order_by(name)).scalars())


def traits_of_type(event_type: str) -> list[tuple[str, TraitType]]:
    """Names and types of the traits that events of this type can have, by name."""
    found: dict[str, TraitType] = dict.fromkeys(DEFAULT_TRAITS, "string")
    found.update((trait.name, trait.type) for trait in definition_of(event_type))
    return sorted(found.items())


def list_trait_values(
    tx: Transaction, caller: Caller, event_type: str, name: str, limit: int
) -> list[tuple[TraitType, Any]]:
    """(type, value) of this trait in the newest events of the type; a trait that no event has gives none."""
    if name not in dict(traits_of_type(event_type)):
        return []
    kind, value = events.c.traits[(name, 0)].as_string(), events.c.traits[name]
    statement = select(value).where(events.c.event_type == event_type, kind.is_not(None), *_seen(caller))
    statement = statement.order_by(events.c.generated.desc(), events.c.message_id.desc()).limit(limit)
    return [(found[0], found[1]) for found in tx.execute(statement).scalars()]


def _seen(caller: Caller) -> tuple[ColumnElement[bool], ...]:
    seen = visible(caller)
    return () if seen is None else (seen,)


def _one(tx: Transaction, caller: Caller, message_id: str) -> Row[Any] | None:
    return tx.execute(select(*_COLUMNS).where(events.c.message_id == message_id, *_seen(caller))).one_or_none()
