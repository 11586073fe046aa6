"""Samples: what the meters see of the events. Nothing is stored; each list is SQL with a limit, newest first.

One meter is read as one short list for each of its event types (the index ends each), joined. All meters together are
a join of the events with the table of meters. A sample's id is `<message id of the event>:<meter>`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    Select,
    String,
    and_,
    case,
    cast,
    column,
    false,
    literal,
    or_,
    select,
    tuple_,
    union_all,
    values,
)
from sqlalchemy.engine import Row

from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import events
from pumice.errors import BadRequest, NotFound
from pumice.metering.conditions import Condition, SampleColumns, sample_clause
from pumice.metering.meters import METER, METERS, Meter

_EVENT = (
    events.c.message_id,
    events.c.generated,
    events.c.project_id,
    events.c.user_id,
    events.c.resource_id,
    events.c.publisher_id,
    events.c.event_type,
    events.c.payload,
)


class Sample(msgspec.Struct, frozen=True):
    """One sample. `timestamp` in microseconds; `metadata` is the event's payload, flat: {"host": "node1@file", ...}."""

    id: str
    meter: Meter
    volume: float
    resource_id: str | None
    project_id: str | None
    user_id: str | None
    timestamp: int
    metadata: dict[str, str]


def visible(caller: Caller) -> ColumnElement[bool] | None:
    """Whose events a caller sees: an administrator all (None), others those of their project."""
    if caller.is_admin:
        return None
    return events.c.project_id == caller.project_id if caller.project_id else false()


def list_samples(
    tx: Transaction,
    caller: Caller,
    conditions: Sequence[Condition],
    limit: int,
    *,
    meter: str | None = None,
    marker: str | None = None,
) -> list[Sample]:
    """The newest samples, of one meter or of all. Raises InvalidField, BadRequest (unknown marker)."""
    named = {str(c.value) for c in conditions if c.field in ("meter", "counter_name") and c.op == "eq"}
    if meter is None and len(named) == 1:
        meter = named.pop()
    if meter is not None and meter not in METER:
        return []
    after = None if marker is None else _marker(tx, caller, marker)
    narrowed = not caller.is_admin or any(c.field in _NARROW for c in conditions)
    if meter is None or narrowed:
        statement = filtered(all_samples(meter), MANY, caller, conditions)
        if after is not None:
            statement = statement.where(_behind(after, MANY.meter))
        return of_rows(tx.execute(newest_first(statement, MANY.meter).limit(limit)))
    return of_rows(tx.execute(_of_one_meter(METER[meter], caller, conditions, after, limit)))


_NARROW = ("resource_id", "resource", "project_id", "project", "message_id", "id")
"""Fields whose own index leads to few events."""


def get_sample(tx: Transaction, caller: Caller, identifier: str) -> Sample:
    """One sample. Raises NotFound."""
    found = list_samples(tx, caller, [Condition("id", "eq", "", identifier)], 1)
    if not found:
        raise NotFound.of("Sample", identifier)
    return found[0]


def volume_of(meter: Meter) -> ColumnElement[float]:
    """The volume of a sample of this meter; NULL where the payload has none: then there is no sample."""
    return literal(1.0, Float) if meter.field is None else events.c.payload[meter.field].as_float()


def of_rows(rows: Any) -> list[Sample]:
    """Samples of rows of `all_samples`."""
    return [_sample(row) for row in rows]


# --- all meters: events joined with the table of meters


def _table_of_meters() -> CTE:
    rows = [(event_type, meter.name, meter.field) for meter in METERS for event_type in meter.event_types]
    columns = (column("event_type", String), column("meter", String), column("field", String))
    return values(*columns, literal_binds=True).data(rows).cte("meters")


_METERS = _table_of_meters()


def _join_columns(table: CTE) -> SampleColumns:
    fields = sorted({meter.field for meter in METERS if meter.field})
    volume = case(
        (table.c.field.is_(None), literal(1.0, Float)),
        *((table.c.field == name, events.c.payload[name].as_float()) for name in fields),
    )
    return SampleColumns(table.c.meter, volume)


