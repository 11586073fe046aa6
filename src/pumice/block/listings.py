"""How volumes, snapshots and attachments are listed: filters and sort keys (Block Storage API, resource filters)."""

from ast import literal_eval
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, false, select, true

from pumice.block import queries
from pumice.block.model import Attachment, Snapshot, VolumeWithAttachments
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.paging import (
    Filter,
    Listing,
    Page,
    PageRequest,
    like_filters,
    number_filter,
    text_filter,
    time_filter,
    truth,
    truth_filter,
)
from pumice.db.schema import attachments, snapshots, volume_types, volumes
from pumice.errors import InvalidField, NotFound

ADMIN_FILTERS = ("project_id", "host")
"""Filters that count for administrators only."""

_LONGEST = 4096


def metadata_filter(column: ColumnElement[dict[str, str]]) -> Filter:
    """`metadata={'key': 'value'}`: every pair is there. JSON or a Python literal, as the clients send it."""

    def condition(name: str, text: str) -> ColumnElement[bool]:
        pairs = pairs_of(name, text)
        return and_(true(), *(column[key].as_string() == value for key, value in pairs.items()))

    return condition


def pairs_of(name: str, text: str) -> dict[str, str]:
    """A query's `{'key': 'value'}`, JSON or a Python literal. Raises InvalidField."""
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.MsgspecError:
        pass
    try:
        return msgspec.convert(literal_eval(text[:_LONGEST]), dict[str, str])
    except (ValueError, SyntaxError, RecursionError, MemoryError, msgspec.ValidationError):
        raise InvalidField(name, text, "give an object of texts, e.g. {'key': 'value'}") from None


def host_filter(backend: ColumnElement[str], pool: ColumnElement[str] | None = None) -> Filter:
    """`node1`: on any of its backends; `node1@file`: on that one; `node1@file#pool`: in that pool."""

    def condition(_name: str, text: str) -> ColumnElement[bool]:
        if "#" in text and pool is not None:
            return and_(backend == text.partition("#")[0], pool == text)
        if "@" in text:
            return backend == text
        return backend.startswith(f"{text}@", autoescape=True)

    return condition


def _of_volume(column: ColumnElement[str], volume_id: ColumnElement[str]) -> Filter:
    """The volume of that id has the text in the column."""
    return lambda _name, text: volume_id.in_(select(volumes.c.id).where(column == text))


def _of_type(_name: str, text: str) -> ColumnElement[bool]:
    """The volume's type has that name."""
    return volumes.c.volume_type_id.in_(select(volume_types.c.id).where(volume_types.c.name == text))


def _never(_name: str, _text: str) -> ColumnElement[bool]:
    """Nothing has it: no backend replicates."""
    return false()


