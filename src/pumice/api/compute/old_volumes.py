"""Volumes and snapshots as compute once showed them: /os-volumes, /os-snapshots, up to 2.35 (404 from 2.36 on).

The same rows as the volume face's, by the functions of block storage; only the names of the fields are others.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.block import listings, snapshots, volume_creation, volume_sources, volumes
from pumice.block.model import Snapshot, VolumeWithAttachments
from pumice.clock import isoformat
from pumice.db.engine import Transaction

LAST = "2.35"
Text = Annotated[str, Meta(max_length=255)]


class Volume(Struct):
    """Names that are not here change nothing, as clients of this old call expect."""

    size: Annotated[int, Meta(ge=1)]
    display_name: Text | None = None
    display_description: Text | None = None
    volume_type: Text | None = None
    availability_zone: Text | None = None
    metadata: dict[Annotated[str, Meta(min_length=1, max_length=255)], Text] | None = None
    snapshot_id: str | None = None


class VolumeBody(Struct, forbid_unknown_fields=True):
    volume: Volume


class SnapshotCreate(Struct):
    volume_id: str
    display_name: Text | None = None
    display_description: Text | None = None
    force: bool | str | None = None


class SnapshotBody(Struct, forbid_unknown_fields=True):
    snapshot: SnapshotCreate


def _attachments(found: VolumeWithAttachments) -> list[dict[str, Any]]:
    """One of nothing where there is none: so the old call has it."""
    shown: list[dict[str, Any]] = [
        {"id": one.volume_id, "volumeId": one.volume_id, "serverId": one.server_id, "device": one.device}
        for one in found.attachments
        if one.stage == "attached"
    ]
    return shown or [{}]


VOLUME = View(
    "volume",
    Field("id", lambda found: found.volume.id),
    Field("status", lambda found: found.volume.status),
    Field("size", lambda found: found.volume.size),
    Field("displayName", lambda found: found.volume.name),
    Field("displayDescription", lambda found: found.volume.description),
    Field("availabilityZone", lambda found: found.volume.availability_zone),
    Field("createdAt", lambda found: isoformat(found.volume.created_at)),
    Field("volumeType", lambda found: found.type_name),
    Field("snapshotId", lambda found: found.volume.snapshot_id),
    Field("metadata", lambda found: found.volume.metadata),
    Field("attachments", _attachments),
)
SNAPSHOT = View(
    "snapshot",
    Field("id", lambda found: found.id),
    Field("volumeId", lambda found: found.volume_id),
    Field("status", lambda found: found.status),
    Field("size", lambda found: found.size),
    Field("createdAt", lambda found: isoformat(found.created_at)),
    Field("displayName", lambda found: found.name),
    Field("displayDescription", lambda found: found.description),
)


def _params(call: Call) -> Mapping[str, str]:
    """Only these were ever known; whatever else is sent changes nothing."""
    return {name: value for name, value in call.params.items() if name in ("limit", "offset")}


def _volumes(tx: Transaction, call: Call) -> list[VolumeWithAttachments]:
    return list(listings.page_of_volumes(tx, call.caller, _params(call)).items)


def _snapshots(tx: Transaction, call: Call) -> list[Snapshot]:
    return list(listings.page_of_snapshots(tx, call.caller, _params(call)).items)


def volumes_listed(tx: Transaction, call: Call) -> Any:
    return {"volumes": VOLUME.items(_volumes(tx, call), call)}


def volume_shown(tx: Transaction, call: Call) -> Any:
    return VOLUME.render(volumes.get(tx, call.caller, call.path["volume_id"]), call)


def volume_made(tx: Transaction, call: Call) -> Any:
    asked: Volume = call.body.volume
    wanted = volume_creation.Wanted(
        size=asked.size,
        name=asked.display_name,
        description=asked.display_description,
        volume_type=asked.volume_type or None,
        availability_zone=asked.availability_zone or None,
        metadata=asked.metadata or {},
        source=volume_sources.Source(snapshot_id=asked.snapshot_id or None),
    )
    return VOLUME.render(volume_creation.create(tx, call.caller, wanted), call)


def volume_deleted(tx: Transaction, call: Call) -> None:
    volumes.delete(tx, call.caller, call.path["volume_id"])


def snapshots_listed(tx: Transaction, call: Call) -> Any:
    return {"snapshots": SNAPSHOT.items(_snapshots(tx, call), call)}


def snapshot_shown(tx: Transaction, call: Call) -> Any:
    return SNAPSHOT.render(snapshots.get(tx, call.caller, call.path["snapshot_id"]), call)


def snapshot_made(tx: Transaction, call: Call) -> Any:
    asked: SnapshotCreate = call.body.snapshot
    made = snapshots.create(
        tx,
        call.caller,
        asked.volume_id,
        name=asked.display_name,
        description=asked.display_description,
        metadata={},
        in_use_allowed=str(asked.force).lower() in ("true", "1", "yes", "on", "t", "y"),
    )
    return SNAPSHOT.render(made, call)


def snapshot_deleted(tx: Transaction, call: Call) -> None:
    snapshots.delete(tx, call.caller, call.path["snapshot_id"])


def _routes(noun: str, one: str, listed: Any, shown: Any, made: Any, body: type[Struct], deleted: Any) -> list[Route]:
    rule = f"compute:old_{noun}"
    path = f"/os-{noun}"
    single = f"{path}/{{{one}_id}}"
    return [
        Route("GET", path, listed, until=LAST, action=f"{rule}:index", name=f"old_{noun}.list"),
        Route("GET", f"{path}/detail", listed, until=LAST, action=f"{rule}:detail", name=f"old_{noun}.detail"),
        Route("GET", single, shown, until=LAST, action=f"{rule}:show", name=f"old_{noun}.show"),
        Route(
            "POST",
            path,
            made,
            until=LAST,
            body=body,
            lax=True,
            write=True,
            action=f"{rule}:create",
            name=f"old_{noun}.create",
        ),
        Route(
            "DELETE",
            single,
            deleted,
            status=202,
            until=LAST,
            write=True,
            action=f"{rule}:delete",
            name=f"old_{noun}.delete",
        ),
    ]


ROUTES: tuple[Route, ...] = (
    *_routes("volumes", "volume", volumes_listed, volume_shown, volume_made, VolumeBody, volume_deleted),
    *_routes("snapshots", "snapshot", snapshots_listed, snapshot_shown, snapshot_made, SnapshotBody, snapshot_deleted),
)
