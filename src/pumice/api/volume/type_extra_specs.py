"""Extra specs of volume types: /types/{id}/extra_specs (Block Storage API v3, "Volume types").

Users see those that tell what a volume can do; administrators see and change all.
"""

from typing import Any

from msgspec import Struct

from pumice.api.edge.route import Call, Route
from pumice.api.volume.types import seen_by_users
from pumice.block import volume_types
from pumice.db.engine import Transaction
from pumice.errors import BadRequest


class ExtraSpecsBody(Struct, forbid_unknown_fields=True):
    extra_specs: dict[str, str]


def _seen(tx: Transaction, call: Call) -> dict[str, str]:
    specs = volume_types.get(tx, call.caller, call.path["volume_type_id"]).extra_specs
    return specs if call.caller.is_admin else seen_by_users(specs)


def listed(tx: Transaction, call: Call) -> Any:
    return {"extra_specs": _seen(tx, call)}


def show(tx: Transaction, call: Call) -> Any:
    specs, key = _seen(tx, call), call.path["key"]
    if key not in specs:
        raise volume_types.no_spec(call.path["volume_type_id"], key)
    return {key: specs[key]}


def add(tx: Transaction, call: Call) -> Any:
    specs: dict[str, str] = call.body.extra_specs
    return {"extra_specs": volume_types.set_specs(tx, call.caller, call.path["volume_type_id"], specs)}


def change(tx: Transaction, call: Call) -> Any:
    key, specs = call.path["key"], call.body
    if set(specs) != {key}:
        raise BadRequest(f"Invalid input for the body: exactly the key of the URL, {key!r}, must be in it.")
    return volume_types.set_specs(tx, call.caller, call.path["volume_type_id"], specs)


def delete(tx: Transaction, call: Call) -> None:
    volume_types.delete_spec(tx, call.caller, call.path["volume_type_id"], call.path["key"])


_ALL = "/types/{volume_type_id}/extra_specs"
_ONE = "/types/{volume_type_id}/extra_specs/{key}"
_ACTION = "volume_extension:types_extra_specs"

ROUTES = (
    Route("GET", _ALL, listed, action="volume_extension:type_get_extra_specs", name="type_extra_specs.list"),
    Route("POST", _ALL, add, action=f"{_ACTION}:create", body=ExtraSpecsBody, write=True),
    Route("GET", _ONE, show, action="volume_extension:type_get_extra_specs"),
    Route("PUT", _ONE, change, action=f"{_ACTION}:update", body=dict[str, str], write=True),
    Route("DELETE", _ONE, delete, action=f"{_ACTION}:delete", status=202, write=True),
)
