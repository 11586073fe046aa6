"""The Block Storage API v3: one file a resource, each with its ROUTES."""

from pumice.api.edge.route import Route
from pumice.api.volume import (
    attachments,
    availability_zones,
    extensions,
    limits,
    messages,
    pools,
    quota_classes,
    quotas,
    services,
    snapshots,
    type_access,
    type_extra_specs,
    types,
    volume_actions,
    volume_metadata,
    volumes,
)

ROUTES: tuple[Route, ...] = (
    *volumes.ROUTES,
    *volume_metadata.ROUTES,
    *volume_actions.ROUTES,
    *snapshots.ROUTES,
    *attachments.ROUTES,
    *types.ROUTES,
    *type_extra_specs.ROUTES,
    *type_access.ROUTES,
    *quotas.ROUTES,
    *quota_classes.ROUTES,
    *limits.ROUTES,
    *messages.ROUTES,
    *services.ROUTES,
    *pools.ROUTES,
    *availability_zones.ROUTES,
    *extensions.ROUTES,
)
