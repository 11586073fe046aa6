"""Events: every notification, stored in the transaction of the change it tells of.

    emit(tx, "volume.create.start", payload, caller=caller, resource_id=volume.id)

The payload is what Cinder's or Nova's notification of that type carries; the domains build it (`block/notifications`,
`compute/notifications`). Traits are extracted here by `definitions`. A secret can never be in a payload: `emit` raises
`SecretInPayload` when a builder hands one over, and masks values that a user keeps under such a name in metadata.

`event_row` and `store` are the two halves of `emit`, for those who write many at once (the usage audit).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy.dialects import postgresql, sqlite

from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.schema import events
from pumice.metering.definitions import traits_of

Priority = Literal["DEBUG", "INFO", "WARN", "ERROR"]

USER_MAPS = frozenset({"metadata", "glance_metadata", "image_metadata", "image_meta", "system_metadata"})
"""Payload fields whose keys the user chooses: as a map, or as a list of {key, value}."""

_SECRET_NAMES = frozenset({"connectioninfo", "connector", "userdata", "personality", "authtoken", "injectedfiles"})
_SECRET_ENDINGS = ("password", "passwd", "passphrase", "adminpass", "secret", "secretkey", "privatekey", "token")
_MASK = "***"

# A message id that is there already is left alone, so that a repeated audit stores nothing twice.
_STORE_SQLITE = sqlite.insert(events).on_conflict_do_nothing(index_elements=["message_id"])
_STORE_POSTGRESQL = postgresql.insert(events).on_conflict_do_nothing(index_elements=["message_id"])


class SecretInPayload(ValueError):
    """A notification would tell a secret: a mistake in the code that built the payload. Names the field."""


def emit(
    tx: Transaction,
    event_type: str,
    payload: Mapping[str, Any],
    *,
    caller: Caller,
    resource_id: str | None,
    project_id: str | None = None,
    priority: Priority = "INFO",
    publisher: str | None = None,
    message_id: str | None = None,
    generated: int | None = None,
) -> str:
    """Store one event with the caller's transaction and return its message id.

    `project_id`: who may read it; by default the payload's `tenant_id`, else the caller's project.
    `publisher`: like "volume.node1@file"; by default made of the event type and the payload's host.
    `generated`: microseconds; by default the time of the transaction.
    Raises SecretInPayload and definitions.BadTrait: both are mistakes of the code that built the payload.
    """
    row = event_row(
        event_type,
        payload,
        caller=caller,
        resource_id=resource_id,
        project_id=project_id,
        priority=priority,
        publisher=publisher,
        message_id=message_id or new_id(),
        generated=tx.now if generated is None else generated,
    )
    tx.execute(_STORE_SQLITE if tx.sqlite else _STORE_POSTGRESQL, row)
    return str(row["message_id"])


def event_row(
    event_type: str,
    payload: Mapping[str, Any],
    *,
    caller: Caller,
    resource_id: str | None,
    message_id: str,
    generated: int,
    project_id: str | None = None,
    priority: Priority = "INFO",
    publisher: str | None = None,
) -> dict[str, Any]:
    """One row of the table `events`, complete but for its sequence. Raises as `emit` does."""
    owner = project_id or payload.get("tenant_id") or caller.project_id
    user = payload.get("user_id") or caller.user_id
    publisher = publisher or f"{event_type.partition('.')[0]}.{payload.get('host') or 'pumice'}"
    defaults = (
        ("service", publisher),
        ("request_id", caller.request_id),
        ("project_id", owner),
        ("tenant_id", owner),
        ("user_id", user),
    )
    return {
        "message_id": message_id,
        "event_type": event_type,
        "publisher_id": publisher,
        "priority": priority,
        "generated": generated,
        "project_id": owner,
        "user_id": user,
        "resource_id": resource_id,
        "request_id": caller.request_id,
        "traits": traits_of(event_type, payload, defaults),
        "payload": _without_secrets(payload, ""),
        "delivered_at": None,
    }


def store(tx: Transaction, rows: Sequence[dict[str, Any]]) -> int:
    """Store many rows of `event_row`; how many were new. Those with a known message id change nothing."""
    if not rows:
        return 0
    if tx.sqlite:
        return tx.execute(_STORE_SQLITE, rows).rowcount
    # psycopg counts no rows of many inserts at once; what it returns can be counted.
    return len(tx.execute(_STORE_POSTGRESQL.returning(events.c.sequence), rows).all())


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret, by its name alone: `connection_info`, `adminPass`, `auth_token`."""
    plain = "".join(character for character in name.lower() if character.isalnum())
    return plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS)


def _without_secrets(value: Any, path: str) -> Any:
    """The same value; secrets of users' maps masked. Raises SecretInPayload for any other."""
    if isinstance(value, Mapping):
        clean: dict[str, Any] = {}
        for name, part in value.items():
            where = f"{path}.{name}" if path else str(name)
            if is_secret_name(name):
                raise SecretInPayload(f"a notification's payload must not hold {where}")
            clean[name] = _masked(part) if name in USER_MAPS else _without_secrets(part, where)
        return clean
    if isinstance(value, (list, tuple)):
        return [_without_secrets(part, f"{path}[{index}]") for index, part in enumerate(value)]
    return value


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _MASK if is_secret_name(name) else part for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [
            {**row, "value": _MASK} if isinstance(row, Mapping) and is_secret_name(str(row.get("key", ""))) else row
            for row in value
        ]
    return value
