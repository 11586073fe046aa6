"""/v3/services, /v3/endpoints, /v3/regions: the catalogue, which follows the settings and is only read."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.api.identity.answers import listed, with_self
from pumice.db.engine import Transaction
from pumice.errors import NotFound
from pumice.identity.catalog import catalog


def _services(call: Call) -> list[dict[str, Any]]:
    return catalog(call.links.root, call.services.settings.region, "%(project_id)s")


def _endpoints(call: Call) -> list[dict[str, Any]]:
    return [{**point, "service_id": one["id"]} for one in _services(call) for point in one["endpoints"]]


def _region(call: Call) -> dict[str, Any]:
    return {"id": call.services.settings.region, "description": "", "parent_region_id": None}


def _service_shown(one: dict[str, Any], call: Call) -> dict[str, Any]:
    values = {"id": one["id"], "type": one["type"], "name": one["name"], "description": "", "enabled": True}
    return with_self(values, "/services", call)


def _endpoint_shown(one: dict[str, Any], call: Call) -> dict[str, Any]:
    return with_self({**one, "enabled": True}, "/endpoints", call)


def _region_shown(one: dict[str, Any], call: Call) -> dict[str, Any]:
    return with_self(one, "/regions", call)


def _filtered(found: list[dict[str, Any]], call: Call, *names: str) -> list[dict[str, Any]]:
    """Those whose fields of these names are what the query says."""
    asked = {name: call.params[name] for name in names if name in call.params}
    return [one for one in found if all(one[name] == value for name, value in asked.items())]


def _by_id(found: list[dict[str, Any]], noun: str, identifier: str) -> dict[str, Any]:
    for one in found:
        if one["id"] == identifier:
            return one
    raise NotFound.of(noun, identifier)


def services(tx: Transaction, call: Call) -> Any:
    return listed("services", _filtered(_services(call), call, "type", "name"), _service_shown, call)


def service(tx: Transaction, call: Call) -> Any:
    return {"service": _service_shown(_by_id(_services(call), "Service", call.path["service_id"]), call)}


def endpoints(tx: Transaction, call: Call) -> Any:
    found = _filtered(_endpoints(call), call, "service_id", "interface", "region_id", "region")
    return listed("endpoints", found, _endpoint_shown, call)


def endpoint(tx: Transaction, call: Call) -> Any:
    return {"endpoint": _endpoint_shown(_by_id(_endpoints(call), "Endpoint", call.path["endpoint_id"]), call)}


def regions(tx: Transaction, call: Call) -> Any:
    return listed("regions", _filtered([_region(call)], call, "parent_region_id"), _region_shown, call)


def region(tx: Transaction, call: Call) -> Any:
    return {"region": _region_shown(_by_id([_region(call)], "Region", call.path["region_id"]), call)}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/services", services, action="identity:list_services"),
    Route("GET", "/services/{service_id}", service, action="identity:get_service"),
    Route("GET", "/endpoints", endpoints, action="identity:list_endpoints"),
    Route("GET", "/endpoints/{endpoint_id}", endpoint, action="identity:get_endpoint"),
    Route("GET", "/regions", regions, action="identity:list_regions"),
    Route("GET", "/regions/{region_id}", region, action="identity:get_region"),
)
