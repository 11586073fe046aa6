"""Manage and unmanage: /manageable_volumes, /manageable_snapshots (since 3.8), their older names, and os-unmanage.

    POST /manageable_volumes, /os-volume-manage          data of a pool becomes a volume (Block Storage API v3)
    GET  the same, and /detail, ?host=node1@file#pool    what is in the pool, managed or not
    POST /volumes/{id}/action os-unmanage                a volume is forgotten, its data stays

The backend is asked by an operation: its agent knows the pool.
"""

from operator import itemgetter
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, MsgspecError, Struct, field, json

from pumice.api.edge.route import Await, Call, Route
from pumice.api.edge.versions import Since
from pumice.api.volume.fields import Metadata, Name, blank_to_none
from pumice.api.volume.snapshots import SUMMARY as SNAPSHOT
from pumice.api.volume.volumes import DETAIL
from pumice.block import managing
from pumice.block.model import GIB
from pumice.db.engine import Transaction
from pumice.db.paging import MAX_LIMIT
from pumice.errors import BadRequest, Conflict, InvalidField
from pumice.operations.model import OperationRow

HostName = Annotated[str, Meta(min_length=1, max_length=255)]


class Reference(Struct, forbid_unknown_fields=True):
    """How the data is called in its pool."""

    source_name: Annotated[str, Meta(min_length=1, max_length=255)] = field(name="source-name")


class ManagedVolume(Struct, forbid_unknown_fields=True):
    ref: Reference
    host: HostName | None = None
    cluster: Annotated[HostName | None, Since("3.16")] = None
    name: Name | None = None
    description: Name | None = None
    volume_type: Name | None = None
    availability_zone: Name | None = None
    metadata: Metadata | None = None
    bootable: bool | None = None


class ManagedVolumeBody(Struct, forbid_unknown_fields=True):
    volume: ManagedVolume


class ManagedSnapshot(Struct, forbid_unknown_fields=True):
    volume_id: str
    ref: Reference
    name: Name | None = None
    description: Name | None = None
    metadata: Metadata | None = None


class ManagedSnapshotBody(Struct, forbid_unknown_fields=True):
    snapshot: ManagedSnapshot


class UnmanageBody(Struct, forbid_unknown_fields=True):
    value: dict[str, Any] | None = field(name="os-unmanage")


def manage_volume(tx: Transaction, call: Call) -> Any:
    asked: ManagedVolume = call.body.volume
    if asked.cluster is not None:
        raise InvalidField("volume.cluster", asked.cluster, "there are no clusters; give a host")
    if asked.host is None:
        raise InvalidField("volume.host", asked.host, "give a pool, as get_pools lists them")
    wanted = managing.WantedVolume(
        host=asked.host,
        source_name=asked.ref.source_name,
        name=blank_to_none(asked.name),
        description=asked.description,
        volume_type=asked.volume_type or None,
        availability_zone=asked.availability_zone or None,
        metadata=asked.metadata or {},
        bootable=bool(asked.bootable),
    )
    return DETAIL.render(managing.manage(tx, call.caller, wanted), call)


def manage_snapshot(tx: Transaction, call: Call) -> Any:
    asked: ManagedSnapshot = call.body.snapshot
    wanted = managing.WantedSnapshot(
        volume_id=asked.volume_id,
        source_name=asked.ref.source_name,
        name=blank_to_none(asked.name),
        description=asked.description,
        metadata=asked.metadata or {},
    )
    return SNAPSHOT.render(managing.manage_snapshot(tx, call.caller, wanted), call)


def unmanage_volume(tx: Transaction, call: Call) -> None:
    managing.unmanage(tx, call.caller, call.path["volume_id"])


def unmanage_snapshot(tx: Transaction, call: Call) -> None:
    managing.unmanage_snapshot(tx, call.caller, call.path["snapshot_id"])


def listed(tx: Transaction, call: Call) -> Any:
    """Waits for the backend's agent. Raises BadRequest without a host, InvalidField."""
    if "host" not in call.params:
        raise BadRequest("Invalid input: the query needs host, a pool as get_pools lists them.")
    _part(call.params)
    operation = managing.look(tx, call.caller, call.params["host"])
    return Await(operation.id, then=_found, deadline=call.services.settings.request_deadline)


