"""Services: GET /os-services (Block Storage API v3, "Services"): who works, and if not, why.

What fails is shown where the operator looks: `disabled_reason` of a service that is down carries its problems. A
frozen backend takes no new volumes, so it is shown as disabled, with that reason.
"""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.block import services
from pumice.block.model import Service
from pumice.clock import isoformat
from pumice.db.engine import Transaction


def _reason(service: Service) -> str | None:
    if service.disabled:
        return service.disabled_reason
    if service.frozen:
        return "frozen"
    return "; ".join(f"{problem['sentence']} ({problem['fix']})" for problem in service.problems) or None


def _state(service: Service, call: Call) -> str:
    return "up" if services.is_up(service, call.services.database.clock.now()) else "down"


SERVICE = View(
    "service",
    Field("binary"),
    Field("host"),
    Field("zone", lambda service: service.availability_zone),
    Field("status", lambda service: "disabled" if service.disabled or service.frozen else "enabled"),
    Field("state", _state),
    Field("updated_at", lambda service: isoformat(service.reported_at)),
    Field("disabled_reason", _reason),
    Field("frozen", lambda service: service.frozen, visible=lambda call: call.caller.is_admin),
    Field("replication_status", fixed="disabled"),
    Field("active_backend_id", fixed=None),
    Field("cluster", fixed=None, since="3.7"),
    Field("backend_state", _state, since="3.49"),
)


def listed(tx: Transaction, call: Call) -> Any:
    """`service` is what older clients call the binary."""
    binary = call.params.get("binary") or call.params.get("service") or None
    found = services.listed(tx, binary=binary, host=call.params.get("host") or None)
    shown = [service for service in found if service.binary != services.COMPUTE_BINARY]
    return {"services": SERVICE.items(shown, call)}


ROUTES = (Route("GET", "/os-services", listed, action="volume_extension:services:index", name="services.list"),)
