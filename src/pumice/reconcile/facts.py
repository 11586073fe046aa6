"""Everything that is known of one resource, for `pumice explain`: what it is, the facts behind its status, what helps.

told = explain(tx, identifier)       None: nothing of that id
"""

from typing import Any

import msgspec
from sqlalchemy import Table, not_, or_, select

from pumice.db.engine import Transaction
from pumice.db.schema import (
    attachments,
    events,
    images,
    instance_actions,
    is_live,
    marks,
    messages,
    operation_resources,
    operations,
    servers,
    snapshots,
    volume_holds,
    volumes,
)

_TABLES: tuple[tuple[str, Table], ...] = (
    ("volume", volumes),
    ("server", servers),
    ("attachment", attachments),
    ("snapshot", snapshots),
    ("image", images),
    ("operation", operations),
)
_FACTS = {
    "volume": (
        "life",
        "broken_reason",
        "backend",
        "pool",
        "size",
        "multiattach",
        "bootable",
        "snapshot_id",
        "image_id",
    ),
    "server": ("life", "power", "fault", "host", "vm_state", "task_state", "flavor_id", "image_id"),
    "attachment": ("stage", "failure", "volume_id", "server_id", "host", "device", "mode", "origin", "replaces"),
    "snapshot": ("life", "broken_reason", "volume_id", "backend", "size"),
    "image": ("disk_format", "size", "visibility", "upload_id"),
    "operation": ("kind", "subject_type", "subject_id", "position", "place", "attempts", "error", "last_error"),
}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is known. Every list holds plain records; times are microseconds."""

    kind: str
    id: str
    name: str | None
    project_id: str | None
    status: str | None
    deleted: bool
    facts: dict[str, Any]
    operations: list[dict[str, Any]]
    """Live ones that hold it or are about it."""
    ended: list[dict[str, Any]]
    """The last that have ended."""
    holds: list[dict[str, Any]]
    marks: list[dict[str, Any]]
    attachments: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    events: list[dict[str, Any]]
    advice: list[str]


def explain(tx: Transaction, identifier: str) -> Told | None:
    """What is known of the resource with this id."""
    for kind, table in _TABLES:
        row = tx.execute(select(table).where(table.c.id == identifier)).mappings().one_or_none()
        if row is not None:
            return _told(tx, kind, dict(row))
    return None


def _told(tx: Transaction, kind: str, row: dict[str, Any]) -> Told:
    identifier = row["id"]
    live = _operations(tx, identifier, live=True)
    attached = _attachments(tx, kind, identifier)
    told = Told(
        kind=kind,
        id=identifier,
        name=row.get("name"),
        project_id=row.get("project_id"),
        status=row.get("status") or row.get("attach_status") or row.get("state"),
        deleted=row.get("deleted_at") is not None,
        facts={name: row[name] for name in _FACTS[kind] if row.get(name) is not None},
        operations=live,
        ended=_operations(tx, identifier, live=False),
        holds=_some(tx, volume_holds, volume_holds.c.volume_id == identifier, volume_holds.c.created_at),
        marks=_some(tx, marks, marks.c.resource_id == identifier, marks.c.created_at),
        attachments=attached,
        actions=_some(tx, instance_actions, instance_actions.c.server_id == identifier, instance_actions.c.start_time),
        messages=_some(tx, messages, messages.c.resource_id == identifier, messages.c.created_at),
        events=_events(tx, identifier),
        advice=[],
    )
    return msgspec.structs.replace(told, advice=_advice(told))


def _some(tx: Transaction, table: Table, which: Any, order: Any, limit: int = 5) -> list[dict[str, Any]]:
    return [dict(row) for row in tx.execute(select(table).where(which).order_by(order.desc()).limit(limit)).mappings()]


_OPERATION = [
    operations.c[name]
    for name in (
        "id",
        "kind",
        "state",
        "position",
        "place",
        "attempts",
        "error",
        "last_error",
        "progress",
        "created_at",
        "finished_at",
    )
]


def _operations(tx: Transaction, identifier: str, *, live: bool) -> list[dict[str, Any]]:
    held = select(operation_resources.c.operation_id).where(operation_resources.c.resource_id == identifier)
    which = or_(operations.c.subject_id == identifier, operations.c.id.in_(held))
    state = is_live() if live else not_(is_live())
    statement = select(*_OPERATION).where(which, state).order_by(operations.c.created_at.desc()).limit(5)
    return [dict(row) for row in tx.execute(statement).mappings()]


def _attachments(tx: Transaction, kind: str, identifier: str) -> list[dict[str, Any]]:
    if kind not in ("volume", "server"):
        return []
    wanted = ("id", "volume_id", "server_id", "host", "device", "stage", "attach_status", "origin", "failure")
    column = attachments.c.volume_id if kind == "volume" else attachments.c.server_id
    statement = select(*(attachments.c[name] for name in wanted)).where(
        column == identifier, attachments.c.deleted_at.is_(None)
    )
    return [dict(row) for row in tx.execute(statement.order_by(attachments.c.created_at)).mappings()]


def _events(tx: Transaction, identifier: str) -> list[dict[str, Any]]:
    statement = select(events.c.event_type, events.c.generated, events.c.request_id)
    statement = statement.where(events.c.resource_id == identifier).order_by(events.c.generated.desc()).limit(8)
    return [dict(row) for row in tx.execute(statement).mappings()]


def _advice(told: Told) -> list[str]:
    """The verbs that help, the most likely first."""
    advice = []
    if told.deleted:
        return ["it is deleted; nothing is left to do"]
    for one in told.operations:
        if one["last_error"]:
            advice.append(f"pumice operation retry {one['id']}    once the cause ({one['last_error']}) is mended")
        advice.append(f"pumice operation show {one['id']}    {one['kind']} is at work; cancel turns it back")
    for mark in told.marks:
        advice.append(f"an operator set {mark['field']} to {mark['word']}: reset it to what the facts say to remove it")
    for hold in told.holds:
        advice.append(f"an outside caller took it ({hold['kind']}): os-unreserve or os-roll_detaching gives it back")
    for one in told.attachments:
        if told.kind == "volume" and one["origin"] != "external":
            advice.append(f"openstack server remove volume {one['server_id']} {told.id}    to detach it")
        elif told.kind == "volume":
            advice.append(f"openstack volume attachment delete {one['id']}    to end what the outside caller has")
    if told.facts.get("life") == "broken":
        advice.append("the reason stands above; delete it, or pumice reconcile if its data is there again")
    if told.status and told.status.endswith("ing") and not (told.operations or told.holds or told.marks):
        advice.append("pumice reconcile    no operation is doing this: it will be mended")
    return advice
