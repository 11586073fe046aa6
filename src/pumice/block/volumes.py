"""Volumes: create, show, update, delete, extend. Service functions: one transaction each, called by the faces.

A function writes the facts, enqueues the operation that makes them true, and announces it, all or nothing. What the
caller may not see is missing (`NotFound`), whatever it is.
"""

from typing import Any

import msgspec
from sqlalchemy import select, update

from pumice.block import capability_query, default_types, messages, queries, quotas, scheduling, volume_types
from pumice.block.facts import live_operations
from pumice.block.guards import guard, lock
from pumice.block.model import GIB, VolumeType, VolumeWithAttachments
from pumice.block.notifications import notify_volume
from pumice.block.operations.create_volume import CREATE_VOLUME, CreateVolume
from pumice.block.operations.delete_volume import DELETE_VOLUME, DeleteVolume
from pumice.block.operations.extend_volume import EXTEND_VOLUME, ExtendVolume
from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.schema import servers, snapshots, volumes
from pumice.errors import BadRequest, Conflict, InvalidField, NotFound, WrongState
from pumice.images.disk_lists import root_snapshot
from pumice.images.images import for_boot
from pumice.images.model import Image
from pumice.operations.model import Claim, exclusive, shared
from pumice.operations.store import enqueue

_INSERT = volumes.insert()

MAX_SIZE = 1 << 20
"""GiB; larger is a typing error."""


class Source(msgspec.Struct, frozen=True):
    """Where a new volume's first data comes from; all None: blank."""

    snapshot_id: str | None = None
    volume_id: str | None = None
    image_id: str | None = None


class WantedHints(msgspec.Struct, frozen=True, kw_only=True):
    """Scheduler hints: ids of volumes, of a server, and a query (`block.capability_query`)."""

    same_host: tuple[str, ...] = ()
    different_host: tuple[str, ...] = ()
    local_to_instance: str | None = None
    query: str | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /volumes asks for, parsed."""

    size: int | None
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    availability_zone: str | None = None
    metadata: dict[str, str] = {}
    source: Source = Source()
    multiattach: bool = False
    hints: WantedHints = WantedHints()


class _Origin(msgspec.Struct, frozen=True, kw_only=True):
    """A source, looked up: what the new volume inherits from it."""

    minimum_size: int = 1
    what: str = "a blank volume"
    backend: str | None = None
    volume_type_id: str | None = None
    bootable: bool = False
    image_metadata: dict[str, str] | None = None
    claims: tuple[Claim, ...] = ()


def create(tx: Transaction, caller: Caller, wanted: Wanted) -> VolumeWithAttachments:
    """Create a volume. When no pool fits, it is there with status `error` and its message says why for each pool.

    Raises InvalidField, BadRequest (a source that is not ready), NotFound (type, source), QuotaExceeded."""
    project_id = _project(caller)
    wanted = msgspec.structs.replace(wanted, source=_through_image(tx, caller, wanted.source))
    origin = _origin(tx, caller, wanted.source)
    size = _size(wanted.size, origin)
    kind = _type(tx, caller, wanted, origin)
    added = quotas.Addition(volume_type_id=kind.id, volumes=1, gigabytes=size, volume_size=size)
    quotas.check(tx, project_id, added)
    zones = _zones(tx, kind, wanted.availability_zone)
    multiattach = wanted.multiattach or kind.extra_specs.get("multiattach") == "<is> True"
    wish = scheduling.Wish(
        size=size,
        extra_specs=kind.extra_specs,
        availability_zones=zones,
        hints=_hints(tx, caller, wanted.hints),
        backend=origin.backend,
        multiattach=multiattach,
    )
    chosen = scheduling.choose(tx, wish)
    volume_id = new_id()
    pool, zone, refusal = None, zones[0] if zones else "nova", None
    if isinstance(chosen, scheduling.NoPool):
        refusal = chosen.sentence
    else:
        pool, zone = chosen.pool, chosen.availability_zone
    row: dict[str, Any] = {
        "id": volume_id,
        "project_id": project_id,
        "user_id": caller.user_id,
        "name": wanted.name,
        "description": wanted.description,
        "size": size,
        "volume_type_id": kind.id,
        "availability_zone": zone,
        "backend": pool.backend if pool else None,
        "pool": pool.name if pool else None,
        "metadata": wanted.metadata,
        "image_metadata": origin.image_metadata,
        "bootable": origin.bootable,
        "multiattach": multiattach,
        "read_only": False,
        "snapshot_id": wanted.source.snapshot_id,
        "source_volume_id": wanted.source.volume_id,
        "image_id": wanted.source.image_id,
        "consumes_quota": True,
        "life": "making" if pool else "broken",
        "broken_reason": refusal,
        "status": "creating" if pool else "error",
        "attach_status": "detached",
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(_INSERT, row)
    notify_volume(tx, volume_id, "create.start", caller)
    if pool is not None:
        arguments = CreateVolume(
            volume_id=volume_id,
            backend=pool.backend,
            size=size,
            snapshot_id=wanted.source.snapshot_id,
            source_volume_id=wanted.source.volume_id,
            image_id=wanted.source.image_id,
        )
        claims = (exclusive("volume", volume_id), *origin.claims)
        enqueue(tx, CREATE_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)
    if refusal is not None:
        messages.record(
            tx,
            project_id=project_id,
            request_id=caller.request_id,
            resource_type="volume",
            resource_id=volume_id,
            action="schedule allocate volume",
            sentence=refusal,
            detail_id=messages.NO_BACKEND_AVAILABLE,
        )
    return shown(tx, volume_id)


def get(tx: Transaction, caller: Caller, volume_id: str) -> VolumeWithAttachments:
    """A volume of the caller's project, or any for an administrator. Raises NotFound."""
    found = queries.volume_with_attachments(tx, volume_id)
    if found is None or not may_see(caller, found.volume.project_id):
        raise NotFound.of("Volume", volume_id)
    return found


