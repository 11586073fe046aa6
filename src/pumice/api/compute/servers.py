"""Servers: /servers, /servers/detail, /servers/{id}, addresses (Compute API v2.1)."""

import secrets
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from pumice.api.compute import server_views
from pumice.api.compute.networks import NONE
from pumice.api.edge.route import Call, Route
from pumice.api.edge.versions import Since
from pumice.api.edge.views import next_link
from pumice.compute import servers
from pumice.compute.model import ServerWithVolumes, WantedDisk, WantedServer
from pumice.db.engine import Transaction
from pumice.db.paging import Page
from pumice.errors import BadRequest, InvalidField

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=255)]
Metadata = dict[Annotated[str, Meta(min_length=1, max_length=255)], Text]
Tag = Annotated[str, Meta(min_length=1, max_length=60)]


class BlockDevice(Struct, forbid_unknown_fields=True):
    """An entry of block_device_mapping_v2."""

    source_type: str
    uuid: str | None = None
    destination_type: str | None = None
    volume_size: Annotated[int, Meta(ge=1)] | None = None
    volume_type: Annotated[str | None, Since("2.67")] = None
    boot_index: int | None = None
    device_name: Text | None = None
    disk_bus: str | None = None
    device_type: str | None = None
    guest_format: str | None = None
    delete_on_termination: bool = False
    no_device: bool | None = None
    tag: Annotated[Tag | None, Since("2.42")] = None


class OldBlockDevice(Struct, forbid_unknown_fields=True):
    """An entry of block_device_mapping."""

    device_name: Text | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None
    volume_size: Annotated[int, Meta(ge=1)] | None = None
    delete_on_termination: bool = False
    no_device: bool | None = None


class ServerCreate(Struct, forbid_unknown_fields=True):
    name: Name
    flavor: str | int = field(name="flavorRef")
    image: str | None = field(name="imageRef", default=None)
    disks: list[BlockDevice] = field(name="block_device_mapping_v2", default_factory=list)
    old_disks: list[OldBlockDevice] = field(name="block_device_mapping", default_factory=list)
    networks: list[dict[str, Any]] | str | None = None
    admin_password: Text | None = field(name="adminPass", default=None)
    metadata: Metadata = {}
    min_count: int = 1
    max_count: int = 1
    availability_zone: Name | None = None
    key_name: Name | None = None
    user_data: str | None = None
    config_drive: bool | str | None = None
    personality: list[dict[str, str]] = []
    security_groups: list[dict[str, str]] = []
    disk_config: str | None = field(name="OS-DCF:diskConfig", default=None)
    access_ip_v4: str | None = field(name="accessIPv4", default=None)
    access_ip_v6: str | None = field(name="accessIPv6", default=None)
    return_reservation_id: bool = False
    description: Annotated[Text | None, Since("2.19")] = None
    tags: Annotated[list[Tag], Since("2.52")] = []


class ServerCreateBody(Struct, forbid_unknown_fields=True):
    server: ServerCreate
    hints: dict[str, Any] = field(name="os:scheduler_hints", default_factory=dict)
    old_hints: dict[str, Any] = field(name="OS-SCH-HNT:scheduler_hints", default_factory=dict)


class ServerUpdate(Struct, forbid_unknown_fields=True):
    name: Name | msgspec.UnsetType = msgspec.UNSET
    disk_config: str | None = field(name="OS-DCF:diskConfig", default=None)
    description: Annotated[Text | msgspec.UnsetType | None, Since("2.19")] = msgspec.UNSET


class ServerUpdateBody(Struct, forbid_unknown_fields=True):
    server: ServerUpdate


def create(tx: Transaction, call: Call) -> Any:
    asked: ServerCreate = call.body.server
    _refuse_what_is_not_offered(call)
    disks = tuple(_disk(disk, place) for place, disk in enumerate(asked.disks) if not disk.no_device)
    disks += tuple(_old_disk(disk, asked) for disk in asked.old_disks if not disk.no_device)
    wanted = WantedServer(
        name=asked.name.strip(),
        flavor_id=str(asked.flavor).rsplit("/", 1)[-1],
        image_id=asked.image.rsplit("/", 1)[-1] if asked.image else None,
        disks=disks,
        description=asked.description if call.version >= (2, 19) else asked.name.strip(),
        metadata=asked.metadata,
        tags=tuple(asked.tags),
        availability_zone=asked.availability_zone,
    )
    made = servers.create(tx, call.caller, wanted).server
    return {
        "server": {
            "id": made.id,
            "links": call.links.pair(f"/servers/{made.id}"),
            "OS-DCF:diskConfig": "MANUAL",
            "security_groups": [{"name": "default"}],
            "adminPass": asked.admin_password or secrets.token_urlsafe(9),
        }
    }


