"""What was asked of a server, and what became of it: /servers/{id}/os-instance-actions (2.51, 2.58, 2.62)."""

from typing import Any

from pumice.api.compute.server_views import host_id
from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.clock import isoformat
from pumice.compute import instance_actions, queries, servers
from pumice.db.engine import Transaction
from pumice.errors import InvalidField, NotFound

ACTION = View(
    "instanceAction",
    Field("action"),
    Field("instance_uuid", lambda action: action.server_id),
    Field("request_id"),
    Field("user_id"),
    Field("project_id"),
    Field("start_time", lambda action: isoformat(action.start_time)),
    Field("message"),
    Field("updated_at", lambda action: isoformat(action.updated_at or action.start_time), since="2.58"),
)
EVENT = View(
    "event",
    Field("event", lambda pair: pair[1].event),
    Field("start_time", lambda pair: isoformat(pair[1].start_time)),
    Field("finish_time", lambda pair: isoformat(pair[1].finish_time)),
    Field("result", lambda pair: pair[1].result),
    Field("traceback", fixed=None, visible=lambda call: call.caller.is_admin),
    Field("hostId", lambda pair: host_id(pair[0].project_id, pair[1].host), since="2.62"),
    Field("host", lambda pair: pair[1].host, since="2.62", visible=lambda call: call.caller.is_admin),
    Field("details", lambda pair: pair[1].details, since="2.84"),
)
"""Of (action, event)."""


def _known(tx: Transaction, call: Call) -> str:
    """The server, a deleted one too from 2.21 on."""
    server_id = call.path["server_id"]
    if call.version >= (2, 21) and queries.server(tx, server_id) is None:
        found = queries.server_even_deleted(tx, server_id)
        if found is not None and (call.caller.is_admin or found.project_id == call.caller.project_id):
            return server_id
    return servers.get(tx, call.caller, server_id).id


def listed(tx: Transaction, call: Call) -> Any:
    found = instance_actions.listed(tx, _known(tx, call))
    text = call.params.get("limit") if call.version >= (2, 58) else None
    if text is not None:
        if not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
            raise InvalidField("limit", text, "a whole number")
        found = found[: int(text)]
    return {"instanceActions": ACTION.items(found, call)}


def show(tx: Transaction, call: Call) -> Any:
    server_id, request_id = _known(tx, call), call.path["request_id"]
    action = next((one for one in instance_actions.listed(tx, server_id) if one.request_id == request_id), None)
    if action is None:
        raise NotFound.of("Action for request", request_id)
    item = ACTION.item(action, call)
    if call.version >= (2, 51) or call.caller.is_admin:
        item["events"] = EVENT.items([(action, event) for event in instance_actions.events_of(tx, action.id)], call)
    return {"instanceAction": item}


_ALL = "/servers/{server_id}/os-instance-actions"

ROUTES: tuple[Route, ...] = (
    Route("GET", _ALL, listed, action="compute:instance_actions:list", name="instance_actions.list"),
    Route(
        "GET",
        f"{_ALL}/{{request_id}}",
        show,
        action="compute:instance_actions:show",
        name="instance_actions.show",
    ),
)
