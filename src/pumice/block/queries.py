"""SQL of block storage: one volume, snapshot or attachment with what its views show, in a fixed number of statements.

Statements are built once, at import. Lists are in `db.paging`; guards (conditional updates) in the noun's own file.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, select

from pumice.block.model import (
    Attachment,
    Hold,
    Pool,
    Service,
    Snapshot,
    Volume,
    VolumeNow,
    VolumeType,
    VolumeWithAttachments,
)
from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import attachments, pools, services, snapshots, volume_holds, volume_types, volumes

VOLUME = columns(volumes, Volume)
SNAPSHOT = columns(snapshots, Snapshot)
ATTACHMENT = columns(attachments, Attachment)
VOLUME_TYPE = columns(volume_types, VolumeType)
POOL = columns(pools, Pool)
SERVICE = columns(services, Service)
HOLD = columns(volume_holds, Hold)

VOLUMES_WITH_TYPE = select(
    *VOLUME,
    select(volume_types.c.name).where(volume_types.c.id == volumes.c.volume_type_id).scalar_subquery().label("kind"),
)
"""Rows for `with_attachments`; add filters, order and limit. With a join in place of the subquery SQLite began with the
types, and sorted all volumes of one."""

_ONE_VOLUME = VOLUMES_WITH_TYPE.where(volumes.c.id == bindparam("id"), volumes.c.deleted_at.is_(None))
_ANY_VOLUME = select(*VOLUME).where(volumes.c.id == bindparam("id"))
_ANY_SNAPSHOT = select(*SNAPSHOT).where(snapshots.c.id == bindparam("id"))
_ONE_SNAPSHOT = select(*SNAPSHOT).where(snapshots.c.id == bindparam("id"), snapshots.c.deleted_at.is_(None))
_ONE_ATTACHMENT = select(*ATTACHMENT).where(attachments.c.id == bindparam("id"), attachments.c.deleted_at.is_(None))
_LIVE_ATTACHMENTS = (
    select(*ATTACHMENT).where(attachments.c.deleted_at.is_(None)).order_by(attachments.c.created_at, attachments.c.id)
)
_ATTACHMENTS_OF_ONE = _LIVE_ATTACHMENTS.where(attachments.c.volume_id == bindparam("volume_id"))
_ATTACHMENTS_OF = _LIVE_ATTACHMENTS.where(attachments.c.volume_id.in_(bindparam("ids", expanding=True)))
_ATTACHMENTS_OF_SERVER = _LIVE_ATTACHMENTS.where(attachments.c.server_id == bindparam("server_id"))


def with_attachments(tx: Transaction, rows: Iterable[Sequence[object]]) -> list[VolumeWithAttachments]:
    """Rows of VOLUMES_WITH_TYPE with their live attachments: one more statement, whatever the number of rows."""
    found = [(Volume(*row[:-1]), str(row[-1])) for row in rows]  # type: ignore[arg-type]
    attached: dict[str, list[Attachment]] = defaultdict(list)
    ids = [volume.id for volume, _ in found if volume.attach_status != "detached"]
    for attachment in attachments_of(tx, ids):
        attached[attachment.volume_id].append(attachment)
    return [VolumeWithAttachments(volume, tuple(attached.get(volume.id, ())), name) for volume, name in found]


def volume_with_attachments(tx: Transaction, volume_id: str) -> VolumeWithAttachments | None:
    """A live volume as its views show it."""
    row = tx.execute(_ONE_VOLUME, {"id": volume_id}).one_or_none()
    return None if row is None else with_attachments(tx, [row])[0]


def volume(tx: Transaction, volume_id: str) -> Volume | None:
    """A live volume."""
    row = tx.execute(_ONE_VOLUME, {"id": volume_id}).one_or_none()
    return None if row is None else Volume(*row[:-1])


def snapshot(tx: Transaction, snapshot_id: str) -> Snapshot | None:
    """A live snapshot."""
    row = tx.execute(_ONE_SNAPSHOT, {"id": snapshot_id}).one_or_none()
    return None if row is None else Snapshot(*row)


def attachment(tx: Transaction, attachment_id: str) -> Attachment | None:
    """A live attachment."""
    row = tx.execute(_ONE_ATTACHMENT, {"id": attachment_id}).one_or_none()
    return None if row is None else Attachment(*row)


def attachments_of(tx: Transaction, volume_ids: Sequence[str]) -> list[Attachment]:
    """The live attachments of these volumes, oldest first."""
    if not volume_ids:
        return []
    if len(volume_ids) == 1:
        rows = tx.execute(_ATTACHMENTS_OF_ONE, {"volume_id": volume_ids[0]})
    else:
        rows = tx.execute(_ATTACHMENTS_OF, {"ids": list(volume_ids)})
    return [Attachment(*row) for row in rows]


def attachments_of_server(tx: Transaction, server_id: str) -> list[Attachment]:
    """The live attachments of a server, oldest first."""
    return [Attachment(*row) for row in tx.execute(_ATTACHMENTS_OF_SERVER, {"server_id": server_id})]


def volume_even_deleted(tx: Transaction, volume_id: str) -> Volume | None:
    """A volume, deleted or not (until it is purged)."""
    row = tx.execute(_ANY_VOLUME, {"id": volume_id}).one_or_none()
    return None if row is None else Volume(*row)


def volume_now(tx: Transaction, volume_id: str) -> VolumeNow | None:
    """A volume, deleted or not, and its live attachments."""
    volume = volume_even_deleted(tx, volume_id)
    return None if volume is None else VolumeNow(volume, tuple(attachments_of(tx, [volume_id])))


def snapshot_even_deleted(tx: Transaction, snapshot_id: str) -> Snapshot | None:
    """A snapshot, deleted or not (until it is purged)."""
    row = tx.execute(_ANY_SNAPSHOT, {"id": snapshot_id}).one_or_none()
    return None if row is None else Snapshot(*row)