def _found(tx: Transaction, call: Call, row: OperationRow) -> Any:
    """What is managed, and what could be."""
    if row.state == "undone":
        raise Conflict(f"Backend {row.arguments['backend']}: {row.error}.")
    kind = "snapshot" if "snapshot" in call.route.path else "volume"
    prefix = managing.SNAPSHOT_PREFIX if kind == "snapshot" else "volume-"
    detail = call.route.path.endswith("/detail")
    items = [
        _item(call, kind, f"{prefix}{one.id}", one.size, detail, managed=one.id, volume_id=one.volume_id)
        for one in managing.managed_on(tx, row.arguments["backend"], kind)
    ]
    for one in row.results["list"]:
        if one["name"].startswith(managing.SNAPSHOT_PREFIX) == (kind == "snapshot"):
            items.append(_item(call, kind, one["name"], max(1, -(-one["size_bytes"] // GIB)), detail))
    return {f"manageable-{kind}s": _part(call.params).of(items)}


class _Part(NamedTuple):
    """Which items, in which order."""

    order: list[tuple[str, bool]]
    """size or reference, and whether it falls; the first counts most."""
    marker: str | None
    first: int
    limit: int

    def of(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for key, falls in reversed(self.order):
            items.sort(key=_name if key == "reference" else itemgetter("size"), reverse=falls)
        names = [_name(item) for item in items]
        if self.marker is not None and self.marker not in names:
            raise InvalidField("marker", self.marker, "give the reference of one of the list")
        first = self.first + (0 if self.marker is None else names.index(self.marker) + 1)
        return items[first : first + self.limit]


def _part(params: dict[str, str]) -> _Part:
    """Raises InvalidField."""
    order = []
    for pair in (params.get("sort") or "reference:asc").split(","):
        key, _, direction = pair.strip().partition(":")
        if key not in ("size", "reference") or direction not in ("", "asc", "desc"):
            raise InvalidField("sort", params.get("sort"), "size or reference, with :asc or :desc")
        order.append((key, direction != "asc"))
    for name in ("limit", "offset"):
        text = params.get(name, "0")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise InvalidField(name, text, "give a whole number")
    marker = params.get("marker") or None
    if marker is not None:
        try:
            marker = json.decode(marker, type=Reference).source_name
        except MsgspecError:
            raise InvalidField("marker", marker, 'give a reference, e.g. {"source-name": "volume-1"}') from None
    limit = min(int(params.get("limit", MAX_LIMIT)), MAX_LIMIT)
    return _Part(order, marker, int(params.get("offset", "0")), limit)


def _name(item: dict[str, Any]) -> str:
    return str(item["reference"]["source-name"])


def _item(
    call: Call, kind: str, name: str, size: int, detail: bool, *, managed: str | None = None, volume_id: str = ""
) -> dict[str, Any]:
    item: dict[str, Any] = {"reference": {"source-name": name}, "size": size, "safe_to_manage": managed is None}
    if kind == "snapshot":
        item["source_reference"] = {"source-name": f"volume-{volume_id}"} if volume_id else {}
    if detail:
        item |= {
            "reason_not_safe": None if managed is None else "already managed",
            "cinder_id": managed,
            "extra_info": None,
        }
    return item


def _routes(plural: str, older: str, handler: Any, body: Any, policies: tuple[str, str]) -> tuple[Route, ...]:
    found = []
    manage, look = policies
    for path, since in ((f"/manageable_{plural}", "3.8"), (f"/{older}", None)):
        options: dict[str, Any] = {"since": since, "write": True}
        found += [
            Route("POST", path, handler, action=manage, body=body, status=202, name=f"{path[1:]}.manage", **options),
            Route("GET", path, listed, action=look, name=f"{path[1:]}.list", **options),
            Route("GET", f"{path}/detail", listed, action=look, name=f"{path[1:]}.detail", **options),
        ]
    return tuple(found)


_UNMANAGE: dict[str, Any] = {"key": "os-unmanage", "body": UnmanageBody, "status": 202, "write": True}

ROUTES = (
    *_routes(
        "volumes",
        "os-volume-manage",
        manage_volume,
        ManagedVolumeBody,
        ("volume_extension:volume_manage", "volume_extension:list_manageable"),
    ),
    *_routes(
        "snapshots",
        "os-snapshot-manage",
        manage_snapshot,
        ManagedSnapshotBody,
        ("snapshot_extension:snapshot_manage", "snapshot_extension:list_manageable"),
    ),
    Route(
        "POST",
        "/volumes/{volume_id}/action",
        unmanage_volume,
        action="volume_extension:volume_unmanage",
        **_UNMANAGE,
    ),
    Route(
        "POST",
        "/snapshots/{snapshot_id}/action",
        unmanage_snapshot,
        action="snapshot_extension:snapshot_unmanage",
        **_UNMANAGE,
    ),
)