MANY = _join_columns(_METERS)
"""The columns of `all_samples`, for conditions."""


def all_samples(meter: str | None = None) -> Select[Any]:
    """Samples of all meters, or of one, without order. Filter them with `filtered`."""
    # The empty text keeps the planner from walking the index of types, which would have to sort all there is.
    joined = _METERS.c.event_type == (events.c.event_type + literal("", String))
    statement = select(*_EVENT, MANY.meter.label("meter"), MANY.volume.label("volume")).join_from(
        events, _METERS, joined
    )
    statement = statement.where(MANY.volume.is_not(None))
    return statement if meter is None else statement.where(MANY.meter == meter)


def filtered(
    statement: Select[Any], columns: SampleColumns, caller: Caller, conditions: Sequence[Condition]
) -> Select[Any]:
    """Those that the caller may see and that hold all conditions."""
    seen = visible(caller)
    statement = statement if seen is None else statement.where(seen)
    return statement.where(*(sample_clause(condition, columns) for condition in conditions))


def newest_first(statement: Select[Any], meter: ColumnElement[str]) -> Select[Any]:
    return statement.order_by(events.c.generated.desc(), events.c.message_id.desc(), meter)


# --- one meter: a list for each event type


def _of_one_meter(
    meter: Meter, caller: Caller, conditions: Sequence[Condition], after: Row[Any] | None, limit: int
) -> Any:
    columns = SampleColumns(literal(meter.name, String), volume_of(meter))
    parts = []
    for event_type in meter.event_types:
        part = select(*_EVENT, columns.meter.label("meter"), cast(columns.volume, Float).label("volume"))
        part = part.where(events.c.event_type == event_type)
        if meter.field is not None:
            part = part.where(columns.volume.is_not(None))
        part = filtered(part, columns, caller, conditions)
        if after is not None:
            part = part.where(_behind(after, columns.meter))
        ordered = part.order_by(events.c.generated.desc(), events.c.message_id.desc()).limit(limit)
        parts.append(select(ordered.subquery()))
    joined = union_all(*parts).subquery()
    return select(joined).order_by(joined.c.generated.desc(), joined.c.message_id.desc()).limit(limit)


# --- paging and rows


def _marker(tx: Transaction, caller: Caller, marker: str) -> Row[Any]:
    message_id, _, meter = marker.partition(":")
    seen = visible(caller)
    statement = select(events.c.generated, events.c.message_id, literal(meter).label("meter"))
    statement = statement.where(events.c.message_id == message_id, *(() if seen is None else (seen,)))
    row = tx.execute(statement).one_or_none()
    if row is None:
        raise BadRequest(f"Invalid input for field 'marker': {marker[:64]!r} is not the id of a sample in the list.")
    return row


def _behind(after: Row[Any], meter: ColumnElement[str]) -> ColumnElement[bool]:
    place = tuple_(events.c.generated, events.c.message_id)
    there = tuple_(literal(after.generated), literal(after.message_id))
    behind = or_(place < there, and_(events.c.message_id == after.message_id, meter > after.meter))
    # Says nothing new, but is what an index can begin at.
    return and_(events.c.generated <= after.generated, behind)


def _sample(row: Row[Any]) -> Sample:
    metadata = flat({**row.payload, "event_type": row.event_type, "publisher": row.publisher_id})
    return Sample(
        f"{row.message_id}:{row.meter}",
        METER[row.meter],
        float(row.volume),
        row.resource_id,
        row.project_id,
        row.user_id,
        row.generated,
        metadata,
    )


def flat(payload: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A payload as a map of texts: `{"metadata": {"a": 1}}` is `{"metadata.a": "1"}`; nulls are left out."""
    found: dict[str, str] = {}
    for name, value in payload.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{name}."))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                found.update(flat({f"{name}[{index}]": item}, prefix))
        elif value is not None:
            found[prefix + name] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return found
