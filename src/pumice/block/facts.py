"""Reads the facts of a volume, snapshot or attachment and rewrites its derived columns.

Called at the end of every transaction that changed one of the facts: by the domain's functions, and by each
operation's `settle`. The only writer of `status`, `attach_status` and `migration_status`.
"""

from collections import defaultdict
from typing import Any

import msgspec
from sqlalchemy import String, and_, bindparam, cast, func, literal, null, select, union_all, update

from pumice.block.model import Attachment, Volume, VolumeNow
from pumice.block.queries import ATTACHMENT, VOLUME
from pumice.block.status import (
    AttachmentFacts,
    LiveOperation,
    Marks,
    VolumeFacts,
    VolumeStatus,
    attachment_status,
    snapshot_status,
    volume_status,
)
from pumice.block.transitions import transition
from pumice.db.engine import Transaction
from pumice.db.schema import (
    attachments,
    is_live,
    marks,
    operation_resources,
    operations,
    snapshots,
    volume_holds,
    volumes,
)

_VOLUME = select(*VOLUME, volumes.c.migration).where(volumes.c.id == bindparam("id"))
_OPERATIONS = (
    select(operations.c.kind, operation_resources.c.mode)
    .join(operations, operations.c.id == operation_resources.c.operation_id)
    .where(
        operation_resources.c.resource_type == bindparam("resource_type"),
        operation_resources.c.resource_id == bindparam("id"),
    )
    .order_by(operation_resources.c.mode)
)
_detach = operations.alias("detach")
_ATTACHMENTS = (
    select(*ATTACHMENT, func.coalesce(operations.c.kind, _detach.c.kind))
    .outerjoin(
        operation_resources,
        and_(
            operation_resources.c.resource_id == attachments.c.id,
            operation_resources.c.resource_type == "attachment",
        ),
    )
    .outerjoin(operations, operations.c.id == operation_resources.c.operation_id)
    .outerjoin(
        _detach,  # Shown from the request on, although it holds the attachment only when its turn comes.
        and_(
            _detach.c.subject_id == attachments.c.id,
            _detach.c.kind == transition("attachment", "detach from a server").operation,
            is_live(_detach),
        ),
    )
    .where(attachments.c.volume_id == bindparam("id"), attachments.c.deleted_at.is_(None))
    .order_by(attachments.c.created_at, attachments.c.id)
)
_MARKS = select(marks.c.field, marks.c.word).where(
    marks.c.resource_type == bindparam("resource_type"), marks.c.resource_id == bindparam("id")
)
_ABOUT_VOLUME = union_all(
    select(literal("operation").label("what"), operations.c.kind.label("word"), operation_resources.c.mode.label("of"))
    .join(operations, operations.c.id == operation_resources.c.operation_id)
    .where(operation_resources.c.resource_type == "volume", operation_resources.c.resource_id == bindparam("id")),
    select(literal("hold"), volume_holds.c.kind, cast(null(), String)).where(
        volume_holds.c.volume_id == bindparam("id")
    ),
    select(literal("mark"), marks.c.word, marks.c.field).where(
        marks.c.resource_type == "volume", marks.c.resource_id == bindparam("id")
    ),
)
"""Operations (by mode), holds and marks (by field) of a volume, in one statement: it is read after every change."""
_WRITE_VOLUME = (
    update(volumes)
    .where(volumes.c.id == bindparam("key"))
    .values(
        status=bindparam("status"),
        attach_status=bindparam("attach_status"),
        migration_status=bindparam("migration_status"),
        updated_at=bindparam("now"),
    )
)
_WRITE_ATTACHMENT = (
    update(attachments)
    .where(attachments.c.id == bindparam("key"))
    .values(attach_status=bindparam("attach_status"), updated_at=bindparam("now"))
)
_SNAPSHOT = select(snapshots.c.life, snapshots.c.status).where(snapshots.c.id == bindparam("id"))
_WRITE_SNAPSHOT = (
    update(snapshots)
    .where(snapshots.c.id == bindparam("key"))
    .values(status=bindparam("status"), updated_at=bindparam("now"))
)


def live_operations(tx: Transaction, resource_type: str, resource_id: str) -> tuple[LiveOperation, ...]:
    """The operations that hold the resource now, exclusive ones first."""
    rows = tx.execute(_OPERATIONS, {"resource_type": resource_type, "id": resource_id})
    return tuple(LiveOperation(kind, mode) for kind, mode in rows)


def read_marks(tx: Transaction, resource_type: str, resource_id: str) -> Marks:
    """The operator's marks on the resource."""
    rows = tx.execute(_MARKS, {"resource_type": resource_type, "id": resource_id})
    return Marks(**{row[0]: row[1] for row in rows})


def refresh_volume(tx: Transaction, volume_id: str) -> VolumeNow | None:
    """Rewrite the derived columns of a volume and of its live attachments; both as they are then, None when there is no
    row."""
    row = tx.execute(_VOLUME, {"id": volume_id}).one_or_none()
    if row is None:
        return None
    volume = Volume(*row[:-1])
    attached, facts = _refreshed_attachments(tx, volume_id)
    about: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for what, word, of in tx.execute(_ABOUT_VOLUME, {"id": volume_id}):
        about[what].append((of, word))
    derived = volume_status(
        VolumeFacts(
            life=volume.life,
            migration=row.migration,
            operations=tuple(LiveOperation(kind, mode) for mode, kind in sorted(about["operation"])),
            attachments=facts,
            holds=frozenset(word for _, word in about["hold"]),
            marks=Marks(**dict(about["mark"])),
        )
    )
    if derived != VolumeStatus(volume.status, volume.attach_status, volume.migration_status):
        words = msgspec.structs.asdict(derived)
        tx.execute(_WRITE_VOLUME, {"key": volume_id, "now": tx.now, **words})
        volume = msgspec.structs.replace(volume, updated_at=tx.now, **words)
    return VolumeNow(volume, attached)


def _refreshed_attachments(
    tx: Transaction, volume_id: str
) -> tuple[tuple[Attachment, ...], tuple[AttachmentFacts, ...]]:
    """The volume's live attachments, the oldest first, and what its own status is derived from of them."""
    attached: dict[str, Attachment] = {}
    facts = []
    for row in tx.execute(_ATTACHMENTS, {"id": volume_id}):
        attachment, kind = Attachment(*row[:-1]), row[-1]
        operation = LiveOperation(kind, "exclusive") if kind is not None else None
        facts.append(AttachmentFacts(attachment.stage, attachment.failure is not None, operation))
        word = attachment_status(facts[-1])
        if word != attachment.attach_status:
            tx.execute(_WRITE_ATTACHMENT, {"key": attachment.id, "attach_status": word, "now": tx.now})
            attachment = msgspec.structs.replace(attachment, attach_status=word, updated_at=tx.now)
        attached[attachment.id] = attachment
    return tuple(attached.values()), tuple(facts)


def refresh_snapshot(tx: Transaction, snapshot_id: str) -> str | None:
    """Rewrite the derived column of a snapshot; the status, or None when there is no row."""
    row = tx.execute(_SNAPSHOT, {"id": snapshot_id}).one_or_none()
    if row is None:
        return None
    mark = read_marks(tx, "snapshot", snapshot_id).status
    word = snapshot_status(row.life, live_operations(tx, "snapshot", snapshot_id), mark)
    if word != row.status:
        tx.execute(_WRITE_SNAPSHOT, {"key": snapshot_id, "status": word, "now": tx.now})
    return word
