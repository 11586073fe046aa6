"""How a server is shown, at every microversion."""

import hashlib
from typing import Any

from pumice.api.edge.route import Call
from pumice.api.edge.views import Field, View
from pumice.clock import isoformat, isoformat_z
from pumice.compute.config_drive import hostname_of
from pumice.compute.model import ServerWithVolumes

POWER_STATES = {"on": 1, "paused": 3, "off": 4, "suspended": 4, "none": 0}
PROGRESS = {"ACTIVE": 100, "BUILD": 0}


def _is_admin(call: Call) -> bool:
    return call.caller.is_admin


def _image(found: ServerWithVolumes, call: Call) -> Any:
    image_id = found.server.image_id
    if image_id is None:
        return ""
    return {"id": image_id, "links": [{"rel": "bookmark", "href": call.links.bookmark(f"/images/{image_id}")}]}


def _image_with_properties(found: ServerWithVolumes, call: Call) -> Any:
    image = _image(found, call)
    return {**image, "properties": found.server.image_properties or {}} if image else image


def _flavor_link(found: ServerWithVolumes, call: Call) -> Any:
    flavor_id = found.server.flavor_id
    return {"id": flavor_id, "links": [{"rel": "bookmark", "href": call.links.bookmark(f"/flavors/{flavor_id}")}]}


def _flavor(found: ServerWithVolumes) -> Any:
    return {name: value for name, value in found.server.flavor.items() if name != "id"}


def host_id(project_id: str, host: str | None) -> str:
    """A name of the host that tells a project's servers on one host from those on others, and nothing else."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def _hostname(found: ServerWithVolumes) -> str:
    return hostname_of(found.server)


def _root_device(found: ServerWithVolumes) -> str | None:
    return next((one.device_name for one in found.mappings if one.boot_index == 0), "/dev/sda")


def _reservation(found: ServerWithVolumes) -> str:
    return found.server.reservation_id or f"r-{found.server.id[:8]}"


_NOT_AFTER_CHANGES = ("config_drive", "key_name", "security_groups", "host_status")

SUMMARY = View(
    "server",
    Field("id", lambda found: found.server.id),
    Field("name", lambda found: found.server.name),
    Field("links", lambda found, call: call.links.pair(f"/servers/{found.server.id}")),
)
DETAIL = SUMMARY.extended(
    Field("status", lambda found: found.server.status),
    Field("tenant_id", lambda found: found.server.project_id),
    Field("user_id", lambda found: found.server.user_id),
    Field("metadata", lambda found: found.server.metadata),
    Field("hostId", lambda found: host_id(found.server.project_id, found.server.host)),
    Field("image", _image, until="2.97"),
    Field("image", _image_with_properties, since="2.98"),
    Field("flavor", _flavor_link, until="2.46"),
    Field("flavor", _flavor, since="2.47"),
    Field("created", lambda found: isoformat_z(found.server.created_at)),
    Field("updated", lambda found: isoformat_z(found.server.updated_at or found.server.created_at)),
    Field("addresses", lambda found: {}),
    Field("accessIPv4", lambda found: found.server.access_ip_v4 or ""),
    Field("accessIPv6", lambda found: found.server.access_ip_v6 or ""),
    Field("OS-DCF:diskConfig", lambda found: found.server.disk_config or "MANUAL"),
    Field("OS-EXT-AZ:availability_zone", lambda found: found.server.availability_zone),
    Field("config_drive", lambda found: "True" if found.server.config_drive else ""),
    Field("key_name", lambda found: found.server.key_name),
    Field("OS-SRV-USG:launched_at", lambda found: isoformat(found.server.launched_at)),
    Field("OS-SRV-USG:terminated_at", lambda found: isoformat(found.server.deleted_at)),
    Field("security_groups", lambda found: [{"name": "default"}]),
    Field("OS-EXT-SRV-ATTR:host", lambda found: found.server.host, visible=_is_admin),
    Field("OS-EXT-SRV-ATTR:instance_name", lambda found: f"pumice-{found.server.id}", visible=_is_admin),
    Field("OS-EXT-SRV-ATTR:hypervisor_hostname", lambda found: found.server.host, visible=_is_admin),
    Field("OS-EXT-SRV-ATTR:reservation_id", _reservation, since="2.3", visible=_is_admin),
    Field("OS-EXT-SRV-ATTR:launch_index", lambda found: found.server.launch_index or 0, since="2.3", visible=_is_admin),
    Field("OS-EXT-SRV-ATTR:hostname", _hostname, since="2.3", until="2.89", visible=_is_admin),
    Field("OS-EXT-SRV-ATTR:hostname", _hostname, since="2.90"),
    Field("OS-EXT-SRV-ATTR:kernel_id", lambda found: found.server.kernel_id or "", since="2.3", visible=_is_admin),
    Field("OS-EXT-SRV-ATTR:ramdisk_id", lambda found: found.server.ramdisk_id or "", since="2.3", visible=_is_admin),
    Field("OS-EXT-SRV-ATTR:root_device_name", _root_device, since="2.3", visible=_is_admin),
    Field("OS-EXT-SRV-ATTR:user_data", lambda found: found.server.user_data, since="2.3", visible=_is_admin),
    Field("OS-EXT-STS:task_state", lambda found: found.server.task_state),
    Field("OS-EXT-STS:vm_state", lambda found: found.server.vm_state),
    Field("OS-EXT-STS:power_state", lambda found: POWER_STATES[found.server.power]),
    Field(
        "os-extended-volumes:volumes_attached",
        lambda found: [{"id": one.volume_id} for one in found.mappings],
        until="2.2",
    ),
    Field(
        "os-extended-volumes:volumes_attached",
        lambda found: [
            {"id": one.volume_id, "delete_on_termination": one.delete_on_termination} for one in found.mappings
        ],
        since="2.3",
    ),
    Field("locked", lambda found: found.server.locked, since="2.9"),
    Field("host_status", lambda found: "UP" if found.server.host else "", since="2.16", visible=_is_admin),
    Field("description", lambda found: found.server.description, since="2.19"),
    Field("tags", lambda found: found.server.tags, since="2.26"),
    Field("trusted_image_certificates", fixed=None, since="2.63"),
    Field("locked_reason", lambda found: found.server.locked_reason, since="2.73"),
    Field("pinned_availability_zone", lambda found: found.server.asked_zone, since="2.96"),
    Field("scheduler_hints", lambda found: {}, since="2.100"),
)
SHOWN = DETAIL.extended(Field("server_groups", lambda found: [], since="2.71"))
CHANGED = SHOWN.without(
    *(
        field.name
        for field in SHOWN.fields
        if field.name.startswith(("OS-EXT", "OS-SRV", "os-extended")) or field.name in _NOT_AFTER_CHANGES
    )
)
"""What PUT and rebuild answer below 2.75."""


def detail(found: ServerWithVolumes, call: Call, *, view: View = DETAIL) -> dict[str, Any]:
    """A server with what is shown in some states only: its fault, its progress."""
    item = view.item(found, call)
    server = found.server
    if server.status in PROGRESS:
        item["progress"] = PROGRESS[server.status]
    if server.fault is not None and server.status in ("ERROR", "DELETED"):
        fault = server.fault
        item["fault"] = {
            "code": fault["code"],
            "created": isoformat_z(fault["created"]),
            "message": fault["message"],
            **({"details": fault.get("details", "")} if call.caller.is_admin else {}),
        }
    return item
