"""The Image API v2: one file a resource, each with its ROUTES."""

from pumice.api.edge.route import Route
from pumice.api.image import files, images, information, members, schemas

ROUTES: tuple[Route, ...] = (*images.ROUTES, *files.ROUTES, *members.ROUTES, *information.ROUTES, *schemas.ROUTES)
