"""Servers: /servers, /servers/detail, /servers/{id}, addresses (Compute API v2.1). Making them: `server_create.py`."""

from typing import Annotated, Any

import msgspec
from msgspec import Struct, field

from pumice.api.compute import server_views
from pumice.api.compute.server_create import Name, Text, check_changes
from pumice.api.edge.route import Call, Route
from pumice.api.edge.versions import Since
from pumice.api.edge.views import next_link
from pumice.compute import listings, servers
from pumice.compute.model import ServerWithVolumes
from pumice.db.engine import Transaction
from pumice.db.paging import Page
from pumice.errors import Forbidden, NotFound


class ServerUpdate(Struct, forbid_unknown_fields=True):
    name: Name | msgspec.UnsetType = msgspec.UNSET
    disk_config: str | msgspec.UnsetType = field(name="OS-DCF:diskConfig", default=msgspec.UNSET)
    access_ip_v4: str | msgspec.UnsetType | None = field(name="accessIPv4", default=msgspec.UNSET)
    access_ip_v6: str | msgspec.UnsetType | None = field(name="accessIPv6", default=msgspec.UNSET)
    description: Annotated[Text | msgspec.UnsetType | None, Since("2.19")] = msgspec.UNSET
    hostname: Annotated[str | msgspec.UnsetType | None, Since("2.90")] = msgspec.UNSET


class ServerUpdateBody(Struct, forbid_unknown_fields=True):
    server: ServerUpdate


def _page(tx: Transaction, call: Call) -> Page[ServerWithVolumes]:
    params = call.params
    everybody = params.get("all_tenants", params.get("all_projects", "0")).lower() in ("1", "true", "yes", "")
    if everybody and not call.caller.is_admin:
        raise Forbidden("Servers of all projects are for administrators only: leave all_tenants out.")
    deleted: bool | None = params.get("deleted", "false").lower() in ("1", "true", "yes")
    if "changes-since" in params and "deleted" not in params:
        deleted = None
    request = listings.SERVERS.parse(_known(params), ignore=_ignored(call))
    return servers.page(tx, call.caller, request, all_projects=everybody, deleted=deleted)


def _known(params: dict[str, str]) -> dict[str, str]:
    """An empty filter is none."""
    return {name: text for name, text in params.items() if text or name not in listings.SERVERS.filters}


def _ignored(call: Call) -> tuple[str, ...]:
    """Filters that this caller's version or role does not have."""
    early = tuple(name for name, since in listings.SINCE.items() if call.version < since)
    if call.caller.is_admin:
        return early
    kept = listings.KEPT_FOR_ALL if call.version >= (2, 83) else ()
    return (*early, *(name for name in listings.ADMINISTRATORS_ONLY if name not in kept))


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
    """Below 2.75 the answer has fewer fields than that of GET."""
    asked: ServerUpdate = call.body.server
    sent = {
        "name": asked.name,
        "description": asked.description,
        "hostname": asked.hostname,
        "disk_config": asked.disk_config,
        "access_ip_v4": asked.access_ip_v4,
        "access_ip_v6": asked.access_ip_v6,
    }
    changes = {name: value for name, value in sent.items() if value is not msgspec.UNSET}
    check_changes(changes, call.version)
    found = servers.rename(tx, call.caller, call.path["server_id"], changes)
    view = server_views.SHOWN if call.version >= (2, 75) else server_views.CHANGED
    return {"server": server_views.detail(found, call, view=view)}


def delete(tx: Transaction, call: Call) -> None:
    servers.delete(tx, call.caller, call.path["server_id"])


def addresses(tx: Transaction, call: Call) -> Any:
    servers.get(tx, call.caller, call.path["server_id"])
    return {"addresses": {}}


def addresses_of_network(tx: Transaction, call: Call) -> Any:
    servers.get(tx, call.caller, call.path["server_id"])
    raise NotFound.of("Network", call.path["network"])


_ONE = "/servers/{server_id}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/servers", listed, action="compute:servers:index", name="servers.list"),
    Route("GET", "/servers/detail", detail, action="compute:servers:detail", name="servers.detail"),
    Route("GET", _ONE, show, action="compute:servers:show", name="servers.show"),
    Route("GET", f"{_ONE}/ips", addresses, action="compute:servers:show_ips", name="servers.ips"),
    Route(
        "GET",
        f"{_ONE}/ips/{{network}}",
        addresses_of_network,
        action="compute:servers:show_ips",
        name="servers.ips_of_network",
    ),
    Route(
        "PUT", _ONE, change, body=ServerUpdateBody, write=True, action="compute:servers:update", name="servers.update"
    ),
    Route("DELETE", _ONE, delete, status=204, write=True, action="compute:servers:delete", name="servers.delete"),
)
