"""The query syntax of metering: `q.field`, `q.op`, `q.type`, `q.value`, as many times as there are conditions.

    parse(pairs) -> (Condition("size", "ge", "integer", "10"), ...)       raises InvalidField naming the field
    event_clause(condition), sample_clause(condition, columns)            the same as SQL

Events: `event_type`, `message_id`, `start_timestamp`, `end_timestamp`; any other field is a trait. Without a type a
trait is compared as what it is. Samples: resource, project, user, source, meter, message id, timestamp, volume, and
`metadata.NAME` for a field of the payload.
"""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, case, false, literal, or_

from pumice.clock import isoformat
from pumice.clock import parse as parse_time
from pumice.db.schema import events
from pumice.errors import BadRequest, InvalidField
from pumice.metering.meters import SOURCE

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: column != value,
    "lt": lambda column, value: column < value,
    "le": lambda column, value: column <= value,
    "gt": lambda column, value: column > value,
    "ge": lambda column, value: column >= value,
}
TYPES = ("", "string", "integer", "float", "datetime", "boolean")

_PARTS = {"q.field": "", "q.op": "eq", "q.type": "", "q.value": ""}
_NAME = re.compile(r"^[A-Za-z0-9_:-]{1,128}$")
_MOST = 50
_LAST_MOMENT = 253_402_300_800_000_000
"""The year 10000."""


class Condition(msgspec.Struct, frozen=True):
    """One condition: all of a query must hold. `value`: a text as sent, or a JSON value of a complex query."""

    field: str
    op: str
    type: str
    value: Any


class SampleColumns(msgspec.Struct, frozen=True):
    """What samples have beyond their event."""

    meter: ColumnElement[str]
    volume: ColumnElement[float]


def parse(pairs: Iterable[tuple[str, str]]) -> tuple[Condition, ...]:
    """The conditions of a query string's pairs; others than q.* are left alone. Raises InvalidField, BadRequest."""
    sent: dict[str, list[str]] = {name: [] for name in _PARTS}
    for name, value in pairs:
        if name in sent:
            sent[name].append(value)
        elif name.startswith("q."):
            raise InvalidField(name, value, f"a query has {', '.join(_PARTS)}")
    count = len(sent["q.field"])
    if count > _MOST:
        raise BadRequest(f"Invalid input for field 'q.field': {count} conditions; give {_MOST} at most.")
    for name, values in sent.items():
        if len(values) not in (count, 0) or (name == "q.value" and len(values) != count):
            raise BadRequest(f"Invalid input for field '{name}': {len(values)} for {count} of q.field; give one each.")
    columns = [sent[name] or [default] * count for name, default in _PARTS.items()]
    return tuple(_condition(*parts) for parts in zip(*columns, strict=True))


def _condition(field: str, op: str, kind: str, value: str) -> Condition:
    op, kind = op or "eq", "" if kind == "None" else kind
    if not field:
        raise InvalidField("q.field", field, "name the field")
    if op not in OPERATORS:
        raise InvalidField("q.op", op, f"operators are {', '.join(OPERATORS)}")
    if kind not in TYPES:
        raise InvalidField("q.type", kind, f"types are {', '.join(TYPES[1:])}")
    return Condition(field, op, kind, value)


def moment(field: str, value: Any) -> int:
    """A time as microseconds. Raises InvalidField."""
    found = _as_time(value)
    if found is None:
        raise InvalidField(field, value, "give an ISO 8601 time, e.g. 2026-11-01T00:00:00")
    return found


def number(field: str, value: Any) -> float:
    """A number. Raises InvalidField."""
    found = _as_number(value)
    if found is None:
        raise InvalidField(field, value, "give a number")
    return found


