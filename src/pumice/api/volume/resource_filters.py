"""Resource filters: GET /resource_filters (Block Storage API v3, since 3.33): by what each list can be filtered."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.api.volume.list_parameters import FILTERS, offered
from pumice.db.engine import Transaction


def listed(_tx: Transaction, call: Call) -> Any:
    asked = call.params.get("resource")
    return {
        "resource_filters": [
            {"resource": resource, "filters": offered(call, resource)}
            for resource in FILTERS
            if asked in (None, resource)
        ]
    }


ROUTES = (
    Route(
        "GET",
        "/resource_filters",
        listed,
        action="volume:get_all_resource_filters",
        since="3.33",
        name="resource_filters.list",
    ),
)
