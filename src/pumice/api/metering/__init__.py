"""The metering API v2, as python-ceilometerclient knows it: one file a resource, each with its ROUTES."""

from pumice.api.edge.route import Route
from pumice.api.metering import events, meters, samples

ROUTES: tuple[Route, ...] = (*events.ROUTES, *meters.ROUTES, *samples.ROUTES)
