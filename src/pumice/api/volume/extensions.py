"""Extensions: GET /extensions (Block Storage API v3): the parts of the API that older clients look for by alias."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.db.engine import Transaction

ALIASES = {
    "os-availability-zone": "AvailabilityZones",
    "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes",
    "os-admin-actions": "AdminActions",
    "os-hosts": "Hosts",
    "os-quota-class-sets": "QuotaClasses",
    "os-quota-sets": "Quotas",
    "os-services": "Services",
    "os-snapshot-actions": "SnapshotActions",
    "os-snapshot-manage": "SnapshotManage",
    "os-snapshot-unmanage": "SnapshotUnmanage",
    "os-types-extra-specs": "TypesExtraSpecs",
    "os-types-manage": "TypesManage",
    "os-used-limits": "UsedLimits",
    "os-vol-host-attr": "VolumeHostAttribute",
    "os-vol-image-meta": "VolumeImageMetadata",
    "os-vol-mig-status-attr": "VolumeMigStatusAttribute",
    "os-vol-tenant-attr": "VolumeTenantAttribute",
    "os-volume-actions": "VolumeActions",
    "os-volume-manage": "VolumeManage",
    "os-volume-type-access": "VolumeTypeAccess",
    "os-volume-unmanage": "VolumeUnmanage",
    "scheduler-stats": "Scheduler_stats",
    "capabilities": "Capabilities",
}


def listed(tx: Transaction, call: Call) -> Any:
    return {
        "extensions": [
            {
                "alias": alias,
                "name": name,
                "description": f"{name} of the Block Storage API.",
                "updated": "2026-11-21T00:00:00+00:00",
                "links": [],
            }
            for alias, name in ALIASES.items()
        ]
    }


ROUTES = (Route("GET", "/extensions", listed, action="volume:extensions", name="extensions.list"),)
