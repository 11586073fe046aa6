"""Every table, one file a domain. Invariants live here: CHECKs and partial unique indexes, each with a line of English.

Times are BIGINT microseconds since the epoch (UTC). Ids are UUID texts. JSON is JSONB on PostgreSQL. A deleted row
keeps its place with `deleted_at` until retention purges it; every index of the hot paths covers live rows only.
"""

from pumice.db.schema.base import metadata
from pumice.db.schema.block import (
    attachments,
    marks,
    messages,
    pools,
    services,
    snapshots,
    volume_holds,
    volume_type_access,
    volume_types,
    volumes,
)
from pumice.db.schema.compute import (
    block_device_mappings,
    compute_hosts,
    flavors,
    instance_action_events,
    instance_actions,
    servers,
)
from pumice.db.schema.identity import (
    domains,
    generations,
    login_attempts,
    projects,
    role_assignments,
    roles,
    tokens,
    users,
)
from pumice.db.schema.images import images
from pumice.db.schema.metering import events
from pumice.db.schema.operations import (
    idempotency_keys,
    operation_resources,
    operations,
    place_owners,
    worker_sessions,
)
from pumice.db.schema.quotas import quota_class_limits, quota_limits, quota_locks

__all__ = [
    "attachments",
    "block_device_mappings",
    "compute_hosts",
    "domains",
    "events",
    "flavors",
    "generations",
    "idempotency_keys",
    "images",
    "instance_action_events",
    "instance_actions",
    "login_attempts",
    "marks",
    "messages",
    "metadata",
    "operation_resources",
    "operations",
    "place_owners",
    "pools",
    "projects",
    "quota_class_limits",
    "quota_limits",
    "quota_locks",
    "role_assignments",
    "roles",
    "servers",
    "services",
    "snapshots",
    "tokens",
    "users",
    "volume_holds",
    "volume_type_access",
    "volume_types",
    "volumes",
    "worker_sessions",
]
