"""Default volume types of projects: /default-types (Block Storage API v3, since 3.62, administrators)."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from pumice.api.edge.route import Call, Route
from pumice.api.edge.views import Field, View
from pumice.block import default_types
from pumice.db.engine import Transaction

DEFAULT_TYPE = View("default_type", Field("project_id"), Field("volume_type_id"))


class DefaultType(Struct, forbid_unknown_fields=True):
    volume_type: Annotated[str, Meta(min_length=1, max_length=255)]
    """Name or id."""


class DefaultTypeBody(Struct, forbid_unknown_fields=True):
    default_type: DefaultType


def listed(tx: Transaction, call: Call) -> Any:
    return {"default_types": DEFAULT_TYPE.items(default_types.every(tx), call)}


def show(tx: Transaction, call: Call) -> Any:
    return DEFAULT_TYPE.render(default_types.of_project(tx, call.path["target_id"]), call)


def change(tx: Transaction, call: Call) -> Any:
    wanted = call.body.default_type.volume_type
    return DEFAULT_TYPE.render(default_types.put(tx, call.caller, call.path["target_id"], wanted), call)


def unset(tx: Transaction, call: Call) -> None:
    default_types.unset(tx, call.path["target_id"])


_ONE = "/default-types/{target_id}"
_ACTION = "volume_extension:default"

ROUTES = (
    Route("GET", "/default-types", listed, action=f"{_ACTION}_get_all", since="3.62", name="default_types.list"),
    Route("GET", _ONE, show, action=f"{_ACTION}_get", since="3.62"),
    Route("PUT", _ONE, change, action=f"{_ACTION}_set_or_update", body=DefaultTypeBody, since="3.62", write=True),
    Route("DELETE", _ONE, unset, action=f"{_ACTION}_unset", since="3.62", status=204, write=True),
)
