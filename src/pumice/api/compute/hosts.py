"""Where servers run: /os-availability-zone, and for administrators /os-services, /os-hypervisors, /os-aggregates."""

from typing import Any

import msgspec

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.block.model import Service
from pumice.block.services import is_up
from pumice.clock import isoformat
from pumice.compute import hosts, servers
from pumice.compute.model import Host
from pumice.compute.quotas import Totals
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, NotFound


class Hypervisor(msgspec.Struct, frozen=True):
    """A host with its service and what its servers take."""

    host: Host
    service: Service
    used: Totals
    servers: tuple[tuple[str, str], ...]
    """(id, libvirt's name) of each."""


_UNKNOWN = 0
"""Space for local disks is not reported."""


SUMMARY = View(
    "hypervisor",
    Field("id", lambda found: found.service.id),
    Field("hypervisor_hostname", lambda found: found.host.host),
    Field("state", lambda found: "down" if found.service.problems else "up"),
    Field("status", lambda found: "disabled" if found.service.disabled else "enabled"),
)
DETAIL = SUMMARY.extended(
    Field("hypervisor_type", lambda found: found.host.hypervisor_type),
    Field("hypervisor_version", lambda found: _number(found.host.hypervisor_version)),
    Field("host_ip", lambda found: found.host.connector.get("ip")),
    Field("uptime", fixed=None, since="2.88"),
    Field("vcpus", "host.vcpus", until="2.87"),
    Field("vcpus_used", "used.cores", until="2.87"),
    Field("memory_mb", "host.memory_mib", until="2.87"),
    Field("memory_mb_used", "used.ram", until="2.87"),
    Field("free_ram_mb", lambda found: found.host.memory_mib - found.used.ram, until="2.87"),
    Field("running_vms", "used.instances", until="2.87"),
    Field("current_workload", fixed=0, until="2.87"),
    Field("local_gb", fixed=_UNKNOWN, until="2.87"),
    Field("local_gb_used", fixed=_UNKNOWN, until="2.87"),
    Field("free_disk_gb", fixed=_UNKNOWN, until="2.87"),
    Field("disk_available_least", fixed=None, until="2.87"),
    Field("cpu_info", fixed="", until="2.27"),
    Field("cpu_info", lambda found: {}, since="2.28", until="2.87"),
    Field(
        "service",
        lambda found: {
            "host": found.service.host,
            "id": found.service.id,
            "disabled_reason": found.service.disabled_reason,
        },
    ),
)


def _hypervisors(tx: Transaction, call: Call) -> list[Hypervisor]:
    """All of them; from 2.53 on those whose name has a part, when asked."""
    on_hosts = servers.on_hosts(tx)
    part = call.params.get("hypervisor_hostname_pattern") if call.version >= (2, 53) else None
    found = []
    for host, service in hosts.listed(tx):
        there = on_hosts.get(host.host, [])
        used = Totals(
            len(there), sum(int(one.flavor["vcpus"]) for one in there), sum(int(one.flavor["ram"]) for one in there)
        )
        names = tuple((one.id, f"pumice-{one.id}") for one in there)
        if part is None or part in host.host:
            found.append(Hypervisor(host, service, used, names))
    if part is not None and not found:
        raise NotFound(f"No hypervisor has {part[:64]!r} in its name.")
    return found


def _with_servers(item: dict[str, Any], found: Hypervisor) -> dict[str, Any]:
    return {**item, "servers": [{"uuid": server_id, "name": name} for server_id, name in found.servers]}


def _items(tx: Transaction, call: Call, view: View) -> list[dict[str, Any]]:
    wants = call.version >= (2, 53) and call.params.get("with_servers", "false").lower() in ("1", "true", "yes")
    found = _hypervisors(tx, call)
    items = view.items(found, call)
    return [_with_servers(item, one) for item, one in zip(items, found, strict=True)] if wants else items


def _number(text: str) -> int:
    """7.2.22 as 7002022."""
    parts = [int(part) if part.isdigit() else 0 for part in text.split(".")[:3]] + [0, 0, 0]
    return parts[0] * 1_000_000 + parts[1] * 1_000 + parts[2]


def zones(tx: Transaction, call: Call) -> Any:
    found: dict[str, bool] = {}
    for host, service in hosts.listed(tx):
        zone = host.availability_zone
        found[zone] = found.get(zone, False) or (is_up(service, tx.now) and not service.disabled)
    return {
        "availabilityZoneInfo": [
            {"zoneName": name, "zoneState": {"available": available}, "hosts": None}
            for name, available in (found or {"nova": False}).items()
        ]
    }


def zones_detail(tx: Transaction, call: Call) -> Any:
    answer = zones(tx, call)
    for zone in answer["availabilityZoneInfo"]:
        zone["hosts"] = {
            host.host: {
                service.binary: {
                    "available": is_up(service, tx.now),
                    "active": not service.disabled,
                    "updated_at": isoformat(service.reported_at),
                }
            }
            for host, service in hosts.listed(tx)
            if host.availability_zone == zone["zoneName"]
        }
    return answer


SERVICE = View(
    "service",
    Field("id", lambda service: int(service.id[:7], 16), until="2.52"),
    Field("id", since="2.53"),
    Field("binary"),
    Field("host"),
    Field("zone", lambda service: service.availability_zone),
    Field("status", lambda service: "disabled" if service.disabled else "enabled"),
    Field("state", lambda service: "up" if service.up else "down"),
    Field("updated_at", lambda service: isoformat(service.reported_at)),
    Field("disabled_reason"),
    Field("forced_down", fixed=False, since="2.11"),
)


