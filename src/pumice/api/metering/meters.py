"""Meters, their statistics, resources, and what this service can do: /meters, /resources, /capabilities."""

import base64
from typing import Any
from urllib.parse import quote

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.api.metering import query
from pumice.clock import SECOND
from pumice.db.engine import Transaction
from pumice.errors import InvalidField
from pumice.metering import resources, statistics
from pumice.metering.meters import SOURCE
from pumice.metering.resources import MeterOfResource, Resource
from pumice.metering.statistics import Aggregate, Statistics

_source = Field("source", lambda record: SOURCE)


def _meter_id(one: MeterOfResource) -> str:
    """As Ceilometer makes it."""
    return base64.b64encode(f"{one.resource_id}+{one.meter.name}".encode()).decode()


METER = View(
    "meter",
    Field("name", lambda one: one.meter.name),
    Field("type", lambda one: one.meter.type),
    Field("unit", lambda one: one.meter.unit),
    Field("resource_id"),
    Field("project_id"),
    Field("user_id"),
    Field("meter_id", _meter_id),
    _source,
)


def _links(resource: Resource, call: Call) -> list[dict[str, str]]:
    name = quote(resource.id, safe="")
    links = [{"rel": "self", "href": call.links.url(f"/resources/{name}")}]
    if call.params.get("meter_links", "1") == "0":
        return links
    path = "/meters/{}?q.field=resource_id&q.value=" + name
    return links + [{"rel": meter, "href": call.links.url(path.format(meter))} for meter in resource.meters]


RESOURCE = View(
    "resource",
    Field("resource_id", lambda resource: resource.id),
    Field("project_id"),
    Field("user_id"),
    Field("first_sample_timestamp", lambda resource: query.time(resource.first)),
    Field("last_sample_timestamp", lambda resource: query.time(resource.last)),
    Field("metadata"),
    Field("links", _links),
    _source,
)


def index(tx: Transaction, call: Call) -> list[dict[str, Any]]:
    """List the meters of each resource."""
    asked = query.asked(call, "limit", "unique")
    return METER.items(
        resources.list_meters(tx, call.caller, asked, query.limit(call), unique=query.truth(call, "unique")), call
    )


def meter_statistics(tx: Transaction, call: Call) -> list[dict[str, Any]]:
    """Statistics of a meter, by period and group."""
    asked = query.asked(call, "period", "groupby", "aggregate.func", "aggregate.param")
    sent = query.pairs(call)
    aggregates = _aggregates(sent)
    found = statistics.list_statistics(
        tx,
        call.caller,
        call.path["meter_name"],
        asked,
        period=_period(call.params.get("period")),
        groupby=query.all_of(sent, "groupby"),
        aggregates=aggregates,
    )
    return [_statistics(one, bool(aggregates)) for one in found]


def _aggregates(sent: list[tuple[str, str]]) -> list[Aggregate]:
    """Functions in the order sent; the parameters belong to the first ones, as the client sends them."""
    functions, parameters = query.all_of(sent, "aggregate.func"), query.all_of(sent, "aggregate.param")
    padded = [*parameters, *[None] * len(functions)]
    return [statistics.checked(function, padded[place]) for place, function in enumerate(functions)]


def _period(text: str | None) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise InvalidField("period", text, "give a whole number of seconds")
    return int(text)


def _statistics(one: Statistics, chosen: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "unit": one.unit,
        "period": one.period,
        "period_start": query.time(one.period_start),
        "period_end": query.time(one.period_end),
        "duration": (one.duration_end - one.duration_start) / SECOND,
        "duration_start": query.time(one.duration_start),
        "duration_end": query.time(one.duration_end),
        "groupby": one.groupby,
    }
    whole = {name: int(value) if name == "count" else value for name, value in one.values.items()}
    return {**answer, "aggregate": whole} if chosen else {**answer, **whole}


def resource_index(tx: Transaction, call: Call) -> list[dict[str, Any]]:
    """List the resources that have samples."""
    asked = query.asked(call, "limit", "marker", "meter_links")
    found = resources.list_resources(tx, call.caller, asked, query.limit(call), marker=query.marker(call))
    return RESOURCE.items(found, call)


def resource_show(tx: Transaction, call: Call) -> dict[str, Any]:
    """Show one resource."""
    return RESOURCE.item(resources.get_resource(tx, call.caller, call.path["resource_id"]), call)


def capabilities(tx: Transaction, call: Call) -> dict[str, Any]:
    """What can be asked here."""
    selectable = {f"statistics:aggregation:selectable:{name}": True for name in statistics.FUNCTIONS}
    return {
        "api": {
            "meters:query:simple": True,
            "meters:query:metadata": True,
            "resources:query:simple": True,
            "resources:query:metadata": True,
            "samples:query:simple": True,
            "samples:query:metadata": True,
            "samples:query:complex": True,
            "statistics:groupby": True,
            "statistics:query:simple": True,
            "statistics:query:metadata": True,
            "statistics:aggregation:standard": True,
            **selectable,
            "events:query:simple": True,
        },
        "storage": {"storage:production_ready": True},
        "event_storage": {"storage:production_ready": True},
    }


ROUTES: tuple[Route, ...] = (
    Route("GET", "/meters", index, action="telemetry:get_meters", name="meters.index"),
    Route(
        "GET",
        "/meters/{meter_name}/statistics",
        meter_statistics,
        action="telemetry:compute_statistics",
        name="meters.statistics",
    ),
    Route("GET", "/resources", resource_index, action="telemetry:get_resources", name="resources.index"),
    Route("GET", "/resources/{resource_id}", resource_show, action="telemetry:get_resource", name="resources.show"),
    Route("GET", "/capabilities", capabilities, action="telemetry:get_capabilities", name="capabilities.show"),
)
