"""Making servers: POST /servers (Compute API v2.1; fields by microversion). What cannot be done is refused by name."""

import binascii
import ipaddress
import re
import secrets
from base64 import b64decode
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from pumice.api.compute.networks import NONE
from pumice.api.edge.route import Call, Route
from pumice.api.edge.versions import Microversion, Since
from pumice.compute import server_creation
from pumice.compute.model import WantedDisk, WantedServer
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, InvalidField

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=255)]
Metadata = dict[Annotated[str, Meta(min_length=1, max_length=255)], Text]
Tag = Annotated[str, Meta(min_length=1, max_length=60)]
LONGEST_USER_DATA = 65_535
"""Characters of base64."""
MOST_TAGS = 50
BEFORE_DESCRIPTIONS = (2, 18)
QUALIFIED_NAMES = (2, 94)
_HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_QUALIFIED = re.compile(rf"{_HOSTNAME.pattern}(\.{_HOSTNAME.pattern})*")
_TAG = re.compile(r"[^/,]+")


class BlockDevice(Struct, forbid_unknown_fields=True):
    """An entry of block_device_mapping_v2."""

    source_type: str
    uuid: str | None = None
    destination_type: str | None = None
    volume_size: int | str | None = None
    volume_type: Annotated[str | None, Since("2.67")] = None
    boot_index: int | str | None = None
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
    volume_size: int | str | None = None
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
    max_count: int | None = None
    availability_zone: Name | None = None
    key_name: Name | None = None
    user_data: str | None = None
    config_drive: bool | str | None = None
    personality: Annotated[list[dict[str, str]], Since("2.1", "2.56")] = []
    security_groups: list[dict[str, str]] = []
    disk_config: str | None = field(name="OS-DCF:diskConfig", default=None)
    access_ip_v4: str | None = field(name="accessIPv4", default=None)
    access_ip_v6: str | None = field(name="accessIPv6", default=None)
    return_reservation_id: bool = False
    description: Annotated[Text | None, Since("2.19")] = None
    tags: Annotated[list[Tag], Since("2.52")] = []
    trusted_image_certificates: Annotated[list[str] | None, Since("2.63")] = None
    host: Annotated[str | None, Since("2.74")] = None
    hypervisor_hostname: Annotated[str | None, Since("2.74")] = None
    hostname: Annotated[str | None, Since("2.90")] = None


class ServerCreateBody(Struct, forbid_unknown_fields=True):
    server: ServerCreate
    hints: dict[str, Any] = field(name="os:scheduler_hints", default_factory=dict)
    old_hints: dict[str, Any] = field(name="OS-SCH-HNT:scheduler_hints", default_factory=dict)


def create(tx: Transaction, call: Call) -> Any:
    asked: ServerCreate = call.body.server
    refuse_what_is_not_offered(call)
    password = asked.admin_password or secrets.token_urlsafe(9)
    made = server_creation.create(
        tx, call.caller, wanted_server(call, password), multiattach=call.version >= (2, 60)
    ).server
    if asked.return_reservation_id:
        return {"reservation_id": made.reservation_id}
    return {
        "server": {
            "id": made.id,
            "links": call.links.pair(f"/servers/{made.id}"),
            "OS-DCF:diskConfig": made.disk_config or "MANUAL",
            "security_groups": [{"name": "default"}],
            "adminPass": password,
        }
    }


def wanted_server(call: Call, password: str) -> WantedServer:
    """The body, checked as far as it can be without the database. Raises InvalidField."""
    asked: ServerCreate = call.body.server
    _check(asked, call.version)
    disks = tuple(_disk(disk, place) for place, disk in enumerate(asked.disks) if not disk.no_device)
    disks += tuple(_old_disk(disk, asked, place) for place, disk in enumerate(asked.old_disks) if not disk.no_device)
    return WantedServer(
        name=_plain_name(asked.name),
        flavor_id=str(asked.flavor).rsplit("/", 1)[-1],
        image_id=asked.image.rsplit("/", 1)[-1] if asked.image else None,
        disks=disks,
        description=_plain_name(asked.name) if call.version <= BEFORE_DESCRIPTIONS else asked.description,
        metadata=asked.metadata,
        tags=tuple(dict.fromkeys(asked.tags)),
        availability_zone=asked.availability_zone,
        hostname=asked.hostname,
        key_name=asked.key_name,
        user_data=asked.user_data or None,
        config_drive=_truth("server.config_drive", asked.config_drive),
        admin_password=password,
        disk_config=asked.disk_config,
        access_ip_v4=_address("server.accessIPv4", asked.access_ip_v4, 4),
        access_ip_v6=_address("server.accessIPv6", asked.access_ip_v6, 6),
        min_count=asked.min_count,
        max_count=asked.min_count if asked.max_count is None else asked.max_count,
    )


