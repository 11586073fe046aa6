"""The Identity API v3: one file a resource, each with its ROUTES."""

from pumice.api.edge.route import Route
from pumice.api.identity import (
    access_rules,
    application_credentials,
    catalogue,
    domains,
    groups,
    projects,
    roles,
    tokens,
    users,
)

ROUTES: tuple[Route, ...] = (
    *tokens.ROUTES,
    *domains.ROUTES,
    *projects.ROUTES,
    *users.ROUTES,
    *roles.ROUTES,
    *application_credentials.ROUTES,
    *access_rules.ROUTES,
    *catalogue.ROUTES,
    *groups.ROUTES,
)
