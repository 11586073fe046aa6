"""/os-networks (below 2.36): the one network that stands for nothing, which `openstack server create --network none`
looks for where there is no network service. Servers have no networks here."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.db.engine import Transaction
from pumice.errors import NotFound

NONE = "none"
_NETWORK = {"id": NONE, "label": NONE}


def listed(_tx: Transaction, _call: Call) -> Any:
    return {"networks": [_NETWORK]}


def show(_tx: Transaction, call: Call) -> Any:
    if call.path["network_id"] != NONE:
        raise NotFound.of("Network", call.path["network_id"])
    return {"network": _NETWORK}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-networks", listed, until="2.35", action="compute:networks:list", name="networks.list"),
    Route("GET", "/os-networks/{network_id}", show, until="2.35", action="compute:networks:show", name="networks.show"),
)