def refuse_what_is_not_offered(call: Call) -> None:
    """Never ignored: what would change the server and cannot be done is refused by name. The security
    group "default" stands for none: groups guard network ports, of which servers have none."""
    asked: ServerCreate = call.body.server
    refusals: tuple[tuple[str, Any, bool, str], ...] = (
        (
            "networks",
            asked.networks,
            isinstance(asked.networks, list) and not _is_none(asked.networks),
            "servers have no networks here: say none, auto or []",
        ),
        (
            "networks",
            asked.networks,
            isinstance(asked.networks, str) and asked.networks not in ("none", "auto"),
            "none, auto or []",
        ),
        (
            "security_groups",
            asked.security_groups,
            any(group.get("name") != "default" for group in asked.security_groups),
            "there is no security group but default, since servers have no networks",
        ),
        ("personality", "...", bool(asked.personality), "injected files are not offered; use user_data"),
        (
            "trusted_image_certificates",
            asked.trusted_image_certificates,
            bool(asked.trusted_image_certificates),
            "certificates of images are not checked here",
        ),
        ("host", asked.host, asked.host is not None, "the host is chosen; name an availability_zone"),
        (
            "hypervisor_hostname",
            asked.hypervisor_hostname,
            asked.hypervisor_hostname is not None,
            "the host is chosen; name an availability_zone",
        ),
    )
    for name, value, refused, why in refusals:
        if refused:
            raise InvalidField(f"server.{name}", value, why)
    if call.body.hints or call.body.old_hints:
        raise BadRequest("Scheduler hints are not offered; leave them out.")


def _check(asked: ServerCreate, version: Microversion) -> None:
    """Texts and numbers by themselves."""
    for name, count in (("min_count", asked.min_count), ("max_count", asked.max_count)):
        if count is not None and count < 1:
            raise InvalidField(f"server.{name}", count, "a whole number from 1")
    _check_disk_config(asked.disk_config)
    _check_hostname(asked.hostname, version)
    check_tags("server.tags", asked.tags)
    check_user_data("server.user_data", asked.user_data)


def check_changes(changes: dict[str, Any], version: Microversion) -> None:
    """What PUT may change, as far as it can be checked without the database; "" is no address. Raises InvalidField."""
    if "name" in changes:
        changes["name"] = _plain_name(changes["name"])
    if "disk_config" in changes:
        _check_disk_config(changes["disk_config"])
    if changes.get("hostname") is not None:
        _check_hostname(changes["hostname"], version)
    for name, shown, kind in (("access_ip_v4", "accessIPv4", 4), ("access_ip_v6", "accessIPv6", 6)):
        if name in changes:
            changes[name] = _address(f"server.{shown}", changes[name], kind)


def _plain_name(name: str) -> str:
    if not name.strip():
        raise InvalidField("server.name", name, "a name that is not only spaces")
    return name.strip()


def _check_disk_config(word: str | None) -> None:
    if word not in (None, "AUTO", "MANUAL"):
        raise InvalidField("server.OS-DCF:diskConfig", word, "AUTO or MANUAL")


def _check_hostname(hostname: str | None, version: Microversion) -> None:
    if hostname is None:
        return
    if version < QUALIFIED_NAMES and not _HOSTNAME.fullmatch(hostname):
        raise InvalidField("server.hostname", hostname, "1 to 63 letters, digits and hyphens, no hyphen at an end")
    if not _QUALIFIED.fullmatch(hostname) or len(hostname) > 255:
        raise InvalidField("server.hostname", hostname, "a host name, also a fully qualified one, of 255 characters")


