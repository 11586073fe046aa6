"""Events, their types and traits: /events (limit, marker, sort=generated:asc|desc), /event_types."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.api.metering import query
from pumice.db.engine import Transaction
from pumice.errors import InvalidField
from pumice.metering import event_lists
from pumice.metering.event_lists import Event


def _traits(event: Event) -> list[dict[str, Any]]:
    return [{"name": name, "type": kind, "value": str(value)} for name, (kind, value) in sorted(event.traits.items())]


EVENT = View(
    "event",
    Field("message_id"),
    Field("event_type"),
    Field("generated", lambda event: query.time(event.generated)),
    Field("traits", _traits),
    Field("raw", lambda event: {}),
)


def index(tx: Transaction, call: Call) -> list[dict[str, Any]]:
    """List events."""
    asked = query.asked(call, "limit", "marker", "sort")
    sort = call.params.get("sort", "generated:asc")
    if sort not in ("generated", "generated:asc", "generated:desc"):
        raise InvalidField("sort", sort, "events are sorted by generated:asc or generated:desc")
    found = event_lists.list_events(
        tx,
        call.caller,
        asked,
        query.limit(call),
        marker=query.marker(call),
        order="desc" if sort.endswith(":desc") else "asc",
    )
    return EVENT.items(found, call)


def show(tx: Transaction, call: Call) -> dict[str, Any]:
    """Show one event."""
    return EVENT.item(event_lists.get_event(tx, call.caller, call.path["message_id"]), call)


def event_types(tx: Transaction, call: Call) -> list[str]:
    """List the types of the events there are."""
    return event_lists.list_event_types(tx, call.caller)


def traits(tx: Transaction, call: Call) -> list[dict[str, str]]:
    """List the names and types of the traits of an event type."""
    return [{"name": name, "type": kind} for name, kind in event_lists.traits_of_type(call.path["event_type"])]


def trait_values(tx: Transaction, call: Call) -> list[dict[str, str]]:
    """List the values of one trait, newest event first."""
    name = call.path["trait_name"]
    found = event_lists.list_trait_values(tx, call.caller, call.path["event_type"], name, query.limit(call))
    return [{"name": name, "type": kind, "value": str(value)} for kind, value in found]


ROUTES: tuple[Route, ...] = (
    Route("GET", "/events", index, action="telemetry:events:index", name="events.index"),
    Route("GET", "/events/{message_id}", show, action="telemetry:events:show", name="events.show"),
    Route("GET", "/event_types", event_types, action="telemetry:events:index", name="event_types.index"),
    Route("GET", "/event_types/{event_type}/traits", traits, action="telemetry:events:index", name="traits.index"),
    Route(
        "GET",
        "/event_types/{event_type}/traits/{trait_name}",
        trait_values,
        action="telemetry:events:index",
        name="traits.show",
    ),
)
