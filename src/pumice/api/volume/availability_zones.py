"""Availability zones: GET /os-availability-zone (Block Storage API v3): those in which a volume can be made now."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.block import services
from pumice.db.engine import Transaction


def listed(tx: Transaction, call: Call) -> Any:
    available: dict[str, bool] = {}
    for service in services.listed(tx, binary=services.VOLUME_BINARY):
        up = services.is_up(service, tx.now) and not service.disabled
        available[service.availability_zone] = available.get(service.availability_zone, False) or up
    return {
        "availabilityZoneInfo": [
            {"zoneName": name, "zoneState": {"available": up}} for name, up in sorted(available.items())
        ]
    }


ROUTES = (
    Route(
        "GET",
        "/os-availability-zone",
        listed,
        action="volume:availability_zone_list",
        name="availability_zones.list",
    ),
)
