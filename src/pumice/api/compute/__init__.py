"""The Compute API v2.1: one file a resource, each with its ROUTES."""

from pumice.api.compute import (
    flavors,
    hosts,
    instance_actions,
    keypairs,
    limits,
    networks,
    old_volumes,
    server_actions,
    server_create,
    server_metadata,
    server_rebuild,
    server_stages,
    server_states,
    servers,
    volume_attachments,
)
from pumice.api.edge.route import Route

ROUTES: tuple[Route, ...] = (
    *flavors.ROUTES,
    *servers.ROUTES,
    *server_create.ROUTES,
    *server_metadata.ROUTES,
    *keypairs.ROUTES,
    *server_actions.ROUTES,
    *server_states.ROUTES,
    *server_stages.ROUTES,
    *server_rebuild.ROUTES,
    *volume_attachments.ROUTES,
    *old_volumes.ROUTES,
    *instance_actions.ROUTES,
    *limits.ROUTES,
    *hosts.ROUTES,
    *networks.ROUTES,
)
