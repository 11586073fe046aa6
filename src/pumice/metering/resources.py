"""Resources and meters as the events know them: which there are, whose, since when.

Both walk the index (resource, event type, time), so that a page costs the same however many events there are.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, String, func, literal, select, tuple_

from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import events
from pumice.errors import InvalidField, NotFound
from pumice.metering.conditions import TIMES, Condition, sample_clause
from pumice.metering.event_lists import list_event_types
from pumice.metering.meters import METER, METERS, Meter, meters_of
from pumice.metering.samples import MANY, flat, visible

_METERED = sorted({event_type for meter in METERS for event_type in meter.event_types})

_TYPE = events.c.event_type + literal("", String)
"""The event type, so written that the planner walks the index of resources and not that of types."""


class Resource(msgspec.Struct, frozen=True):
    """One resource; times in microseconds, `metadata` of its newest event, `meters` by name."""

    id: str
    project_id: str | None
    user_id: str | None
    first: int
    last: int
    metadata: dict[str, str]
    meters: tuple[str, ...]


class MeterOfResource(msgspec.Struct, frozen=True):
    """A meter that has samples of a resource; without resource: it has samples at all."""

    meter: Meter
    resource_id: str | None = None
    project_id: str | None = None
    user_id: str | None = None


def list_resources(
    tx: Transaction, caller: Caller, conditions: Sequence[Condition], limit: int, *, marker: str | None = None
) -> list[Resource]:
    """Resources in the order of their ids, behind `marker`. Three statements. Raises InvalidField."""
    first, last = func.min(events.c.generated), func.max(events.c.generated)
    statement = select(events.c.resource_id, first, last).group_by(events.c.resource_id)
    statement = _asked(statement, caller, conditions, marker).order_by(events.c.resource_id).limit(limit)
    spans = {row[0]: (row[1], row[2]) for row in tx.execute(statement)}
    if not spans:
        return []
    newest = select(
        events.c.resource_id, events.c.project_id, events.c.user_id, events.c.payload, events.c.event_type
    ).where(
        events.c.resource_id.in_(list(spans)),
        tuple_(events.c.resource_id, events.c.generated).in_([(name, span[1]) for name, span in spans.items()]),
    )
    rows = {row.resource_id: row for row in tx.execute(newest.order_by(events.c.sequence))}
    types = select(events.c.resource_id, events.c.event_type).where(events.c.resource_id.in_(list(spans))).distinct()
    seen: dict[str, set[str]] = {}
    for resource_id, event_type in tx.execute(types):
        seen.setdefault(resource_id, set()).update(meter.name for meter in meters_of(event_type))
    return [
        Resource(
            name,
            rows[name].project_id,
            rows[name].user_id,
            *span,
            flat({**rows[name].payload, "event_type": rows[name].event_type}),
            tuple(sorted(seen[name])),
        )
        for name, span in spans.items()
    ]


def get_resource(tx: Transaction, caller: Caller, identifier: str) -> Resource:
    """One resource. Raises NotFound."""
    found = list_resources(tx, caller, [Condition("resource_id", "eq", "", identifier)], 1)
    if not found:
        raise NotFound.of("Resource", identifier)
    return found[0]


def list_meters(
    tx: Transaction, caller: Caller, conditions: Sequence[Condition], limit: int, *, unique: bool = False
) -> list[MeterOfResource]:
    """The meters of each resource, by resource; `unique`: each meter once, without resource. Raises InvalidField."""
    named = [c for c in conditions if c.field in ("meter", "counter_name")]
    others = [c for c in conditions if c not in named]
    if any(c.op != "eq" for c in named):
        raise InvalidField("q.op", named[0].op, f"{named[0].field} knows eq")
    names = {str(c.value) for c in named}
    chosen = {meter for name, meter in METER.items() if not names or names == {name}}
    if unique:
        if others:
            asked = _asked(select(events.c.event_type).distinct(), caller, others, None)
            types = list(tx.execute(asked).scalars())
        else:
            types = list_event_types(tx, caller)
        found = {meter.name for event_type in types for meter in meters_of(event_type)}
        return [MeterOfResource(meter) for meter in METERS if meter.name in found and meter in chosen][:limit]
    wanted = sorted({event_type for meter in chosen for event_type in meter.event_types})
    project, user = func.max(events.c.project_id), func.max(events.c.user_id)
    # Each event type adds a meter of its own to a resource, and a named meter is one a resource: so many rows do.
    group = [events.c.resource_id] if names else [events.c.resource_id, events.c.event_type]
    one_type = func.max(events.c.event_type)
    statement = select(events.c.resource_id, one_type, project, user).where(_TYPE.in_(wanted)).group_by(*group)
    statement = _asked(statement, caller, others, None).order_by(*group).limit(limit)
    listed: dict[tuple[str, str], MeterOfResource] = {}
    for resource_id, event_type, project_id, user_id in tx.execute(statement):
        for meter in chosen if names else meters_of(event_type):
            if meter in chosen:
                one = MeterOfResource(meter, resource_id, project_id, user_id)
                listed.setdefault((resource_id, meter.name), one)
    return list(listed.values())[:limit]


def _asked(statement: Select[Any], caller: Caller, conditions: Sequence[Condition], marker: str | None) -> Select[Any]:
    statement = statement.where(events.c.resource_id.is_not(None), _TYPE.in_(_METERED))
    seen = visible(caller)
    if seen is not None:
        statement = statement.where(seen)
    if marker is not None:
        statement = statement.where(events.c.resource_id > marker)
    for condition in conditions:
        if condition.field not in _FIELDS and not condition.field.startswith(("metadata.", "resource_metadata.")):
            raise InvalidField("q.field", condition.field, f"fields are {', '.join(_FIELDS)}, metadata.NAME")
        statement = statement.where(sample_clause(condition, MANY))
    return statement


_FIELDS = ("resource_id", "resource", "project_id", "project", "user_id", "user", "source", *TIMES)