def may_see(caller: Caller, project_id: str) -> bool:
    """Tenants see their own; administrators and services everything."""
    return caller.is_admin or caller.project_id == project_id or caller.has_service_token


def shown(tx: Transaction, volume_id: str) -> VolumeWithAttachments:
    """A volume that is known to be there, as its views show it."""
    found = queries.volume_with_attachments(tx, volume_id)
    if found is None:
        raise NotFound.of("Volume", volume_id)
    return found


def rename(tx: Transaction, caller: Caller, volume_id: str, changes: dict[str, Any]) -> VolumeWithAttachments:
    """Change name, description or metadata (replacing it). `changes` holds only what was sent. Raises NotFound."""
    get(tx, caller, volume_id)
    notify_volume(tx, volume_id, "update.start", caller)
    if changes:
        tx.execute(update(volumes).where(volumes.c.id == volume_id).values(**changes, updated_at=tx.now))
    notify_volume(tx, volume_id, "update.end", caller)
    return shown(tx, volume_id)


def set_metadata(
    tx: Transaction, caller: Caller, volume_id: str, metadata: dict[str, str], *, replace: bool
) -> dict[str, str]:
    """Merge into the volume's metadata, or replace all of it; what it is then. Raises NotFound."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    volume = shown(tx, volume_id).volume
    merged = dict(metadata) if replace else {**volume.metadata, **metadata}
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(metadata=merged, updated_at=tx.now))
    return merged


def delete_metadata(tx: Transaction, caller: Caller, volume_id: str, key: str) -> None:
    """Remove one key. Raises NotFound for the volume or the key."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    volume = shown(tx, volume_id).volume
    if key not in volume.metadata:
        raise NotFound.of("Metadata item", key)
    rest = {name: value for name, value in volume.metadata.items() if name != key}
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(metadata=rest, updated_at=tx.now))


def set_bootable(tx: Transaction, caller: Caller, volume_id: str, bootable: bool) -> None:
    """Say whether servers may boot from it. Raises NotFound."""
    get(tx, caller, volume_id)
    tx.execute(update(volumes).where(volumes.c.id == volume_id).values(bootable=bootable, updated_at=tx.now))


