"""Default quotas: /os-quota-class-sets/{class} (Block Storage API v3, "Quota class set"). Only "default" counts."""

from typing import Any

from msgspec import Struct

from pumice.api.edge.route import Call, Route
from pumice.block import quotas
from pumice.db.engine import Transaction
from pumice.errors import InvalidField

IGNORED = frozenset({"class_name", "id"})


class QuotaClassSetBody(Struct, forbid_unknown_fields=True):
    quota_class_set: dict[str, Any]


def _class(call: Call) -> str:
    name = call.path["class_name"]
    if len(name) > 255:
        raise InvalidField("class_name", name, "at most 255 characters")
    return name


def show(tx: Transaction, call: Call) -> Any:
    return {"quota_class_set": {"id": _class(call), **quotas.of_class(tx, _class(call))}}


def change(tx: Transaction, call: Call) -> Any:
    asked = {name: value for name, value in call.body.quota_class_set.items() if name not in IGNORED}
    quotas.set_for_class(tx, _class(call), asked)
    return {"quota_class_set": quotas.of_class(tx, _class(call))}


_ONE = "/os-quota-class-sets/{class_name}"

ROUTES = (
    Route("GET", _ONE, show, action="volume_extension:quota_classes:get"),
    Route("PUT", _ONE, change, action="volume_extension:quota_classes:update", body=QuotaClassSetBody, write=True),
)
