"""What the usage audit counts: one entry a kind of resource. Backups join by one more entry.

Each kind knows its pages: rows alive in [begin, end) in the order of their ids, in a fixed number of statements a
page. JSON columns are read as text and decoded row by row, so that one that cannot be read spoils only its own row.

    alive in [begin, end):  created_at < end  and  (not deleted or deleted_at > begin)
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Table, Text, and_, bindparam, cast, func, null, or_, select
from sqlalchemy.engine import Row

from pumice.block.model import Attachment, Snapshot, Volume
from pumice.block.notifications import snapshot_payload, volume_payload
from pumice.db.engine import Transaction
from pumice.db.schema import attachments, snapshots, volumes

_metadata = msgspec.json.Decoder(dict[str, str]).decode


class BadRow(ValueError):
    """A row that cannot be reported; `str()` says why."""


class AuditedRow(msgspec.Struct, frozen=True):
    """One resource as its events tell it. Times in microseconds."""

    id: str
    project_id: str
    publisher: str
    created_at: int
    deleted_at: int | None
    payload: dict[str, Any]


Related = Mapping[str, Any]
"""What else a page needs, by resource id; read once a page."""


class Kind(msgspec.Struct, frozen=True):
    """A kind of audited resource: `<noun>.exists` is its event."""

    noun: str
    table: Table
    columns: Select[Any]
    """Everything of one row, joined; its first column is the id."""
    related: Callable[[Transaction, Sequence[str]], Related]
    build: Callable[[Row[Any], Related], AuditedRow]
    """Raises BadRow, or any of `usage_audit.BAD`, for a row that cannot be told."""

    def page(self, tx: Transaction, begin: int, end: int, after: str, limit: int) -> Sequence[Row[Any]]:
        """The next rows alive in [begin, end) with an id greater than `after`."""
        statement = self.columns.where(self._alive(), self.table.c.id > bindparam("after"))
        return tx.execute(
            statement.order_by(self.table.c.id).limit(bindparam("page")),
            {"begin": begin, "end": end, "after": after, "page": limit},
        ).all()

    def page_ids(self, tx: Transaction, begin: int, end: int, after: str, limit: int) -> list[str]:
        """The ids of the same rows, for when the rows themselves cannot be read at once."""
        statement = select(self.table.c.id).where(self._alive(), self.table.c.id > bindparam("after"))
        parameters = {"begin": begin, "end": end, "after": after, "page": limit}
        return list(tx.execute(statement.order_by(self.table.c.id).limit(bindparam("page")), parameters).scalars())

    def one(self, tx: Transaction, identifier: str) -> Row[Any]:
        return tx.execute(self.columns.where(self.table.c.id == identifier)).one()

    def count(self, tx: Transaction, begin: int, end: int) -> int:
        statement = select(func.count()).select_from(self.table).where(self._alive())
        return int(tx.execute(statement, {"begin": begin, "end": end}).scalar_one())

    def _alive(self) -> ColumnElement[bool]:
        c = self.table.c
        return and_(c.created_at < bindparam("end"), or_(c.deleted_at.is_(None), c.deleted_at > bindparam("begin")))


def _readable(table: Table, record: type[msgspec.Struct], hidden: Sequence[str] = ()) -> list[ColumnElement[Any]]:
    """The columns of a record, JSON as text; the hidden ones as NULL."""
    names = record.__struct_fields__
    found: list[ColumnElement[Any]] = []
    for name in names:
        column = table.c[name]
        is_json = name in ("metadata", "image_metadata")
        value = null() if name in hidden else cast(column, Text) if is_json else column
        found.append(value.label(name))
    return found


def _decoded(text: str | None, field: str) -> dict[str, str]:
    if text is None:
        raise BadRow(f"its {field} is missing")
    try:
        return _metadata(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRow(f"its {field} cannot be read: {error}") from None


# --- volumes

_VOLUMES = select(*_readable(volumes, Volume))
_SECRET = ("connector", "connection_info")
_ATTACHMENTS = (
    select(*_readable(attachments, Attachment, hidden=_SECRET))
    .where(attachments.c.volume_id.in_(bindparam("ids", expanding=True)), attachments.c.deleted_at.is_(None))
    .order_by(attachments.c.volume_id, attachments.c.created_at, attachments.c.id)
)


def _attachments_of(tx: Transaction, ids: Sequence[str]) -> Related:
    found: dict[str, list[Attachment]] = defaultdict(list)
    for row in tx.execute(_ATTACHMENTS, {"ids": list(ids)}):
        found[row.volume_id].append(Attachment(*row))
    return found


_METADATA = Volume.__struct_fields__.index("metadata")
_IMAGE_METADATA = Volume.__struct_fields__.index("image_metadata")


def _volume(row: Row[Any], related: Related) -> AuditedRow:
    values = list(row)
    values[_METADATA] = _decoded(values[_METADATA], "metadata")
    if values[_IMAGE_METADATA] is not None:
        values[_IMAGE_METADATA] = _decoded(values[_IMAGE_METADATA], "image metadata")
    volume = Volume(*values)
    return AuditedRow(
        volume.id,
        volume.project_id,
        f"volume.{volume.backend or 'scheduler'}",
        volume.created_at,
        volume.deleted_at,
        volume_payload(volume, related.get(volume.id, ())),
    )


# --- snapshots

_SNAPSHOTS = select(*_readable(snapshots, Snapshot), volumes.c.availability_zone).join_from(
    snapshots, volumes, volumes.c.id == snapshots.c.volume_id, isouter=True
)
_SNAPSHOT_METADATA = Snapshot.__struct_fields__.index("metadata")


def _nothing_related(tx: Transaction, ids: Sequence[str]) -> Related:
    return {}


def _snapshot(row: Row[Any], related: Related) -> AuditedRow:
    values = list(row)
    availability_zone = values.pop()
    values[_SNAPSHOT_METADATA] = _decoded(values[_SNAPSHOT_METADATA], "metadata")
    snapshot = Snapshot(*values)
    return AuditedRow(
        snapshot.id,
        snapshot.project_id,
        f"snapshot.{snapshot.backend}",
        snapshot.created_at,
        snapshot.deleted_at,
        snapshot_payload(snapshot, availability_zone or ""),
    )


KINDS: tuple[Kind, ...] = (
    Kind("volume", volumes, _VOLUMES, _attachments_of, _volume),
    Kind("snapshot", snapshots, _SNAPSHOTS, _nothing_related, _snapshot),
)
