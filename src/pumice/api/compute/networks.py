"""What there is of networks: nothing, said the way clients ask for it. Servers have no networks here.

/os-networks (below 2.36)       the one network that stands for nothing: `openstack server create --network none`
                                looks for it where there is no network service
/servers/{id}/os-interface      no ports; a port cannot be added
/servers/{id}/os-security-groups, /os-security-groups (below 2.36), /os-floating-ips (below 2.36)
"""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.compute import servers
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, NotFound

NONE = "none"
_NETWORK = {"id": NONE, "label": NONE}


def listed(_tx: Transaction, _call: Call) -> Any:
    return {"networks": [_NETWORK]}


def show(_tx: Transaction, call: Call) -> Any:
    if call.path["network_id"] != NONE:
        raise NotFound.of("Network", call.path["network_id"])
    return {"network": _NETWORK}


def interfaces(tx: Transaction, call: Call) -> Any:
    servers.get(tx, call.caller, call.path["server_id"])
    return {"interfaceAttachments": []}


def interface(tx: Transaction, call: Call) -> Any:
    servers.get(tx, call.caller, call.path["server_id"])
    raise NotFound.of("Port", call.path["port_id"])


def add_interface(tx: Transaction, call: Call) -> Any:
    servers.get(tx, call.caller, call.path["server_id"])
    raise BadRequest("Servers have no networks here: no port can be attached.")


def groups_of_server(tx: Transaction, call: Call) -> Any:
    servers.get(tx, call.caller, call.path["server_id"])
    return {"security_groups": []}


def no_groups(_tx: Transaction, _call: Call) -> Any:
    return {"security_groups": []}


def no_floating_ips(_tx: Transaction, _call: Call) -> Any:
    return {"floating_ips": []}


_INTERFACES = "/servers/{server_id}/os-interface"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-networks", listed, until="2.35", action="compute:networks:list", name="networks.list"),
    Route("GET", "/os-networks/{network_id}", show, until="2.35", action="compute:networks:show", name="networks.show"),
    Route("GET", _INTERFACES, interfaces, action="compute:interfaces:list", name="interfaces.list"),
    Route("POST", _INTERFACES, add_interface, action="compute:interfaces:create", name="interfaces.create"),
    Route("GET", f"{_INTERFACES}/{{port_id}}", interface, action="compute:interfaces:show", name="interfaces.show"),
    Route(
        "DELETE", f"{_INTERFACES}/{{port_id}}", interface, action="compute:interfaces:delete", name="interfaces.delete"
    ),
    Route(
        "GET",
        "/servers/{server_id}/os-security-groups",
        groups_of_server,
        action="compute:security_groups:list",
        name="security_groups.of_server",
    ),
    Route(
        "GET",
        "/os-security-groups",
        no_groups,
        until="2.35",
        action="compute:security_groups:list",
        name="security_groups.list",
    ),
    Route(
        "GET",
        "/os-floating-ips",
        no_floating_ips,
        until="2.35",
        action="compute:floating_ips:list",
        name="floating_ips.list",
    ),
)
