"""User messages: /messages (Block Storage API v3, since 3.3): what became of a request, where the user asks."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.api.volume.list_parameters import list_params
from pumice.block import messages
from pumice.clock import isoformat
from pumice.db.engine import Transaction

MESSAGE = View(
    "message",
    Field("id"),
    Field("event_id"),
    Field("message_level"),
    Field("user_message"),
    Field("request_id"),
    Field("resource_type"),
    Field("resource_uuid", lambda message: message.resource_id),
    Field("created_at", lambda message: isoformat(message.created_at)),
    Field("guaranteed_until", lambda message: isoformat(message.expires_at)),
    Field("links", lambda message, call: call.links.pair(f"/messages/{message.id}")),
)


def listed(tx: Transaction, call: Call) -> Any:
    return MESSAGE.page(messages.page(tx, call.caller, list_params(call, "message")), call)


def show(tx: Transaction, call: Call) -> Any:
    return MESSAGE.render(messages.get(tx, call.caller, call.path["message_id"]), call)


def delete(tx: Transaction, call: Call) -> None:
    messages.delete(tx, call.caller, call.path["message_id"])


ROUTES = (
    Route("GET", "/messages", listed, action="message:get_all", since="3.3", name="messages.list"),
    Route("GET", "/messages/{message_id}", show, action="message:get", since="3.3"),
    Route("DELETE", "/messages/{message_id}", delete, action="message:delete", since="3.3", status=204, write=True),
)
