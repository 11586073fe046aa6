"""New volumes: what may be asked for, and its size, type, zone and pool. One transaction; called by faces and compute.

Where its first data comes from is in `volume_sources`; the pool is chosen by `scheduling`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select

from pumice.block import capability_query, default_types, messages, quotas, scheduling, volume_types
from pumice.block.model import MAX_SIZE, VolumeType, VolumeWithAttachments
from pumice.block.notifications import notify_volume
from pumice.block.operations.create_volume import CREATE_VOLUME, CreateVolume
from pumice.block.volume_sources import Origin, Source, origin_of, through_image
from pumice.block.volumes import get, may_see, shown
from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.schema import servers, volumes
from pumice.errors import BadRequest, InvalidField, NotFound
from pumice.operations.model import exclusive
from pumice.operations.store import enqueue

_INSERT = volumes.insert()


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


def create(tx: Transaction, caller: Caller, wanted: Wanted) -> VolumeWithAttachments:
    """Create a volume. When no pool fits, it is there with status `error` and its message says why for each pool.

    Raises InvalidField, BadRequest (a source that is not ready), NotFound (type, source), QuotaExceeded."""
    project_id = _project(caller)
    wanted = msgspec.structs.replace(wanted, source=through_image(tx, caller, wanted.source))
    origin = origin_of(tx, caller, wanted.source)
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
    row: dict[str, Any] = {
        "id": new_id(),
        "project_id": project_id,
        "user_id": caller.user_id,
        "name": wanted.name,
        "description": wanted.description,
        "size": size,
        "volume_type_id": kind.id,
        "metadata": wanted.metadata,
        "image_metadata": origin.image_metadata,
        "bootable": origin.bootable,
        "multiattach": multiattach,
        "read_only": False,
        "snapshot_id": wanted.source.snapshot_id,
        "source_volume_id": wanted.source.volume_id,
        "image_id": wanted.source.image_id,
        "consumes_quota": True,
        "attach_status": "detached",
        "created_at": tx.now,
        "updated_at": tx.now,
        **_place(chosen, zones),
    }
    tx.execute(_INSERT, row)
    notify_volume(tx, row["id"], "create.start", caller)
    if isinstance(chosen, scheduling.NoPool):
        _tell(tx, caller, row, chosen.sentence)
    else:
        _enqueue(tx, caller, row, origin)
    return shown(tx, row["id"])


def _place(chosen: scheduling.Chosen | scheduling.NoPool, zones: tuple[str, ...]) -> dict[str, Any]:
    """The columns that say where the volume is, or why it is nowhere."""
    if isinstance(chosen, scheduling.NoPool):
        zone = zones[0] if zones else "nova"
        nowhere = {"backend": None, "pool": None, "availability_zone": zone}
        return {**nowhere, "life": "broken", "broken_reason": chosen.sentence, "status": "error"}
    pool = chosen.pool
    there = {"backend": pool.backend, "pool": pool.name, "availability_zone": chosen.availability_zone}
    return {**there, "life": "making", "broken_reason": None, "status": "creating"}


def _enqueue(tx: Transaction, caller: Caller, row: Mapping[str, Any], origin: Origin) -> None:
    volume_id = row["id"]
    arguments = CreateVolume(
        volume_id=volume_id,
        backend=row["backend"],
        size=row["size"],
        snapshot_id=row["snapshot_id"],
        source_volume_id=row["source_volume_id"],
        image_id=row["image_id"],
    )
    claims = (exclusive("volume", volume_id), *origin.claims)
    enqueue(tx, CREATE_VOLUME, arguments, subject_id=volume_id, claims=claims, caller=caller)


def _tell(tx: Transaction, caller: Caller, row: Mapping[str, Any], refusal: str) -> None:
    """Why no pool takes the volume, for its user."""
    messages.record(
        tx,
        project_id=row["project_id"],
        request_id=caller.request_id,
        resource_type="volume",
        resource_id=row["id"],
        action="schedule allocate volume",
        sentence=refusal,
        detail_id=messages.NO_BACKEND_AVAILABLE,
    )


def _project(caller: Caller) -> str:
    if caller.project_id is None:
        raise BadRequest("A volume belongs to a project: use a token that is scoped to one.")
    return caller.project_id


def _size(size: int | None, origin: Origin) -> int:
    if size is None:
        if origin.what == "a blank volume" or origin.what.startswith("image"):
            raise InvalidField("size", size, "a size in GiB is needed")
        return origin.minimum_size
    if not 1 <= size <= MAX_SIZE:
        raise InvalidField("size", size, f"a whole number of GiB from 1 to {MAX_SIZE}")
    if size < origin.minimum_size:
        raise InvalidField("size", size, f"{origin.what} needs at least {origin.minimum_size} GiB")
    return size


def _type(tx: Transaction, caller: Caller, wanted: Wanted, origin: Origin) -> VolumeType:
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