VOLUMES = Listing(
    volumes,
    filters={
        "id": text_filter(volumes.c.id),
        "name": text_filter(volumes.c.name),
        "display_name": text_filter(volumes.c.name),
        "description": text_filter(volumes.c.description),
        "status": text_filter(volumes.c.status),
        "size": number_filter(volumes.c.size),
        "bootable": truth_filter(volumes.c.bootable),
        "multiattach": truth_filter(volumes.c.multiattach),
        "availability_zone": text_filter(volumes.c.availability_zone),
        "host": host_filter(volumes.c.backend, volumes.c.pool),
        "user_id": text_filter(volumes.c.user_id),
        "project_id": text_filter(volumes.c.project_id),
        "volume_type_id": text_filter(volumes.c.volume_type_id),
        "volume_type": _of_type,
        "migration_status": text_filter(volumes.c.migration_status),
        "attach_status": text_filter(volumes.c.attach_status),
        "group_id": text_filter(volumes.c.group_id),
        "source_volid": text_filter(volumes.c.source_volume_id),
        "snapshot_id": text_filter(volumes.c.snapshot_id),
        "metadata": metadata_filter(volumes.c.metadata),
        "glance_metadata": metadata_filter(volumes.c.image_metadata),
        "image_metadata": metadata_filter(volumes.c.image_metadata),
        "replication_status": _never,
        "consumes_quota": truth_filter(volumes.c.consumes_quota),
        "created_at": time_filter(volumes.c.created_at),
        "updated_at": time_filter(volumes.c.updated_at),
        **like_filters(
            name=volumes.c.name,
            description=volumes.c.description,
            status=volumes.c.status,
            availability_zone=volumes.c.availability_zone,
            host=volumes.c.pool,
        ),
    },
    sorts={
        "id": volumes.c.id,
        "name": volumes.c.name,
        "display_name": volumes.c.name,
        "status": volumes.c.status,
        "size": volumes.c.size,
        "availability_zone": volumes.c.availability_zone,
        "bootable": volumes.c.bootable,
        "created_at": volumes.c.created_at,
        "updated_at": volumes.c.updated_at,
        "host": volumes.c.backend,
        "volume_type_id": volumes.c.volume_type_id,
        "project_id": volumes.c.project_id,
        "user_id": volumes.c.user_id,
        "migration_status": volumes.c.migration_status,
        "attach_status": volumes.c.attach_status,
        "launched_at": volumes.c.launched_at,
    },
    noun="Volume",
    full_page_links=True,
    marker_error=NotFound,
)

SNAPSHOTS = Listing(
    snapshots,
    filters={
        "id": text_filter(snapshots.c.id),
        "name": text_filter(snapshots.c.name),
        "display_name": text_filter(snapshots.c.name),
        "description": text_filter(snapshots.c.description),
        "status": text_filter(snapshots.c.status),
        "volume_id": text_filter(snapshots.c.volume_id),
        "user_id": text_filter(snapshots.c.user_id),
        "project_id": text_filter(snapshots.c.project_id),
        "host": host_filter(snapshots.c.backend),
        "volume_size": number_filter(snapshots.c.size),
        "volume_type_id": _of_volume(volumes.c.volume_type_id, snapshots.c.volume_id),
        "availability_zone": _of_volume(volumes.c.availability_zone, snapshots.c.volume_id),
        "group_snapshot_id": text_filter(snapshots.c.group_snapshot_id),
        "consumes_quota": truth_filter(snapshots.c.consumes_quota),
        "metadata": metadata_filter(snapshots.c.metadata),
        "created_at": time_filter(snapshots.c.created_at),
        "updated_at": time_filter(snapshots.c.updated_at),
        **like_filters(name=snapshots.c.name, description=snapshots.c.description, status=snapshots.c.status),
    },
    sorts={
        "id": snapshots.c.id,
        "name": snapshots.c.name,
        "display_name": snapshots.c.name,
        "status": snapshots.c.status,
        "volume_id": snapshots.c.volume_id,
        "created_at": snapshots.c.created_at,
        "updated_at": snapshots.c.updated_at,
        "project_id": snapshots.c.project_id,
        "user_id": snapshots.c.user_id,
        "size": snapshots.c.size,
        "volume_size": snapshots.c.size,
    },
    noun="Snapshot",
    full_page_links=True,
    marker_error=NotFound,
)

ATTACHMENTS = Listing(
    attachments,
    filters={
        "id": text_filter(attachments.c.id),
        "volume_id": text_filter(attachments.c.volume_id),
        "instance_id": text_filter(attachments.c.server_id),
        "instance_uuid": text_filter(attachments.c.server_id),
        "attach_status": text_filter(attachments.c.attach_status),
        "status": text_filter(attachments.c.attach_status),
        "attach_mode": text_filter(attachments.c.mode),
        "mountpoint": text_filter(attachments.c.device),
        "attached_host": text_filter(attachments.c.host),
        "host": text_filter(attachments.c.host),
        "project_id": text_filter(attachments.c.project_id),
    },
    sorts={
        "id": attachments.c.id,
        "volume_id": attachments.c.volume_id,
        "instance_id": attachments.c.server_id,
        "attach_status": attachments.c.attach_status,
        "created_at": attachments.c.created_at,
    },
    noun="Attachment",
    full_page_links=True,
    marker_error=NotFound,
)