class ShownService(msgspec.Struct, frozen=True):
    """A compute service as it is shown; what keeps it from working is its reason too."""

    id: str
    binary: str
    host: str
    availability_zone: str
    disabled: bool
    up: bool
    reported_at: int
    disabled_reason: str | None


def services(tx: Transaction, call: Call) -> Any:
    host, binary = call.params.get("host"), call.params.get("binary")
    found = [
        ShownService(
            service.id,
            service.binary,
            service.host,
            service.availability_zone,
            service.disabled,
            is_up(service, tx.now),
            service.reported_at,
            service.disabled_reason or "; ".join(problem["sentence"] for problem in service.problems) or None,
        )
        for _host, service in hosts.listed(tx)
        if host in (None, service.host) and binary in (None, service.binary)
    ]
    return {"services": SERVICE.items(found, call)}


def hypervisors(tx: Transaction, call: Call) -> Any:
    return {"hypervisors": _items(tx, call, SUMMARY)}


def hypervisors_detail(tx: Transaction, call: Call) -> Any:
    return {"hypervisors": _items(tx, call, DETAIL)}


def hypervisor(tx: Transaction, call: Call) -> Any:
    found = _one(tx, call)
    item = DETAIL.item(found, call)
    wants = call.version >= (2, 53) and call.params.get("with_servers", "false").lower() in ("1", "true", "yes")
    return {"hypervisor": _with_servers(item, found) if wants else item}


def _one(tx: Transaction, call: Call) -> Hypervisor:
    wanted = call.path["hypervisor_id"]
    found = next((one for one in _hypervisors(tx, call) if one.service.id == wanted), None)
    if found is None:
        raise NotFound.of("Hypervisor", wanted)
    return found


def statistics(tx: Transaction, call: Call) -> Any:
    found = [one for one in _hypervisors(tx, call) if not one.service.disabled]
    sums = ("vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "running_vms")
    items = DETAIL.items(found, call)
    return {
        "hypervisor_statistics": {
            "count": len(found),
            "current_workload": 0,
            "disk_available_least": 0,
            "free_disk_gb": _UNKNOWN,
            "local_gb": _UNKNOWN,
            "local_gb_used": _UNKNOWN,
            **{name: sum(item[name] for item in items) for name in sums},
        }
    }


def servers_of_named(tx: Transaction, call: Call) -> Any:
    """/os-hypervisors/{part of a name}/servers, below 2.53."""
    part = call.path["hypervisor_id"]
    found = [one for one in _hypervisors(tx, call) if part in one.host.host]
    if not found:
        raise NotFound(f"No hypervisor has {part[:64]!r} in its name.")
    return {"hypervisors": [_with_servers(SUMMARY.item(one, call), one) for one in found]}


def search(tx: Transaction, call: Call) -> Any:
    part = call.path["hypervisor_id"]
    found = [one for one in _hypervisors(tx, call) if part in one.host.host]
    if not found:
        raise NotFound(f"No hypervisor has {part[:64]!r} in its name.")
    return {"hypervisors": SUMMARY.items(found, call)}


def uptime(tx: Transaction, call: Call) -> Any:
    _one(tx, call)
    raise BadRequest("The uptime of hosts is not reported here.")


def aggregates(_tx: Transaction, _call: Call) -> Any:
    return {"aggregates": []}


def aggregate(_tx: Transaction, call: Call) -> Any:
    raise NotFound.of("Aggregate", call.path["aggregate_id"])


def no_aggregates(_tx: Transaction, _call: Call) -> Any:
    raise BadRequest("Host aggregates are not offered; a host's zone is in its agent's configuration.")


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-availability-zone", zones, action="compute:availability_zones:list", name="zones.list"),
    Route("GET", "/os-availability-zone/detail", zones_detail, action="compute:services:zones", name="zones.detail"),
    Route("GET", "/os-services", services, action="compute:services:list", name="compute_services.list"),
    Route("GET", "/os-hypervisors", hypervisors, action="compute:hypervisors:list", name="hypervisors.list"),
    Route(
        "GET",
        "/os-hypervisors/detail",
        hypervisors_detail,
        action="compute:hypervisors:detail",
        name="hypervisors.detail",
    ),
    Route(
        "GET",
        "/os-hypervisors/{hypervisor_id}",
        hypervisor,
        action="compute:hypervisors:show",
        name="hypervisors.show",
    ),
    Route(
        "GET",
        "/os-hypervisors/statistics",
        statistics,
        until="2.87",
        action="compute:hypervisors:statistics",
        name="hypervisors.statistics",
    ),
    Route(
        "GET",
        "/os-hypervisors/{hypervisor_id}/servers",
        servers_of_named,
        until="2.52",
        action="compute:hypervisors:servers",
        name="hypervisors.servers",
    ),
    Route(
        "GET",
        "/os-hypervisors/{hypervisor_id}/search",
        search,
        until="2.52",
        action="compute:hypervisors:search",
        name="hypervisors.search",
    ),
    Route(
        "GET",
        "/os-hypervisors/{hypervisor_id}/uptime",
        uptime,
        until="2.87",
        action="compute:hypervisors:uptime",
        name="hypervisors.uptime",
    ),
    Route("GET", "/os-aggregates", aggregates, action="compute:aggregates:index", name="aggregates.list"),
    Route("POST", "/os-aggregates", no_aggregates, action="compute:aggregates:create", name="aggregates.create"),
    Route("GET", "/os-aggregates/{aggregate_id}", aggregate, action="compute:aggregates:show", name="aggregates.show"),
)
