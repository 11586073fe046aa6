"""Every table, one file a domain. Invariants live here: CHECKs and partial unique indexes, each with a line of English.

Times are BIGINT microseconds since the epoch (UTC). Ids are UUID texts. JSON is JSONB on PostgreSQL. A deleted row
keeps its place with `deleted_at` until retention purges it; every index of the hot paths covers live rows only.
"""

from pumice.db.schema.base import metadata
from pumice.db.schema.block import (
    attachments,
    default_volume_types,
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
    compute_quota_limits,
    flavors,
    instance_action_events,
    instance_actions,
    keypairs,
    servers,
)
from pumice.db.schema.identity import (
    access_rules,
    application_credential_roles,
    application_credential_rules,
    application_credentials,
    domains,
    generations,
    login_attempts,
    project_tags,
    projects,
    role_assignments,
    roles,
    tokens,
    users,
)
from pumice.db.schema.images import image_members, images
from pumice.db.schema.logs import log_levels, log_reports
from pumice.db.schema.metering import events
from pumice.db.schema.operations import (
    idempotency_keys,
    is_live,
    operation_resources,
    operations,
    place_owners,
    worker_sessions,
)
from pumice.db.schema.quotas import quota_class_limits, quota_limits, quota_locks
from pumice.db.schema.retention import purges, usage_audits

__all__ = [
    "access_rules",
    "application_credential_roles",
    "application_credential_rules",
    "application_credentials",
    "attachments",
    "block_device_mappings",
    "compute_hosts",
    "compute_quota_limits",
    "default_volume_types",
    "domains",
    "events",
    "flavors",
    "generations",
    "idempotency_keys",
    "image_members",
    "images",
    "instance_action_events",
    "instance_actions",
    "is_live",
    "keypairs",
    "log_levels",
    "log_reports",
    "login_attempts",
    "marks",
    "messages",
    "metadata",
    "operation_resources",
    "operations",
    "place_owners",
    "pools",
    "project_tags",
    "projects",
    "purges",
    "quota_class_limits",
    "quota_limits",
    "quota_locks",
    "role_assignments",
    "roles",
    "servers",
    "services",
    "snapshots",
    "tokens",
    "usage_audits",
    "users",
    "volume_holds",
    "volume_type_access",
    "volume_types",
    "volumes",
    "worker_sessions",
]