def _as_time(value: Any) -> int | None:
    try:
        found = parse_time(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
    return found if found is not None and 0 <= found < _LAST_MOMENT else None


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


# --- events

_TEXT_COLUMNS = {"event_type": events.c.event_type, "message_id": events.c.message_id}
_BORDERS = {"start_timestamp": "ge", "end_timestamp": "le"}


def event_clause(condition: Condition) -> ColumnElement[bool]:
    """The condition over the table of events. Raises InvalidField."""
    field, compare = condition.field, OPERATORS[condition.op]
    if field in _TEXT_COLUMNS:
        return _clause(compare(_TEXT_COLUMNS[field], str(condition.value)))
    if field in _BORDERS:
        op = _BORDERS[field] if condition.op == "eq" else condition.op
        return _clause(OPERATORS[op](events.c.generated, moment(field, condition.value)))
    if not _NAME.match(field):
        raise InvalidField("q.field", field, "name a trait, event_type, message_id, start_timestamp or end_timestamp")
    clause = _trait_clause(condition)
    if field == "resource_id" and condition.op == "eq":
        # The trait is the column where an event has it: this is what the index is for.
        return and_(events.c.resource_id == str(condition.value), clause)
    return clause


def _trait_clause(condition: Condition) -> ColumnElement[bool]:
    name, compare, value = condition.field, OPERATORS[condition.op], condition.value
    kind = events.c.traits[(name, 0)].as_string()
    stored = events.c.traits[(name, 1)]

    def holds(kinds: tuple[str, ...], typed: Any, column: ColumnElement[Any]) -> ColumnElement[bool]:
        return _clause(case((kind.in_(kinds), compare(column, typed)), else_=literal(False)))

    match condition.type:
        case "string":
            return holds(("string",), str(value), stored.as_string())
        case "integer":
            return holds(("integer",), _whole(name, value), stored.as_float())
        case "float":
            return holds(("integer", "float"), number(name, value), stored.as_float())
        case "datetime":
            return holds(("datetime",), isoformat(moment(name, value)), stored.as_string())
        case "boolean":
            truth(name, value)
            return false()
    ways = [holds(("string",), str(value), stored.as_string())]
    if (amount := _as_number(value)) is not None:
        ways.append(holds(("integer", "float"), amount, stored.as_float()))
    if (time := _as_time(value)) is not None:
        ways.append(holds(("datetime",), isoformat(time), stored.as_string()))
    return or_(*ways)


def _whole(field: str, value: Any) -> float:
    found = _as_number(value)
    if found is None or found != int(found):
        raise InvalidField(field, value, "give a whole number")
    return found


def truth(field: str, value: Any) -> bool:
    """A boolean. Raises InvalidField."""
    lowered = str(value).strip().lower()
    if lowered not in ("true", "false", "1", "0"):
        raise InvalidField(field, value, "give true or false")
    return lowered in ("true", "1")


# --- samples

SAMPLE_FIELDS: dict[str, ColumnElement[Any]] = {
    "resource_id": events.c.resource_id,
    "resource": events.c.resource_id,
    "project_id": events.c.project_id,
    "project": events.c.project_id,
    "user_id": events.c.user_id,
    "user": events.c.user_id,
    "source": literal(SOURCE),
}
TIMES = ("timestamp", "recorded_at")


def sample_clause(condition: Condition, columns: SampleColumns) -> ColumnElement[bool]:
    """The condition over samples. Raises InvalidField."""
    field, compare, value = condition.field, OPERATORS[condition.op], condition.value
    if field in SAMPLE_FIELDS:
        return _clause(compare(SAMPLE_FIELDS[field], str(value)))
    if field in TIMES:
        return _clause(compare(events.c.generated, moment(field, value)))
    if field in ("meter", "counter_name"):
        return _clause(compare(columns.meter, str(value)))
    if field in ("volume", "counter_volume"):
        return _clause(compare(columns.volume, number(field, value)))
    if field in ("message_id", "id"):
        return _id_clause(condition, columns)
    prefix, dot, name = field.partition(".")
    if prefix in ("metadata", "resource_metadata") and dot and _NAME.match(name):
        return _metadata_clause(condition, name)
    known = ", ".join([*SAMPLE_FIELDS, "timestamp", "meter", "volume", "message_id", "metadata.NAME"])
    raise InvalidField("q.field", field, f"fields of samples are {known}")


def _id_clause(condition: Condition, columns: SampleColumns) -> ColumnElement[bool]:
    if condition.op not in ("eq", "ne"):
        raise InvalidField("q.op", condition.op, f"{condition.field} knows eq and ne")
    message_id, _, meter = str(condition.value).partition(":")
    same = and_(events.c.message_id == message_id, columns.meter == meter)
    return same if condition.op == "eq" else ~same


def _metadata_clause(condition: Condition, name: str) -> ColumnElement[bool]:
    compare, value = OPERATORS[condition.op], condition.value
    column = events.c.payload[name].as_string()
    if condition.type in ("integer", "float"):
        amount = number(condition.field, value)
        numeric = column.regexp_match(r"^-?[0-9]+(\.[0-9]+)?$")
        return _clause(case((numeric, compare(events.c.payload[name].as_float(), amount)), else_=literal(False)))
    return _clause(compare(column, str(value)))


def _clause(value: Any) -> ColumnElement[bool]:
    """What a comparison of columns gives, by its right name."""
    clause: ColumnElement[bool] = value
    return clause
