"""Where servers run: /os-availability-zone, /os-services, /os-hypervisors (the latter two for administrators)."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.block.model import Service
from pumice.block.services import is_up
from pumice.clock import isoformat
from pumice.compute import hosts
from pumice.compute.model import Host
from pumice.db.engine import Transaction
from pumice.errors import NotFound

HYPERVISOR = View(
    "hypervisor",
    Field("id", lambda found: found[1].id),
    Field("hypervisor_hostname", lambda found: found[0].host),
    Field("state", lambda found: "down" if found[1].problems else "up"),
    Field("status", lambda found: "disabled" if found[1].disabled else "enabled"),
)
HYPERVISOR_DETAIL = HYPERVISOR.extended(
    Field("hypervisor_type", lambda found: found[0].hypervisor_type),
    Field("hypervisor_version", lambda found: _number(found[0].hypervisor_version)),
    Field("host_ip", lambda found: found[0].connector.get("ip")),
    Field("vcpus", lambda found: found[0].vcpus, until="2.87"),
    Field("memory_mb", lambda found: found[0].memory_mib, until="2.87"),
    Field(
        "service",
        lambda found: {
            "host": found[1].host,
            "id": found[1].id,
            "disabled_reason": found[1].disabled_reason,
        },
    ),
)


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


def services(tx: Transaction, call: Call) -> Any:
    wanted = call.params.get("host")
    return {
        "services": [
            {
                "id": service.id,
                "binary": service.binary,
                "host": service.host,
                "zone": service.availability_zone,
                "status": "disabled" if service.disabled else "enabled",
                "state": "up" if is_up(service, tx.now) else "down",
                "updated_at": isoformat(service.reported_at),
                "disabled_reason": service.disabled_reason
                or "; ".join(problem["sentence"] for problem in service.problems)
                or None,
                "forced_down": False,
            }
            for _host, service in hosts.listed(tx)
            if wanted in (None, service.host) and call.params.get("binary") in (None, service.binary)
        ]
    }


def hypervisors(tx: Transaction, call: Call) -> Any:
    return {"hypervisors": HYPERVISOR.items(hosts.listed(tx), call)}


def hypervisors_detail(tx: Transaction, call: Call) -> Any:
    return {"hypervisors": HYPERVISOR_DETAIL.items(hosts.listed(tx), call)}


def hypervisor(tx: Transaction, call: Call) -> Any:
    wanted = call.path["hypervisor_id"]
    found: tuple[Host, Service] | None = next((one for one in hosts.listed(tx) if one[1].id == wanted), None)
    if found is None:
        raise NotFound.of("Hypervisor", wanted)
    return HYPERVISOR_DETAIL.render(found, call)


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
)
