"""Instance actions and their events: what was asked of a server, and what became of it, where the user looks.

A leaf of compute: imported by block storage too (extending an attached volume is an action of the server).
"""

import msgspec
from sqlalchemy import select, update

from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import instance_action_events, instance_actions


class InstanceAction(msgspec.Struct, frozen=True):
    """One request to a server; `message` is None while nothing went wrong."""

    id: str
    server_id: str
    action: str
    request_id: str
    user_id: str
    project_id: str
    message: str | None
    start_time: int
    updated_at: int | None


class InstanceActionEvent(msgspec.Struct, frozen=True):
    """One part of an action; `result` "Success", "Error" or None while it runs."""

    id: str
    action_id: str
    event: str
    host: str | None
    result: str | None
    details: str | None
    start_time: int
    finish_time: int | None


ACTION = columns(instance_actions, InstanceAction)
EVENT = columns(instance_action_events, InstanceActionEvent)


def start(tx: Transaction, server_id: str, action: str, *, caller: Caller, project_id: str | None = None) -> str:
    """Record that the action was asked for; its id."""
    action_id = new_id()
    tx.execute(
        instance_actions.insert(),
        {
            "id": action_id,
            "server_id": server_id,
            "action": action,
            "request_id": caller.request_id,
            "user_id": caller.user_id,
            "project_id": project_id or caller.project_id or "",
            "start_time": tx.now,
            "updated_at": tx.now,
        },
    )
    return action_id


def start_event(tx: Transaction, action_id: str, event: str, host: str | None = None) -> str:
    """A part of the action begins; the event's id."""
    event_id = new_id()
    values = {"id": event_id, "action_id": action_id, "event": event, "host": host, "start_time": tx.now}
    tx.execute(instance_action_events.insert(), values)
    return event_id


def finish_event(tx: Transaction, event_id: str, *, failure: str | None = None) -> None:
    """A part has ended; with `failure` (one sentence) its action says so too."""
    statement = (
        update(instance_action_events)
        .where(instance_action_events.c.id == event_id, instance_action_events.c.finish_time.is_(None))
        .values(result="Success" if failure is None else "Error", details=failure, finish_time=tx.now)
        .returning(instance_action_events.c.action_id)
    )
    action_id = tx.execute(statement).scalar_one_or_none()
    if action_id is not None:
        values = {"updated_at": tx.now} if failure is None else {"updated_at": tx.now, "message": failure}
        tx.execute(update(instance_actions).where(instance_actions.c.id == action_id).values(**values))


def record_done(
    tx: Transaction, server_id: str, action: str, event: str, *, caller: Caller, host: str | None = None
) -> None:
    """An action with one event that is over and went well."""
    action_id = start(tx, server_id, action, caller=caller)
    finish_event(tx, start_event(tx, action_id, event, host))


def listed(tx: Transaction, server_id: str) -> list[InstanceAction]:
    """A server's actions, newest first."""
    statement = (
        select(*ACTION)
        .where(instance_actions.c.server_id == server_id)
        .order_by(instance_actions.c.start_time.desc(), instance_actions.c.id.desc())
    )
    return [InstanceAction(*row) for row in tx.execute(statement)]


def events_of(tx: Transaction, action_id: str) -> list[InstanceActionEvent]:
    """An action's events, oldest first."""
    statement = (
        select(*EVENT)
        .where(instance_action_events.c.action_id == action_id)
        .order_by(instance_action_events.c.start_time, instance_action_events.c.id)
    )
    return [InstanceActionEvent(*row) for row in tx.execute(statement)]
