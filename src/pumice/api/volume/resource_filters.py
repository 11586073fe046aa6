"""Resource filters: GET /resource_filters (Block Storage API v3, since 3.33): by what each list can be filtered."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.block import listings
from pumice.db.engine import Transaction

FILTERS = {
    "volume": tuple(listings.VOLUMES.filters),
    "snapshot": tuple(listings.SNAPSHOTS.filters),
    "attachment": tuple(listings.ATTACHMENTS.filters),
    "message": ("resource_uuid", "resource_type", "event_id", "request_id", "message_level"),
    "pool": ("name", "volume_type"),
}


def listed(_tx: Transaction, call: Call) -> Any:
    asked = call.params.get("resource")
    shown = {name: filters for name, filters in FILTERS.items() if asked in (None, name)}
    return {"resource_filters": [{"resource": name, "filters": list(filters)} for name, filters in shown.items()]}


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