def scope(caller: Caller, params: Mapping[str, str]) -> str | None:
    """The project whose things are listed; None: everybody's (administrators with all_tenants=1, or naming one).

    Raises InvalidField."""
    wants_all = truth("all_tenants", params.get("all_tenants", "0"))
    if caller.is_admin and (wants_all or "project_id" in params):
        return None
    return caller.project_id or ""


def parse(listing: Listing, caller: Caller, params: Mapping[str, str]) -> PageRequest:
    """The request; filters by project and host count for administrators only."""
    ignored = () if caller.is_admin else (*ADMIN_FILTERS, *(f"{name}~" for name in ADMIN_FILTERS))
    return listing.parse(params, ignore=ignored)


def page_of_volumes(tx: Transaction, caller: Caller, params: Mapping[str, str]) -> Page[VolumeWithAttachments]:
    """A page of volumes as their views show them: two statements (three with a marker or a count)."""
    statement, owner = _VOLUMES.of(caller, params)
    page = VOLUMES.page(tx, statement, parse(VOLUMES, caller, params), tuple, owner)
    return Page(queries.with_attachments(tx, page.items), page.next_marker, page.total)


class Summary(msgspec.Struct, frozen=True):
    """What a list of volumes comes to: how many, GiB in all, every metadata key with its values."""

    count: int
    size: int
    metadata: dict[str, list[str]]


def summary_of_volumes(tx: Transaction, caller: Caller, params: Mapping[str, str]) -> Summary:
    """The volumes that a list with these filters has. One statement."""
    listed, owner = _VOLUMES.of(caller, params)
    listed = VOLUMES.filtered(listed, parse(VOLUMES, caller, params))
    count, size, values = 0, 0, dict[str, set[str]]()
    for found, metadata in tx.execute(listed.with_only_columns(volumes.c.size, volumes.c.metadata), owner):
        count, size = count + 1, size + found
        for key, value in metadata.items():
            values.setdefault(key, set()).add(value)
    return Summary(count, size, {key: sorted(found) for key, found in sorted(values.items())})


def page_of_snapshots(tx: Transaction, caller: Caller, params: Mapping[str, str]) -> Page[Snapshot]:
    """A page of snapshots: one statement (two or three with a marker or a count)."""
    statement, owner = _SNAPSHOTS.of(caller, params)
    return SNAPSHOTS.page(tx, statement, parse(SNAPSHOTS, caller, params), lambda row: Snapshot(*row), owner)


def page_of_attachments(tx: Transaction, caller: Caller, params: Mapping[str, str]) -> Page[Attachment]:
    """A page of attachments: one statement (two or three with a marker or a count)."""
    statement, owner = _ATTACHMENTS.of(caller, params)
    return ATTACHMENTS.page(tx, statement, parse(ATTACHMENTS, caller, params), lambda row: Attachment(*row), owner)


class _Live:
    """The statements that list what is not deleted: of everybody, and of one project (parameter `owner`)."""

    def __init__(self, statement: Select[Any], table: Table) -> None:
        self._all = statement.where(table.c.deleted_at.is_(None))
        self._owned = self._all.where(table.c.project_id == bindparam("owner"))

    def of(self, caller: Caller, params: Mapping[str, str]) -> tuple[Select[Any], dict[str, Any]]:
        """The one that the caller may have, with its parameters. Raises InvalidField."""
        project = scope(caller, params)
        return (self._all, {}) if project is None else (self._owned, {"owner": project})


_VOLUMES = _Live(queries.VOLUMES_WITH_TYPE, volumes)
_SNAPSHOTS = _Live(select(*queries.SNAPSHOT), snapshots)
_ATTACHMENTS = _Live(select(*queries.ATTACHMENT), attachments)
