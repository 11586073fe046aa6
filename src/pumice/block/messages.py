"""User messages: one sentence, where the user asks, about what became of a request (Block Storage API, "Messages").

Action and detail ids are the API's own numbers, so that clients with translations find theirs; where no documented
detail fits, the detail is UNKNOWN_ERROR and the sentence itself says the cause.
"""

from collections.abc import Mapping

from sqlalchemy import delete as delete_from
from sqlalchemy import select

from pumice.block.model import Message
from pumice.caller import Caller, new_id
from pumice.clock import DAY
from pumice.db.engine import Transaction
from pumice.db.paging import Listing, Page, text_filter
from pumice.db.rows import columns
from pumice.db.schema import messages
from pumice.errors import NotFound

MESSAGE = columns(messages, Message)

KEPT = 30 * DAY

ACTIONS = {
    "schedule allocate volume": "001",
    "attach volume": "002",
    "copy volume to image": "003",
    "update attachment": "004",
    "copy image to volume": "005",
    "unmanage volume": "006",
    "extend volume": "007",
    "create volume from backend storage": "008",
    "snapshot create": "009",
    "snapshot delete": "010",
    "snapshot update": "011",
    "snapshot metadata update": "012",
    "create backup": "013",
    "delete backup": "014",
    "restore backup": "015",
    "reimage volume": "016",
    "detach volume": "002",
    "delete volume": "008",
    "revert volume": "008",
    "migrate volume": "008",
}
"""What was being done -> action id."""

UNKNOWN_ERROR = "001"
DRIVER_NOT_INITIALIZED = "002"
NO_BACKEND_AVAILABLE = "003"
DETAILS = {
    "copy volume to image": "004",
    "extend volume": "010",
    "create volume from backend storage": "012",
    "snapshot create": "013",
    "snapshot delete": "016",
    "reimage volume": "029",
}
"""What was being done -> the detail that says that it failed; for what is not here UNKNOWN_ERROR."""


def record(
    tx: Transaction,
    *,
    project_id: str,
    request_id: str | None,
    resource_type: str,
    resource_id: str,
    action: str,
    sentence: str,
    detail_id: str | None = None,
) -> None:
    """Write a message of level ERROR; `resource_type` in lower case ("volume"), `action` a key of ACTIONS."""
    action_id = ACTIONS[action]
    detail_id = detail_id or DETAILS.get(action, UNKNOWN_ERROR)
    tx.execute(
        messages.insert(),
        {
            "id": new_id(),
            "project_id": project_id,
            "request_id": request_id,
            "resource_type": resource_type.upper(),
            "resource_id": resource_id,
            "event_id": f"VOLUME_{resource_type.upper()}_{action_id}_{detail_id}",
            "action_id": action_id,
            "detail_id": detail_id,
            "message_level": "ERROR",
            "user_message": f"{action}: {sentence}",
            "created_at": tx.now,
            "expires_at": tx.now + KEPT,
        },
    )


LISTING = Listing(
    messages,
    filters={
        "id": text_filter(messages.c.id),
        "resource_type": text_filter(messages.c.resource_type),
        "resource_uuid": text_filter(messages.c.resource_id),
        "event_id": text_filter(messages.c.event_id),
        "request_id": text_filter(messages.c.request_id),
        "message_level": text_filter(messages.c.message_level),
    },
    sorts={
        name: messages.c[name]
        for name in ("id", "event_id", "resource_type", "request_id", "message_level", "created_at")
    }
    | {"resource_uuid": messages.c.resource_id, "guaranteed_until": messages.c.expires_at},
    noun="Message",
    full_page_links=True,
    marker_error=NotFound,
)


def page(tx: Transaction, caller: Caller, params: Mapping[str, str]) -> Page[Message]:
    """The messages of the caller's project, newest first."""
    statement = select(*MESSAGE).where(messages.c.project_id == (caller.project_id or ""))
    return LISTING.page(tx, statement, LISTING.parse(params), lambda row: Message(*row))


def get(tx: Transaction, caller: Caller, message_id: str) -> Message:
    """One message of the caller's project, any for an administrator. Raises NotFound."""
    row = tx.execute(select(*MESSAGE).where(messages.c.id == message_id)).one_or_none()
    if row is None or not (caller.is_admin or caller.project_id == row.project_id):
        raise NotFound.of("Message", message_id)
    return Message(*row)


def delete(tx: Transaction, caller: Caller, message_id: str) -> None:
    """Forget a message. Raises NotFound."""
    get(tx, caller, message_id)
    tx.execute(delete_from(messages).where(messages.c.id == message_id))
