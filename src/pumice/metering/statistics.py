"""Statistics of one meter: count, sum, average, least and greatest, by period and group, in one SQL statement."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Float, String, cast, distinct, func, literal, select
from sqlalchemy.engine import Row

from pumice.caller import Caller
from pumice.clock import SECOND
from pumice.db.engine import Transaction
from pumice.db.schema import events
from pumice.errors import InvalidField
from pumice.metering.conditions import SAMPLE_FIELDS, Condition, SampleColumns, moment
from pumice.metering.meters import METER, SOURCE
from pumice.metering.samples import filtered, volume_of

GROUPS = ("user_id", "resource_id", "project_id", "source")
FUNCTIONS = ("avg", "cardinality", "count", "max", "min", "stddev", "sum")
MOST = 10_000
"""Rows of an answer: periods times groups."""


class Aggregate(msgspec.Struct, frozen=True):
    """One aggregate asked for: `cardinality` has the field it counts as `parameter`."""

    function: str
    parameter: str | None = None

    @property
    def name(self) -> str:
        return f"{self.function}/{self.parameter}" if self.parameter else self.function


class Statistics(msgspec.Struct, frozen=True):
    """The samples of one period and group; times in microseconds, `period` in seconds (0: all time)."""

    unit: str
    period: int
    period_start: int
    period_end: int
    duration_start: int
    duration_end: int
    groupby: dict[str, str | None] | None
    values: dict[str, float]
    """By the name of the aggregate; without asking: avg, count, max, min, sum."""


def checked(function: str, parameter: str | None) -> Aggregate:
    """An aggregate of a request. Raises InvalidField."""
    if function not in FUNCTIONS:
        raise InvalidField("aggregate.func", function, f"functions are {', '.join(FUNCTIONS)}")
    if function != "cardinality":
        return Aggregate(function)
    if parameter not in ("user_id", "resource_id", "project_id", "source"):
        raise InvalidField("aggregate.param", parameter, f"cardinality counts one of {', '.join(GROUPS)}")
    return Aggregate(function, parameter)


def list_statistics(
    tx: Transaction,
    caller: Caller,
    meter_name: str,
    conditions: Sequence[Condition],
    *,
    period: int = 0,
    groupby: Sequence[str] = (),
    aggregates: Sequence[Aggregate] = (),
) -> list[Statistics]:
    """Statistics of a meter; none where there are no samples. Periods without samples are left out.

    Periods are counted from the query's earliest time, else from the first sample. Raises InvalidField."""
    meter = METER.get(meter_name)
    if meter is None:
        return []
    for name in groupby:
        if name not in GROUPS:
            raise InvalidField("groupby", name, f"groups are {', '.join(GROUPS)}")
    volume = cast(volume_of(meter), Float)
    wanted = list(aggregates) or [Aggregate(name) for name in ("avg", "count", "max", "min", "sum")]
    first, last = func.min(events.c.generated), func.max(events.c.generated)
    columns: list[Any] = [first.label("first"), last.label("last")]
    for place, aggregate in enumerate(wanted):
        columns += [column.label(f"value_{place}_{part}") for part, column in enumerate(_sql(aggregate, volume))]
    base = select(*columns).where(events.c.event_type.in_(meter.event_types))
    if meter.field is not None:
        base = base.where(volume_of(meter).is_not(None))
    base = filtered(base, SampleColumns(literal(meter.name, String), volume), caller, conditions)
    groups: list[Any] = [SAMPLE_FIELDS[name].label(f"group_{name}") for name in groupby if name != "source"]
    start = _start(conditions)
    if period:
        if start is None:
            start = tx.execute(base.with_only_columns(first)).scalar_one()
            if start is None:
                return []
        groups.append(((events.c.generated - start) // (period * SECOND)).label("bucket"))
    statement = base.add_columns(*groups).having(func.count() > 0).limit(MOST)
    if groups:
        statement = statement.group_by(*groups).order_by(*reversed(groups))
    rows = tx.execute(statement).all()
    return [_statistics(row, meter.unit, period, start, groupby, wanted) for row in rows]


def _sql(aggregate: Aggregate, volume: ColumnElement[float]) -> list[ColumnElement[Any]]:
    match aggregate.function:
        case "cardinality":
            return [func.count(distinct(SAMPLE_FIELDS[aggregate.parameter or "resource_id"]))]
        case "stddev":
            return [func.avg(volume * volume), func.avg(volume)]
        case "count":
            return [func.count()]
        case name:
            return [getattr(func, name)(volume)]


def _start(conditions: Sequence[Condition]) -> int | None:
    """The earliest time that the query asks for."""
    asked = (c for c in conditions if c.field == "timestamp" and c.op in ("ge", "gt"))
    return max((moment(c.field, c.value) for c in asked), default=None)


def _statistics(
    row: Row[Any], unit: str, period: int, start: int | None, groupby: Sequence[str], wanted: Sequence[Aggregate]
) -> Statistics:
    found = row._mapping
    begin, end = (found["first"], found["last"])
    if period and start is not None:
        begin = start + int(found["bucket"]) * period * SECOND
        end = begin + period * SECOND
    values = {}
    for place, aggregate in enumerate(wanted):
        value = found[f"value_{place}_0"]
        if aggregate.function == "stddev":
            value = math.sqrt(max(0.0, value - found[f"value_{place}_1"] ** 2))
        values[aggregate.name] = float(value)
    group = {name: SOURCE if name == "source" else found[f"group_{name}"] for name in groupby}
    return Statistics(unit, period, begin, end, found["first"], found["last"], group if groupby else None, values)
