"""Samples, in their new form (/samples) and their old one (/meters/NAME), and complex queries (/query/samples)."""

from typing import Any

import msgspec

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.api.metering import query
from pumice.db.engine import Transaction
from pumice.errors import InvalidField
from pumice.metering import complex_queries, samples
from pumice.metering.meters import SOURCE

_time = Field("timestamp", lambda sample: query.time(sample.timestamp))
_recorded = Field("recorded_at", lambda sample: query.time(sample.timestamp))
_source = Field("source", lambda sample: SOURCE)
_whose = (Field("resource_id"), Field("project_id"), Field("user_id"), _source, _time, _recorded)

SAMPLE = View(
    "sample",
    Field("id"),
    Field("meter", lambda sample: sample.meter.name),
    Field("type", lambda sample: sample.meter.type),
    Field("unit", lambda sample: sample.meter.unit),
    Field("volume"),
    Field("metadata"),
    *_whose,
)
OLD_SAMPLE = View(
    "sample",
    Field("message_id", lambda sample: sample.id),
    Field("counter_name", lambda sample: sample.meter.name),
    Field("counter_type", lambda sample: sample.meter.type),
    Field("counter_unit", lambda sample: sample.meter.unit),
    Field("counter_volume", lambda sample: sample.volume),
    Field("resource_metadata", lambda sample: sample.metadata),
    *_whose,
)


class ComplexQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`filter` and `orderby` are JSON in a text, as the client sends them."""

    filter: str | None = None
    orderby: str | None = None
    limit: int | None = None


def index(tx: Transaction, call: Call) -> list[dict[str, Any]]:
    """List samples of all meters, newest first."""
    asked = query.asked(call, "limit", "marker")
    found = samples.list_samples(tx, call.caller, asked, query.limit(call), marker=query.marker(call))
    return SAMPLE.items(found, call)


def show(tx: Transaction, call: Call) -> dict[str, Any]:
    """Show one sample."""
    return SAMPLE.item(samples.get_sample(tx, call.caller, call.path["sample_id"]), call)


def of_meter(tx: Transaction, call: Call) -> list[dict[str, Any]]:
    """List samples of one meter in their old form, newest first."""
    asked = query.asked(call, "limit", "marker")
    found = samples.list_samples(
        tx, call.caller, asked, query.limit(call), meter=call.path["meter_name"], marker=query.marker(call)
    )
    return OLD_SAMPLE.items(found, call)


def complex_query(tx: Transaction, call: Call) -> list[dict[str, Any]]:
    """List samples by a complex query: and, or, not, =, !=, <, <=, >, >=, in."""
    body: ComplexQuery = call.body
    found = complex_queries.query_samples(
        tx,
        call.caller,
        _json("filter", body.filter),
        _json("orderby", body.orderby),
        query.DEFAULT_LIMIT if body.limit is None else query.checked_limit(body.limit),
    )
    return SAMPLE.items(found, call)


def _json(field: str, text: str | None) -> Any:
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidField(field, text, f"give JSON in a text ({error})") from None


ROUTES: tuple[Route, ...] = (
    Route("GET", "/samples", index, action="telemetry:get_samples", name="samples.index"),
    Route("GET", "/samples/{sample_id}", show, action="telemetry:get_sample", name="samples.show"),
    Route("GET", "/meters/{meter_name}", of_meter, action="telemetry:get_samples", name="samples.of_meter"),
    Route(
        "POST",
        "/query/samples",
        complex_query,
        body=ComplexQuery,
        action="telemetry:query_sample",
        name="samples.query",
    ),
)
