"""The version documents of the faces, each as its clients expect it. Nobody needs a token for them."""

from typing import Any

from pumice.api.edge.links import Links
from pumice.api.edge.route import Answer
from pumice.api.edge.versions import VersionRange, shown

_UPDATED = "2026-11-21T00:00:00Z"


def _self(links: Links) -> dict[str, str]:
    return {"rel": "self", "href": f"{links.root}{links.face}{links.version}/"}


def _media(kind: str) -> list[dict[str, str]]:
    return [{"base": "application/json", "type": f"application/vnd.openstack.{kind}+json"}]


def _microversion(number: str, versions: VersionRange, links: Links, media: str) -> dict[str, Any]:
    return {
        "id": number,
        "status": "CURRENT",
        "version": shown(versions.highest),
        "min_version": shown(versions.lowest),
        "updated": _UPDATED,
        "links": [_self(links)],
        "media-types": _media(media),
    }


class BlockStorage:
    """300 at the root and 200 at /v3/, both with a list."""

    def __init__(self, versions: VersionRange) -> None:
        self._versions = versions

    def __call__(self, links: Links, versioned: bool) -> Answer:
        one = _microversion("v3.0", self._versions, links, "volume;version=3")
        return Answer(200 if versioned else 300, {"versions": [one]})


class Compute:
    """A list at the root, one object at /v2.1/."""

    def __init__(self, versions: VersionRange) -> None:
        self._versions = versions

    def __call__(self, links: Links, versioned: bool) -> Answer:
        one = _microversion("v2.1", self._versions, links, "compute;version=2.1")
        return Answer(200, {"version": one} if versioned else {"versions": [one]})


def identity(links: Links, versioned: bool) -> Answer:
    one = {
        "id": "v3.14",
        "status": "stable",
        "updated": _UPDATED,
        "links": [_self(links)],
        "media-types": _media("identity-v3"),
    }
    return Answer(200, {"version": one}) if versioned else Answer(300, {"versions": {"values": [one]}})


def image(links: Links, versioned: bool) -> Answer:
    ids = ["v2.17", *(f"v2.{minor}" for minor in range(16, -1, -1))]
    listed = [
        {"id": name, "status": "CURRENT" if index == 0 else "SUPPORTED", "links": [_self(links)]}
        for index, name in enumerate(ids)
    ]
    return Answer(200 if versioned else 300, {"versions": listed})


def metering(links: Links, versioned: bool) -> Answer:
    one = {"id": "v2", "status": "stable", "updated": _UPDATED, "links": [_self(links)], "media-types": []}
    return Answer(200, {"version": one} if versioned else {"versions": {"values": [one]}})