def delete(tx: Transaction, caller: Caller, volume_id: str, *, cascade: bool = False) -> None:
    """Delete a volume; with cascade its snapshots too. Deleting one that is being deleted is success; one that only
    bears the mark "deleting" is not being deleted.

    Raises BadRequest (attached, or has snapshots), NotFound."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    found = shown(tx, volume_id)
    volume = found.volume
    if volume.status == "deleting" and live_operations(tx, "volume", volume_id):
        return
    statement = select(snapshots.c.id).where(snapshots.c.volume_id == volume_id, snapshots.c.deleted_at.is_(None))
    snapshot_ids = tuple(tx.execute(statement).scalars())
    if snapshot_ids and not cascade:
        raise BadRequest(
            f"Volume {volume_id} has {len(snapshot_ids)} snapshot{'s' * (len(snapshot_ids) > 1)}; delete them first, or"
            " delete with cascade=true."
        )
    _guard(tx, volume_id, "delete")
    if found.attachments:
        where = found.attachments[0].server_id or found.attachments[0].host or "a host"
        raise BadRequest(f"Volume {volume_id} is {volume.status}, attached to {where}; detach it first.")
    for snapshot_id in snapshot_ids:
        _guard_snapshot(tx, snapshot_id)
    notify_volume(tx, volume_id, "delete.start", caller)
    arguments = DeleteVolume(volume_id=volume_id, backend=volume.backend, snapshot_ids=snapshot_ids)
    claims = (exclusive("volume", volume_id), *(exclusive("snapshot", one) for one in snapshot_ids))
    enqueue(tx, DELETE_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)


def extend(tx: Transaction, caller: Caller, volume_id: str, new_size: int, *, in_use_allowed: bool) -> None:
    """Grow a volume to new_size GiB; in use only where the version allows (3.42).

    Raises InvalidField, BadRequest (also where the pool has no room, saying so), QuotaExceeded, NotFound."""
    get(tx, caller, volume_id)
    lock(tx, "volume", volume_id)
    found = shown(tx, volume_id)
    volume = found.volume
    if new_size <= volume.size:
        raise InvalidField("new_size", new_size, f"the new size must be greater than the present {volume.size} GiB")
    if new_size > MAX_SIZE:
        raise InvalidField("new_size", new_size, f"at most {MAX_SIZE} GiB")
    _guard(tx, volume_id, "extend in use" if in_use_allowed else "extend")
    if volume.consumes_quota:
        grown = new_size - volume.size
        added = quotas.Addition(volume_type_id=volume.volume_type_id, gigabytes=grown, volume_size=new_size)
        quotas.check(tx, volume.project_id, added)
    if volume.backend is None or volume.pool is None:
        raise Conflict(f"Volume {volume_id} is on no backend.")
    full = scheduling.no_room(tx, volume.pool, new_size - volume.size)
    if full is not None:
        raise BadRequest(f"Volume {volume_id} cannot grow by {new_size - volume.size} GiB: pool {volume.pool}: {full}.")
    guests = tuple(
        (attachment.host, attachment.server_id)
        for attachment in found.attachments
        if attachment.origin != "external" and attachment.host and attachment.server_id
    )
    notify_volume(tx, volume_id, "resize.start", caller)
    arguments = ExtendVolume(
        volume_id=volume_id, backend=volume.backend, old_size=volume.size, new_size=new_size, guests=guests
    )
    claims = (exclusive("volume", volume_id),)
    enqueue(tx, EXTEND_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)


def _project(caller: Caller) -> str:
    if caller.project_id is None:
        raise BadRequest("A volume belongs to a project: use a token that is scoped to one.")
    return caller.project_id


def _size(size: int | None, origin: _Origin) -> int:
    if size is None:
        if origin.what == "a blank volume" or origin.what.startswith("image"):
            raise InvalidField("size", size, "a size in GiB is needed")
        return origin.minimum_size
    if not 1 <= size <= MAX_SIZE:
        raise InvalidField("size", size, f"a whole number of GiB from 1 to {MAX_SIZE}")
    if size < origin.minimum_size:
        raise InvalidField("size", size, f"{origin.what} needs at least {origin.minimum_size} GiB")
    return size


def _type(tx: Transaction, caller: Caller, wanted: Wanted, origin: _Origin) -> VolumeType:
    if wanted.volume_type:
        return volume_types.visible(tx, caller, wanted.volume_type)
    if origin.volume_type_id is not None:
        return volume_types.by_id(tx, origin.volume_type_id)
    return default_types.for_project(tx, caller.project_id)


def _zones(tx: Transaction, kind: VolumeType, asked: str | None) -> tuple[str, ...]:
    """Where the volume may be: the zone asked for, else those of the type, else () for any. Raises InvalidField."""
    given = volume_types.zones_of(kind.extra_specs)
    if asked is None:
        return given
    if given and asked not in given:
        raise InvalidField("availability_zone", asked, f"volume type {kind.name} is in {', '.join(given)} only")
    known = scheduling.zones(tx)
    if known and asked not in known:
        raise InvalidField("availability_zone", asked, f"there are {', '.join(known)}")
    return (asked,)


def _hints(tx: Transaction, caller: Caller, wanted: WantedHints) -> scheduling.Hints:
    """Raises NotFound for a volume or server that the caller cannot see, InvalidField for the query."""

    def places(volume_ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(get(tx, caller, one).volume.backend) for one in volume_ids)

    host = None
    if wanted.local_to_instance is not None:
        statement = select(servers.c.host, servers.c.project_id).where(
            servers.c.id == wanted.local_to_instance, servers.c.deleted_at.is_(None)
        )
        server = tx.execute(statement).one_or_none()
        if server is None or not may_see(caller, server.project_id):
            raise NotFound.of("Server", wanted.local_to_instance)
        host = str(server.host)
    return scheduling.Hints(
        same_backends=places(wanted.same_host) if wanted.same_host else None,
        other_backends=places(wanted.different_host),
        host=host,
        query=None if wanted.query is None else capability_query.parse(wanted.query),
    )


def _origin(tx: Transaction, caller: Caller, source: Source) -> _Origin:
    given = [name for name in source.__struct_fields__ if getattr(source, name)]
    if len(given) > 1:
        raise BadRequest(f"A volume has one source; given were {', '.join(given)}.")
    if source.snapshot_id:
        return _from_snapshot(tx, caller, source.snapshot_id)
    if source.volume_id:
        return _from_volume(tx, caller, source.volume_id)
    if source.image_id:
        return _from_image(for_boot(tx, caller, source.image_id))
    return _Origin()


def _through_image(tx: Transaction, caller: Caller, source: Source) -> Source:
    """An image that is a list of snapshots (of a server on volumes) has no bytes: the volume starts from its root."""
    if source.image_id is None or source.snapshot_id or source.volume_id:
        return source
    snapshot_id = root_snapshot(for_boot(tx, caller, source.image_id))
    return source if snapshot_id is None else Source(snapshot_id=snapshot_id)


def _from_snapshot(tx: Transaction, caller: Caller, snapshot_id: str) -> _Origin:
    snapshot = queries.snapshot(tx, snapshot_id)
    if snapshot is None or not may_see(caller, snapshot.project_id):
        raise NotFound.of("Snapshot", snapshot_id)
    try:
        guard(tx, "snapshot", snapshot_id, "clone")
    except WrongState as error:
        raise error.as_bad_request() from error
    volume = shown(tx, snapshot.volume_id).volume
    return _Origin(
        minimum_size=snapshot.size,
        what=f"snapshot {snapshot_id}",
        backend=snapshot.backend,
        volume_type_id=volume.volume_type_id,
        bootable=volume.bootable,
        image_metadata=volume.image_metadata,
        claims=(shared("snapshot", snapshot_id),),
    )


def _from_volume(tx: Transaction, caller: Caller, volume_id: str) -> _Origin:
    volume = get(tx, caller, volume_id).volume
    _guard(tx, volume_id, "clone")
    return _Origin(
        minimum_size=volume.size,
        what=f"volume {volume_id}",
        backend=volume.backend,
        volume_type_id=volume.volume_type_id,
        bootable=volume.bootable,
        image_metadata=volume.image_metadata,
        claims=(shared("volume", volume_id),),
    )


def described_image(image: Image) -> dict[str, str]:
    """What a volume tells of the image that its bytes came from."""
    described = {
        "image_id": image.id,
        "image_name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "checksum": image.checksum,
        **image.properties,
    }
    return {key: str(value) for key, value in described.items() if value is not None}


def _from_image(image: Image) -> _Origin:
    return _Origin(
        minimum_size=max(1, image.min_disk, -(-(image.virtual_size or image.size or 0) // GIB)),
        what=f"image {image.id}",
        bootable=True,
        image_metadata=described_image(image),
        claims=(shared("image", image.id),),
    )


def _guard(tx: Transaction, volume_id: str, action: str) -> None:
    """The older calls answer 400 where the newer ones answer 409."""
    try:
        guard(tx, "volume", volume_id, action)
    except WrongState as error:
        raise error.as_bad_request() from error


def _guard_snapshot(tx: Transaction, snapshot_id: str) -> None:
    try:
        guard(tx, "snapshot", snapshot_id, "delete")
    except WrongState as error:
        raise error.as_bad_request() from error
