"""What a project may use and uses: /limits, /os-quota-sets/{project}, /os-quota-class-sets/{class}.

What there is nothing of (networks, injected files) has a limit in the versions that have its name, of no effect.
"""

from typing import Any

from msgspec import Struct

from pumice.api.edge.route import Call, Route
from pumice.api.edge.versions import Microversion
from pumice.compute import quotas
from pumice.db.engine import Transaction
from pumice.errors import BadRequest, Forbidden, InvalidField, NotFound

Limits = dict[str, int | bool | str | None]

NETWORKS = ("floating_ips", "fixed_ips", "security_groups", "security_group_rules")
"""Below 2.36."""
FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
"""Below 2.57."""
CLASS = "default"


class QuotaBody(Struct, forbid_unknown_fields=True):
    quota_set: Limits


class QuotaClassBody(Struct, forbid_unknown_fields=True):
    quota_class_set: Limits


def limits(tx: Transaction, call: Call) -> Any:
    asked = call.params.get("tenant_id")
    if asked and asked != call.caller.project_id and not call.caller.is_admin:
        raise Forbidden("Limits of another project are shown to administrators only.")
    project_id = asked or call.caller.project_id or ""
    used, allowed = quotas.totals(tx, project_id), quotas.limits(tx, project_id)
    absolute = {
        "maxTotalInstances": allowed["instances"],
        "maxTotalCores": allowed["cores"],
        "maxTotalRAMSize": allowed["ram"],
        "maxServerMeta": allowed["metadata_items"],
        "maxTotalKeypairs": allowed["key_pairs"],
        "maxServerGroups": allowed["server_groups"],
        "maxServerGroupMembers": allowed["server_group_members"],
        "totalInstancesUsed": used.instances,
        "totalCoresUsed": used.cores,
        "totalRAMUsed": used.ram,
        "totalServerGroupsUsed": 0,
    }
    if call.version < (2, 36):
        names = ("maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules")
        absolute |= dict.fromkeys((*names, "totalFloatingIpsUsed", "totalSecurityGroupsUsed"), 0)
    if call.version < (2, 39):
        absolute["maxImageMeta"] = allowed["metadata_items"]
    if call.version < (2, 57):
        absolute |= {"maxPersonality": 0, "maxPersonalitySize": 0}
    return {"limits": {"rate": [], "absolute": absolute}}


def shown(limits_: dict[str, int], version: Microversion) -> dict[str, int]:
    """The limits that this version has."""
    gone = (NETWORKS if version >= (2, 36) else ()) + (FILES if version >= (2, 57) else ())
    return {name: limit for name, limit in limits_.items() if name not in gone}


def show(tx: Transaction, call: Call) -> Any:
    project_id = _visible(call)
    return {"quota_set": {"id": project_id, **shown(quotas.limits(tx, project_id), call.version)}}


def defaults(tx: Transaction, call: Call) -> Any:
    found = shown(quotas.limits(tx, quotas.FOR_ALL), call.version)
    return {"quota_set": {"id": call.path["project_id"], **found}}


def show_detail(tx: Transaction, call: Call) -> Any:
    project_id = _visible(call)
    used = quotas.totals(tx, project_id)
    found = {
        name: {"limit": limit, "in_use": getattr(used, name, 0), "reserved": 0}
        for name, limit in shown(quotas.limits(tx, project_id), call.version).items()
    }
    return {"quota_set": {"id": project_id, **found}}


def _visible(call: Call) -> str:
    project_id = call.path["project_id"]
    if project_id != call.caller.project_id and not call.caller.is_admin:
        raise Forbidden("Quotas of another project are shown to administrators only.")
    return project_id


def change(tx: Transaction, call: Call) -> Any:
    if "user_id" in call.params:
        raise BadRequest("Quotas of single users are not offered; leave user_id out.")
    asked: Limits = dict(call.body.quota_set)
    force = asked.pop("force", False)
    if not isinstance(force, bool) and force not in ("True", "true", "False", "false"):
        raise InvalidField("quota_set.force", force, "true or false")
    quotas.set_limits(
        tx, call.path["project_id"], _numbers("quota_set", asked, call), force=force in (True, "True", "true")
    )
    return {"quota_set": shown(quotas.limits(tx, call.path["project_id"]), call.version)}


def _numbers(name: str, asked: Limits, call: Call) -> dict[str, int]:
    """The limits as numbers, which may come as texts. Raises InvalidField."""
    asked.pop("tenant_id", None)
    known = shown(dict(quotas.DEFAULTS), call.version)
    wanted: dict[str, int] = {}
    for resource, value in asked.items():
        text = str(value)
        digits = text.removeprefix("-")
        if isinstance(value, bool) or not (digits.isascii() and digits.isdigit() and len(text) <= 11):
            raise InvalidField(f"{name}.{resource}", value, "a whole number, -1 for no limit")
        if resource not in known:
            raise InvalidField(f"{name}.{resource}", value, f"limits are {', '.join(known)}")
        wanted[resource] = int(text)
    return wanted


def forget(tx: Transaction, call: Call) -> None:
    quotas.forget_limits(tx, call.path["project_id"])


def show_class(tx: Transaction, call: Call) -> Any:
    found = shown(quotas.limits(tx, quotas.FOR_ALL), call.version)
    return {"quota_class_set": {"id": _class(call), **found}}


def change_class(tx: Transaction, call: Call) -> Any:
    _class(call)
    quotas.set_limits(
        tx, quotas.FOR_ALL, _numbers("quota_class_set", dict(call.body.quota_class_set), call), force=True
    )
    return {"quota_class_set": shown(quotas.limits(tx, quotas.FOR_ALL), call.version)}


def _class(call: Call) -> str:
    if call.path["class_name"] != CLASS:
        raise NotFound.of("Quota class", call.path["class_name"])
    return CLASS


_ONE = "/os-quota-sets/{project_id}"
_CLASS = "/os-quota-class-sets/{class_name}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/limits", limits, action="compute:limits:show", name="limits.show"),
    Route("GET", _ONE, show, action="compute:quotas:show", name="quota_sets.show"),
    Route("GET", f"{_ONE}/defaults", defaults, action="compute:quotas:show_defaults", name="quota_sets.defaults"),
    Route("GET", f"{_ONE}/detail", show_detail, action="compute:quotas:show_detail", name="quota_sets.detail"),
    Route("PUT", _ONE, change, body=QuotaBody, write=True, action="compute:quotas:update", name="quota_sets.update"),
    Route("DELETE", _ONE, forget, status=202, write=True, action="compute:quotas:delete", name="quota_sets.delete"),
    Route("GET", _CLASS, show_class, action="compute:quotas:class_get", name="quota_class_sets.show"),
    Route(
        "PUT",
        _CLASS,
        change_class,
        body=QuotaClassBody,
        write=True,
        action="compute:quotas:class_update",
        name="quota_class_sets.update",
    ),
)
