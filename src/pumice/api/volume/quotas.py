"""Quotas of projects: /os-quota-sets/{project} (Block Storage API v3, "Quota sets")."""

from typing import Any

from msgspec import Struct

from pumice.api.edge.route import Call, Route
from pumice.api.volume.fields import asked_for
from pumice.block import quotas
from pumice.db.engine import Transaction
from pumice.errors import Forbidden

IGNORED = frozenset({"tenant_id", "project_id", "id", "force"})
"""What older clients send along in the set."""


class QuotaSetBody(Struct, forbid_unknown_fields=True):
    quota_set: dict[str, Any]


def show(tx: Transaction, call: Call) -> Any:
    project_id = call.path["target_id"]
    if project_id != call.caller.project_id and not call.caller.is_admin:
        raise Forbidden("Quotas of another project are shown to administrators only.")
    found = quotas.of_project(tx, project_id, call.caller)
    if asked_for(call, "usage"):
        usage = {name: {"limit": one.limit, "in_use": one.in_use, "reserved": 0} for name, one in found.items()}
        return {"quota_set": {"id": project_id, **usage}}
    return {"quota_set": {"id": project_id, **{name: one.limit for name, one in found.items()}}}


def defaults(tx: Transaction, call: Call) -> Any:
    return {"quota_set": {"id": call.path["target_id"], **quotas.of_class(tx, caller=call.caller)}}


def change(tx: Transaction, call: Call) -> Any:
    """With `skip_validation=false` a limit below what is in use is refused, as the API has it."""
    project_id = call.path["target_id"]
    asked = {name: value for name, value in call.body.quota_set.items() if name not in IGNORED}
    quotas.set_for_project(tx, project_id, asked, below_use=asked_for(call, "skip_validation", otherwise=True))
    return {"quota_set": {name: one.limit for name, one in quotas.of_project(tx, project_id).items()}}


def reset(tx: Transaction, call: Call) -> None:
    quotas.reset(tx, call.path["target_id"])


_ONE = "/os-quota-sets/{target_id}"

ROUTES = (
    Route("GET", _ONE, show, action="volume_extension:quotas:show"),
    Route("GET", f"{_ONE}/defaults", defaults, action="volume_extension:quotas:show"),
    Route("PUT", _ONE, change, action="volume_extension:quotas:update", body=QuotaSetBody, write=True),
    Route("DELETE", _ONE, reset, action="volume_extension:quotas:delete", write=True),
)
