"""Hosts: /os-hosts (Block Storage API v3, "Hosts", administrators): services by host, and what is on each."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.block import services
from pumice.block.model import Service
from pumice.clock import isoformat
from pumice.db.engine import Transaction
from pumice.errors import NotFound


def _status(service: Service, call: Call) -> str:
    return "available" if services.is_up(service, call.services.database.clock.now()) else "unavailable"


HOST = View(
    "host",
    Field("host_name", lambda service: service.host),
    Field("service", lambda service: service.binary),
    Field("zone", lambda service: service.availability_zone),
    Field("service-status", _status),
    Field("service-state", lambda service: "disabled" if service.disabled else "enabled"),
    Field("last-update", lambda service: isoformat(service.reported_at)),
)


def listed(tx: Transaction, call: Call) -> Any:
    zone = call.params.get("zone")
    shown = [one for one in services.listed(tx) if one.binary != services.COMPUTE_BINARY]
    return {"hosts": HOST.items([one for one in shown if zone in (None, one.availability_zone)], call)}


def show(tx: Transaction, call: Call) -> Any:
    """What the host's backends hold: first of all projects together, then of each."""
    host = call.path["host"]
    if not services.listed(tx, binary=services.VOLUME_BINARY, host=host):
        raise NotFound.of("Host", host)
    used = services.usage_of_host(tx, host)
    return {"host": [{"resource": {"host": host, **_resource(one)}} for one in used]}


def _resource(one: services.HostUsage) -> dict[str, Any]:
    return {
        "project": one.project,
        "volume_count": str(one.volumes),
        "total_volume_gb": str(one.volume_gigabytes),
        "snapshot_count": str(one.snapshots),
        "total_snapshot_gb": str(one.snapshot_gigabytes),
    }


ROUTES = (
    Route("GET", "/os-hosts", listed, action="volume_extension:hosts", name="hosts.list"),
    Route("GET", "/os-hosts/{host}", show, action="volume_extension:hosts"),
)
