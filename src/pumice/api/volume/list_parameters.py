"""What lists of the Block Storage API may be asked, and since which microversion: filters, sort keys, the count.

    page = listings.page_of_volumes(tx, call.caller, list_params(call, "volume"))

A parameter that the version does not have is left out, as unknown ones are up to 3.30. From 3.31 on a filter is refused
by name when it is unknown, or when the operator does not offer it to users (setting `resource_filters`).
GET /resource_filters tells the same.
"""

from collections.abc import Mapping
from typing import Literal

from pumice.api.edge.route import Call
from pumice.api.edge.versions import FIRST, version
from pumice.block import listings, messages
from pumice.errors import BadRequest, InvalidField

Resource = Literal["volume", "snapshot", "attachment", "message", "pool"]

FILTERS: Mapping[Resource, tuple[str, ...]] = {
    "volume": tuple(listings.VOLUMES.filters),
    "snapshot": tuple(listings.SNAPSHOTS.filters),
    "attachment": tuple(listings.ATTACHMENTS.filters),
    "message": tuple(messages.LISTING.filters),
    "pool": ("name", "volume_type"),
}
"""Every filter that there is; "name~" is the one that looks for a part of a name."""

SINCE: Mapping[Resource, Mapping[str, str]] = {
    "volume": {
        "glance_metadata": "3.4",
        "group_id": "3.10",
        "with_count": "3.45",
        "created_at": "3.60",
        "updated_at": "3.60",
        "consumes_quota": "3.65",
    },
    "snapshot": {"metadata": "3.22", "with_count": "3.45", "consumes_quota": "3.65"},
    "attachment": {"with_count": "3.45"},
    "message": dict.fromkeys(("limit", "marker", "offset", "sort", "sort_key", "sort_dir", *FILTERS["message"]), "3.5"),
    "pool": {"name": "3.28", "volume_type": "3.35"},
}
"""Parameters that came later than their list."""

LIKE_SINCE = "3.34"
SORT_SINCE: Mapping[Resource, Mapping[str, str]] = {"snapshot": {"name": "3.30"}}
REFUSED_SINCE = "3.31"

GENERAL = frozenset(
    {"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", "all_tenants", "detail"}
)
"""Parameters that are no filters."""


def list_params(call: Call, resource: Resource) -> dict[str, str]:
    """The list's parameters at this version. Raises InvalidField for a sort key, BadRequest for filters (3.31)."""
    params = {name: text for name, text in call.params.items() if _has(call, resource, name)}
    _check_sort_keys(call, resource, params)
    if call.version >= version(REFUSED_SINCE, FIRST):
        allowed = {*offered(call, resource), *GENERAL}
        refused = sorted(name for name in call.params if name not in allowed)
        if refused:
            named = ", ".join(name[:64] for name in refused[:10]) + (", ..." if len(refused) > 10 else "")
            raise BadRequest(
                f"Invalid filters {named} are found in query options;"
                f" {resource}s can be filtered by {', '.join(offered(call, resource))}."
            )
    return params


def offered(call: Call, resource: Resource) -> list[str]:
    """The filters that the caller may use at this version."""
    found = [name for name in FILTERS[resource] if _has(call, resource, name)]
    if call.caller.is_admin:
        return found
    configured = call.services.settings.resource_filters.get(resource)
    if configured is None:
        return [name for name in found if name.rstrip("~") not in listings.ADMIN_FILTERS]
    return [name for name in found if name in configured or f"{name}~" in configured]


def _has(call: Call, resource: Resource, name: str) -> bool:
    since = LIKE_SINCE if name.endswith("~") else SINCE[resource].get(name)
    return call.version >= version(since, FIRST)


def _check_sort_keys(call: Call, resource: Resource, params: Mapping[str, str]) -> None:
    for key, since in SORT_SINCE.get(resource, {}).items():
        pairs = f"{params.get('sort', '')},{params.get('sort_key', '')}".split(",")
        asked = {pair.partition(":")[0].strip() for pair in pairs}
        if key in asked and call.version < version(since, FIRST):
            raise InvalidField("sort", key, f"this sort key is known since microversion {since}")
