"""User messages: one sentence, where the user asks, about what became of a request (Block Storage API, "Messages").

Action and detail ids are the API's own numbers, so that clients with translations find theirs; where no documented
detail fits, the detail is UNKNOWN_ERROR and the sentence itself says the cause.
"""

from pumice.caller import new_id
from pumice.clock import DAY
from pumice.db.engine import Transaction
from pumice.db.schema import messages

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
}
"""What was being done -> action id."""

UNKNOWN_ERROR = "001"
DRIVER_NOT_INITIALIZED = "002"
NO_BACKEND_AVAILABLE = "003"


def record(
    tx: Transaction,
    *,
    project_id: str,
    request_id: str | None,
    resource_type: str,
    resource_id: str,
    action: str,
    sentence: str,
    detail_id: str = UNKNOWN_ERROR,
) -> None:
    """Write a message of level ERROR; `resource_type` in lower case ("volume"), `action` a key of ACTIONS."""
    action_id = ACTIONS[action]
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
