"""Volume types: /types (Block Storage API v3, "Volume types"): which types a project may use."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.block import volume_types
from pumice.db.engine import Transaction
from pumice.errors import NotFound

TYPE = View(
    "volume_type",
    Field("id"),
    Field("name"),
    Field("description"),
    Field("is_public"),
    Field("os-volume-type-access:is_public", lambda kind: kind.is_public),
    Field("extra_specs", lambda kind: kind.extra_specs, visible=lambda call: call.caller.is_admin),
    Field("qos_specs_id", visible=lambda call: call.caller.is_admin),
)


def listed(tx: Transaction, call: Call) -> Any:
    return {"volume_types": TYPE.items(volume_types.listed(tx, call.caller), call)}


def show(tx: Transaction, call: Call) -> Any:
    found = volume_types.visible(tx, call.caller, call.path["volume_type_id"])
    if found.id != call.path["volume_type_id"]:
        raise NotFound.of("Volume type", call.path["volume_type_id"])
    return TYPE.render(found, call)


def default(tx: Transaction, call: Call) -> Any:
    return TYPE.render(volume_types.default(tx), call)


ROUTES = (
    Route("GET", "/types", listed, action="volume_extension:type_get_all", name="types.list"),
    Route("GET", "/types/default", default, action="volume_extension:type_get"),
    Route("GET", "/types/{volume_type_id}", show, action="volume_extension:type_get"),
)
