"""Limits: GET /limits (Block Storage API v3, "Limits"): what the project may have, and has."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.block import quotas
from pumice.db.engine import Transaction

ABSOLUTE = {
    "volumes": ("maxTotalVolumes", "totalVolumesUsed"),
    "snapshots": ("maxTotalSnapshots", "totalSnapshotsUsed"),
    "gigabytes": ("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    "backups": ("maxTotalBackups", "totalBackupsUsed"),
    "backup_gigabytes": ("maxTotalBackupGigabytes", "totalBackupGigabytesUsed"),
}


def show(tx: Transaction, call: Call) -> Any:
    """Administrators may ask for another project's (since 3.39)."""
    project_id = call.caller.project_id or ""
    if call.caller.is_admin and call.version >= (3, 39):
        project_id = call.params.get("project_id") or call.params.get("tenant_id") or project_id
    found = quotas.of_project(tx, project_id)
    absolute = {}
    for resource, (maximum, used) in ABSOLUTE.items():
        absolute[maximum] = found[resource].limit
        absolute[used] = found[resource].in_use
    return {"limits": {"rate": [], "absolute": absolute}}


ROUTES = (Route("GET", "/limits", show, action="limits_extension:used_limits", name="limits.show"),)
