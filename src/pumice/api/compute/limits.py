"""What a project may use and uses: /limits, /os-quota-sets/{project}. Servers are not limited: -1."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.compute import servers
from pumice.db.engine import Transaction
from pumice.errors import Forbidden

UNLIMITED = -1
QUOTAS = ("instances", "cores", "ram", "metadata_items", "key_pairs", "server_groups", "server_group_members")


def limits(tx: Transaction, call: Call) -> Any:
    asked = call.params.get("tenant_id")
    if asked and asked != call.caller.project_id and not call.caller.is_admin:
        raise Forbidden("Limits of another project are shown to administrators only.")
    used = servers.totals(tx, asked or call.caller.project_id or "")
    absolute = {
        "maxTotalInstances": UNLIMITED,
        "maxTotalCores": UNLIMITED,
        "maxTotalRAMSize": UNLIMITED,
        "maxServerMeta": UNLIMITED,
        "maxTotalKeypairs": 0,
        "maxServerGroups": 0,
        "maxServerGroupMembers": 0,
        "totalInstancesUsed": used.servers,
        "totalCoresUsed": used.vcpus,
        "totalRAMUsed": used.memory_mib,
        "totalServerGroupsUsed": 0,
    }
    if call.version < (2, 36):
        names = ("maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules")
        absolute |= dict.fromkeys((*names, "totalFloatingIpsUsed", "totalSecurityGroupsUsed"), 0)
    if call.version < (2, 39):
        absolute["maxImageMeta"] = UNLIMITED
    if call.version < (2, 57):
        absolute |= {"maxPersonality": 0, "maxPersonalitySize": 0}
    return {"limits": {"rate": [], "absolute": absolute}}


def quotas(_tx: Transaction, call: Call) -> Any:
    return {"quota_set": {"id": call.path["project_id"], **dict.fromkeys(QUOTAS, UNLIMITED)}}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/limits", limits, action="compute:limits:show", name="limits.show"),
    Route("GET", "/os-quota-sets/{project_id}", quotas, action="compute:quotas:show", name="quota_sets.show"),
    Route(
        "GET",
        "/os-quota-sets/{project_id}/defaults",
        quotas,
        action="compute:quotas:show_defaults",
        name="quota_sets.defaults",
    ),
)