def _refuse_what_is_not_offered(call: Call) -> None:
    """Never ignored: what would change the server and cannot be done is refused by name."""
    asked: ServerCreate = call.body.server
    refusals = (
        (
            "networks",
            isinstance(asked.networks, list) and not _is_none(asked.networks),
            "servers have no networks here",
        ),
        ("networks", isinstance(asked.networks, str) and asked.networks not in ("none", "auto"), "none, auto or []"),
        ("key_name", asked.key_name is not None, "key pairs are not offered"),
        ("user_data", bool(asked.user_data), "user data is not offered"),
        ("config_drive", asked.config_drive in (True, "True", "true"), "config drives are not offered"),
        ("personality", bool(asked.personality), "injected files are not offered"),
        ("max_count", (asked.min_count, asked.max_count) != (1, 1), "one server a request"),
        ("accessIPv4", bool(asked.access_ip_v4), "servers have no addresses here"),
        ("accessIPv6", bool(asked.access_ip_v6), "servers have no addresses here"),
        ("return_reservation_id", asked.return_reservation_id, "one server a request"),
    )
    for name, refused, why in refusals:
        if refused:
            raise InvalidField(f"server.{name}", "..." if name == "user_data" else getattr(asked, name, "..."), why)
    if call.body.hints or call.body.old_hints:
        raise BadRequest("Scheduler hints are not offered; leave them out.")


def _is_none(networks: list[dict[str, Any]]) -> bool:
    """Nothing, or the one network that stands for nothing (`api.compute.networks`)."""
    return all(network == {"uuid": NONE} for network in networks)


def _disk(disk: BlockDevice, place: int) -> WantedDisk:
    field_name = f"server.block_device_mapping_v2.{place}"
    if disk.source_type not in ("volume", "snapshot", "image", "blank"):
        raise InvalidField(f"{field_name}.source_type", disk.source_type, "volume, snapshot, image or blank")
    destination = disk.destination_type or ("volume" if disk.source_type in ("volume", "snapshot") else "local")
    if destination not in ("volume", "local"):
        raise InvalidField(f"{field_name}.destination_type", destination, "volume or local")
    if destination == "local" and (disk.source_type != "image" or disk.boot_index != 0):
        raise InvalidField(
            f"{field_name}.destination_type", destination, "local is for the image that is booted from (boot_index 0)"
        )
    return WantedDisk(
        source_type=disk.source_type,  # type: ignore[arg-type]
        destination_type=destination,  # type: ignore[arg-type]
        uuid=disk.uuid,
        volume_size=disk.volume_size,
        volume_type=disk.volume_type,
        boot_index=disk.boot_index if disk.boot_index is not None and disk.boot_index >= 0 else None,
        device_name=disk.device_name or None,
        disk_bus=disk.disk_bus,
        delete_on_termination=disk.delete_on_termination,
        tag=disk.tag,
    )


def _old_disk(disk: OldBlockDevice, asked: ServerCreate) -> WantedDisk:
    """The first one is booted from where no image is named."""
    is_root = not asked.image and disk is asked.old_disks[0]
    return WantedDisk(
        source_type="snapshot" if disk.snapshot_id else "volume",
        uuid=disk.snapshot_id or disk.volume_id,
        volume_size=disk.volume_size,
        boot_index=0 if is_root else None,
        device_name=disk.device_name or None,
        delete_on_termination=disk.delete_on_termination,
    )


def _page(tx: Transaction, call: Call) -> Page[ServerWithVolumes]:
    params = call.params
    everybody = params.get("all_tenants", params.get("all_projects", "0")).lower() in ("1", "true", "yes", "")
    deleted = params.get("deleted", "false").lower() in ("1", "true", "yes")
    ignored = () if call.caller.is_admin else ("host", "project_id", "tenant_id", "user_id")
    request = servers.LISTING.parse(params, ignore=ignored)
    return servers.page(tx, call.caller, request, all_projects=everybody, deleted=deleted)


def listed(tx: Transaction, call: Call) -> Any:
    return server_views.SUMMARY.page(_page(tx, call), call)


def detail(tx: Transaction, call: Call) -> Any:
    page = _page(tx, call)
    answer: dict[str, Any] = {"servers": [server_views.detail(found, call) for found in page.items]}
    if page.next_marker is not None:
        answer["servers_links"] = [{"rel": "next", "href": next_link(call, page.next_marker)}]
    return answer


def show(tx: Transaction, call: Call) -> Any:
    found = servers.show(tx, call.caller, call.path["server_id"])
    return {"server": server_views.detail(found, call, view=server_views.SHOWN)}


def change(tx: Transaction, call: Call) -> Any:
    asked: ServerUpdate = call.body.server
    changes = {
        name: value
        for name, value in (("name", asked.name), ("description", asked.description))
        if value is not msgspec.UNSET
    }
    found = servers.rename(tx, call.caller, call.path["server_id"], changes)
    return {"server": server_views.detail(found, call)}


def delete(tx: Transaction, call: Call) -> None:
    servers.delete(tx, call.caller, call.path["server_id"])


def addresses(tx: Transaction, call: Call) -> Any:
    servers.get(tx, call.caller, call.path["server_id"])
    return {"addresses": {}}


_ONE = "/servers/{server_id}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/servers", listed, action="compute:servers:index", name="servers.list"),
    Route("GET", "/servers/detail", detail, action="compute:servers:detail", name="servers.detail"),
    Route("GET", _ONE, show, action="compute:servers:show", name="servers.show"),
    Route("GET", f"{_ONE}/ips", addresses, action="compute:servers:show_ips", name="servers.ips"),
    Route(
        "POST",
        "/servers",
        create,
        status=202,
        body=ServerCreateBody,
        lax=True,
        write=True,
        secrets=("adminPass",),
        action="compute:servers:create",
        name="servers.create",
    ),
    Route(
        "PUT", _ONE, change, body=ServerUpdateBody, write=True, action="compute:servers:update", name="servers.update"
    ),
    Route("DELETE", _ONE, delete, status=204, write=True, action="compute:servers:delete", name="servers.delete"),
)