def check_tags(name: str, tags: list[str]) -> None:
    """Raises InvalidField."""
    if len(set(tags)) > MOST_TAGS:
        raise InvalidField(name, len(tags), f"at most {MOST_TAGS} tags")
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise InvalidField(name, tag, "no tag has a slash or a comma")


def check_user_data(name: str, text: str | None) -> None:
    """Raises InvalidField."""
    if not text:
        return
    if len(text) > LONGEST_USER_DATA:
        raise InvalidField(name, f"{len(text)} characters", f"at most {LONGEST_USER_DATA} characters of base64")
    try:
        b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidField(name, "...", "text in base64") from None


def _address(name: str, text: str | None, version: int) -> str | None:
    if not text:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or found.version != version:
        raise InvalidField(name, text, f"an IPv{version} address")
    return str(found)


def _truth(name: str, value: bool | str | None) -> bool:
    if isinstance(value, bool) or value is None:
        return bool(value)
    lowered = value.strip().lower()
    if lowered in ("", "0", "false", "f", "no", "n", "off"):
        return False
    if lowered in ("1", "true", "t", "yes", "y", "on"):
        return True
    raise InvalidField(name, value, "true or false")


def _is_none(networks: list[dict[str, Any]]) -> bool:
    """Nothing, or the one network that stands for nothing (`api.compute.networks`)."""
    return all(network == {"uuid": NONE} for network in networks)


def _number(name: str, value: int | str | None, least: int) -> int | None:
    """A number that old clients send as a text; "" is none."""
    if value is None or value == "":
        return None
    text = str(value)
    number = int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else None
    if number is None or number < least:
        raise InvalidField(name, value, f"a whole number from {least}")
    return number


def _disk(disk: BlockDevice, place: int) -> WantedDisk:
    name = f"block_device_mapping_v2.{place}"
    if disk.source_type not in ("volume", "snapshot", "image", "blank"):
        raise InvalidField(f"server.{name}.source_type", disk.source_type, "volume, snapshot, image or blank")
    destination = disk.destination_type or ("volume" if disk.source_type in ("volume", "snapshot") else "local")
    if destination not in ("volume", "local"):
        raise InvalidField(f"server.{name}.destination_type", destination, "volume or local")
    if disk.device_type not in (None, "", "disk"):
        raise InvalidField(f"server.{name}.device_type", disk.device_type, "disk")
    boot_index = _number(f"server.{name}.boot_index", disk.boot_index, -1 << 30)
    return WantedDisk(
        source_type=disk.source_type,  # type: ignore[arg-type]
        destination_type=destination,  # type: ignore[arg-type]
        uuid=disk.uuid or None,
        volume_size=_number(f"server.{name}.volume_size", disk.volume_size, 1),
        volume_type=disk.volume_type or None,
        boot_index=boot_index if boot_index is not None and boot_index >= 0 else None,
        device_name=disk.device_name or None,
        disk_bus=disk.disk_bus or None,
        guest_format=None if disk.guest_format in (None, "", "ephemeral") else disk.guest_format,
        delete_on_termination=disk.delete_on_termination,
        tag=disk.tag,
        field=name,
    )


def _old_disk(disk: OldBlockDevice, asked: ServerCreate, place: int) -> WantedDisk:
    """The first one is booted from where no image is named."""
    is_root = not asked.image and disk is asked.old_disks[0]
    name = f"block_device_mapping.{place}"
    return WantedDisk(
        source_type="snapshot" if disk.snapshot_id else "volume",
        uuid=disk.snapshot_id or disk.volume_id,
        volume_size=_number(f"server.{name}.volume_size", disk.volume_size, 1),
        boot_index=0 if is_root else None,
        device_name=disk.device_name or None,
        delete_on_termination=disk.delete_on_termination,
        field=name,
    )


def _route(path: str, name: str) -> Route:
    return Route(
        "POST",
        path,
        create,
        status=202,
        body=ServerCreateBody,
        lax=True,
        write=True,
        secrets=("adminPass",),
        action="compute:servers:create",
        name=name,
    )


ROUTES: tuple[Route, ...] = (
    _route("/servers", "servers.create"),
    _route("/os-volumes_boot", "servers.create_from_volume"),
)
