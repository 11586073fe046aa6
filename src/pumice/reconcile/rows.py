"""What the rows of the database alone show to be wrong. Read only; each look takes a few statements.

    for finding in look(tx, Options()): ...            everything
    look(tx, options, only=finding)                    is this one still so? (asked again by its repair)

What a live operation holds or is about is in flight, and left alone.
"""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select

from pumice.clock import isoformat_z
from pumice.db.engine import Transaction
from pumice.db.schema import (
    attachments,
    block_device_mappings,
    is_live,
    operation_resources,
    operations,
    servers,
    snapshots,
    volume_holds,
    volumes,
)
from pumice.reconcile.model import Finding, Options

OURS = ("compute", "os-attach")
"""Origins of attachments that this cloud's own compute holds."""

Looker = Callable[[Transaction, Options, str | None], Iterator[Finding]]


def look(tx: Transaction, options: Options, only: Finding | None = None) -> Iterator[Finding]:
    """Every finding of the rows; with `only` whether that one is still there."""
    for looker in LOOKERS:
        for finding in looker(tx, options, None if only is None else only.resource_id):
            if only is None or (finding.name, finding.resource_id) == (only.name, only.resource_id):
                yield finding


def in_flight(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """SQL: a live operation holds the resource with this id, or is about it."""
    held = exists().where(operation_resources.c.resource_id == column)
    about = exists().where(operations.c.subject_id == column, is_live())
    return or_(held, about)


def _narrowed(statement: Select[Any], column: ColumnElement[Any], only: str | None) -> Select[Any]:
    return statement if only is None else statement.where(column == only)


def _mappings(tx: Transaction, _options: Options, only: str | None) -> Iterator[Finding]:
    """Entries of servers' lists of disks without a live attachment."""
    table = block_device_mappings
    attached = exists().where(attachments.c.id == table.c.attachment_id, attachments.c.deleted_at.is_(None))
    statement = select(table.c.id, table.c.server_id, table.c.volume_id).where(
        table.c.deleted_at.is_(None),
        table.c.volume_id.is_not(None),
        ~attached,
        ~in_flight(table.c.server_id),
        ~in_flight(table.c.volume_id),
    )
    for row in tx.execute(_narrowed(statement, table.c.id, only)).all():
        yield Finding(
            name="mapping-without-attachment",
            resource_type="mapping",
            resource_id=row.id,
            sentence=f"server {row.server_id} lists volume {row.volume_id}, which has no attachment to it",
            evidence={"server_id": row.server_id, "volume_id": row.volume_id},
        )


def _servers_gone(tx: Transaction, options: Options, only: str | None) -> Iterator[Finding]:
    """Attachments of servers that were deleted or never were (story 2)."""
    known = servers.alias()
    statement = (
        select(attachments, known.c.deleted_at.label("server_deleted_at"))
        .outerjoin(known, known.c.id == attachments.c.server_id)
        .where(
            attachments.c.deleted_at.is_(None),
            attachments.c.server_id.is_not(None),
            or_(known.c.id.is_(None), known.c.deleted_at.is_not(None)),
            ~in_flight(attachments.c.id),
            ~in_flight(attachments.c.server_id),
        )
        .order_by(attachments.c.created_at)
    )
    for row in tx.execute(_narrowed(statement, attachments.c.id, only)).all():
        never = row.server_deleted_at is None
        name = "attachment-server-gone"
        if row.origin == "external" and never:
            if max(row.created_at, row.updated_at or 0) > tx.now - options.grace:
                continue
            if row.host is not None:
                name = "attachment-server-unknown"
        what = "does not exist" if never else f"was deleted at {isoformat_z(row.server_deleted_at)}"
        yield Finding(
            name=name,
            resource_type="attachment",
            resource_id=row.id,
            sentence=f"volume {row.volume_id} is {row.attach_status} to server {row.server_id}, which {what}",
            evidence={
                "volume_id": row.volume_id,
                "server_id": row.server_id,
                "stage": row.stage,
                "origin": row.origin,
                "host": row.host,
            },
        )


def _half_attached(tx: Transaction, _options: Options, only: str | None) -> Iterator[Finding]:
    """Attachments to live servers that are neither attached nor being attached."""
    statement = (
        select(attachments)
        .join(servers, and_(servers.c.id == attachments.c.server_id, servers.c.deleted_at.is_(None)))
        .where(
            attachments.c.deleted_at.is_(None),
            attachments.c.origin.in_(OURS),
            attachments.c.stage.in_(("reserved", "connected")),
            ~in_flight(attachments.c.id),
            ~in_flight(attachments.c.server_id),
        )
    )
    for row in tx.execute(_narrowed(statement, attachments.c.id, only)).all():
        yield Finding(
            name="attachment-unfinished",
            resource_type="attachment",
            resource_id=row.id,
            sentence=f"volume {row.volume_id} is {row.stage} for server {row.server_id}, and nobody goes on with it",
            evidence={"volume_id": row.volume_id, "server_id": row.server_id, "stage": row.stage},
        )


def _unlisted(tx: Transaction, _options: Options, only: str | None) -> Iterator[Finding]:
    """Attached volumes that the server's list of disks lacks."""
    table = block_device_mappings
    listed = exists().where(
        table.c.server_id == attachments.c.server_id,
        table.c.volume_id == attachments.c.volume_id,
        table.c.deleted_at.is_(None),
    )
    statement = (
        select(attachments)
        .join(servers, and_(servers.c.id == attachments.c.server_id, servers.c.deleted_at.is_(None)))
        .where(
            attachments.c.deleted_at.is_(None),
            attachments.c.origin.in_(OURS),
            attachments.c.stage == "attached",
            ~listed,
            ~in_flight(attachments.c.id),
            ~in_flight(attachments.c.server_id),
        )
    )
    for row in tx.execute(_narrowed(statement, attachments.c.id, only)).all():
        yield Finding(
            name="attachment-without-mapping",
            resource_type="attachment",
            resource_id=row.id,
            sentence=f"volume {row.volume_id} is attached to server {row.server_id}, which does not list it",
            evidence={"volume_id": row.volume_id, "server_id": row.server_id},
        )


def _unfinished(tx: Transaction, _options: Options, only: str | None) -> Iterator[Finding]:
    """Volumes, snapshots and servers that are being made or deleted by nobody."""
    for noun, table in (("volume", volumes), ("snapshot", snapshots), ("server", servers)):
        statement = select(table.c.id, table.c.life).where(
            table.c.deleted_at.is_(None), table.c.life.in_(("making", "going")), ~in_flight(table.c.id)
        )
        if noun == "snapshot":  # a cascade deletes them with their volume
            statement = statement.where(~in_flight(snapshots.c.volume_id))
        for row in tx.execute(_narrowed(statement, table.c.id, only)).all():
            doing = "made" if row.life == "making" else "deleted"
            yield Finding(
                name=f"{noun}-unfinished",
                resource_type=noun,
                resource_id=row.id,
                sentence=f"{noun} {row.id} is being {doing}, but no operation is doing it",
                evidence={"life": row.life},
            )


def _holds(tx: Transaction, _options: Options, only: str | None) -> Iterator[Finding]:
    """Reservations past their end."""
    statement = select(volume_holds).where(volume_holds.c.expires_at <= tx.now)
    for row in tx.execute(_narrowed(statement, volume_holds.c.volume_id, only)).all():
        yield Finding(
            name="hold-expired",
            resource_type="volume",
            resource_id=row.volume_id,
            sentence=f"volume {row.volume_id} was taken ({row.kind}) until {isoformat_z(row.expires_at)}",
            evidence={"kind": row.kind, "user_id": row.user_id},
        )


LOOKERS: tuple[Looker, ...] = (_mappings, _servers_gone, _half_attached, _unlisted, _unfinished, _holds)
