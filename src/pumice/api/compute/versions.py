"""Which compute API this is: the version documents (no token needed) and the range of microversions."""

from typing import Any

from pumice.api.edge.links import Links
from pumice.api.edge.route import Answer
from pumice.api.edge.versions import VersionRange, shown

VERSIONS = VersionRange("compute", (2, 1), (2, 101), legacy_header="x-openstack-nova-api-version")


def discovery(links: Links, versioned: bool) -> Answer:
    """The document of the root (all versions), or that of v2.1."""
    document: dict[str, Any] = {
        "id": "v2.1",
        "status": "CURRENT",
        "version": shown(VERSIONS.highest),
        "min_version": shown(VERSIONS.lowest),
        "updated": "2026-11-21T00:00:00Z",
        "links": [{"rel": "self", "href": links.url("/")}],
    }
    if not versioned:
        return Answer(200, {"versions": [document]})
    media = {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
    return Answer(200, {"version": {**document, "media-types": [media]}})
