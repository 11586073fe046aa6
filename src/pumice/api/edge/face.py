"""A face: the routes below one prefix, with its envelope, microversions and version documents.

Paths of a face are `/<name>/<version>[/<project id>]/<route's path>`. Doubled slashes before the route's path do not
matter; after it an empty segment is 404 (an empty id), but for faces that take a slash at the end.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pumice.api.edge.envelopes import Envelope
from pumice.api.edge.headers import Headers
from pumice.api.edge.links import Links
from pumice.api.edge.route import Answer, Route
from pumice.api.edge.router import Router
from pumice.api.edge.versions import LAST, Microversion, VersionRange

_IDENTIFIER = re.compile(r"^[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")

Discovery = Callable[[Links, bool], Answer]
"""`discovery(links, versioned)`: the document of the face's root, or of its version's root."""


@dataclass(slots=True)
class Face:
    """One HTTP face."""

    name: str
    """"volume": the first segment of its paths."""
    version: str
    """"v3": the second."""
    routes: Sequence[Route]
    envelope: Envelope
    discovery: Discovery
    project_in_path: bool = False
    """True: a project id may stand behind the version."""
    versions: VersionRange | None = None
    slash_at_end: bool = False
    """True: a slash at the end of a path does not matter."""
    request_id_headers: tuple[bytes, ...] = (b"x-openstack-request-id",)
    no_store: bool = False
    """True: answers must not be cached (they hold tokens)."""
    router: Router = field(init=False)

    def __post_init__(self) -> None:
        self.router = Router(self.routes)

    @property
    def lowest(self) -> tuple[int, int]:
        return self.versions.lowest if self.versions else LAST

    def asked(self, headers: Headers) -> Microversion:
        """The microversion that a request asks for. Raises what `VersionRange.asked` does."""
        versions = self.versions
        if versions is None:
            return LAST
        legacy = headers.get(versions.legacy_header) if versions.legacy_header else None
        return versions.asked(headers.get("openstack-api-version"), legacy)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a face a path leads."""

    versioned: bool
    """False: the face's own root."""
    project: str | None
    segments: list[str] | None
    """Of the route's path; None: the root of the version or face."""


def locate(face: Face, segments: list[str]) -> Place | None:
    """The place of the path's segments behind the face's name; None for another version."""
    rest = 0
    while rest < len(segments) and not segments[rest]:
        rest += 1
    if rest == len(segments):
        return Place(False, None, None)
    if segments[rest:] == ["versions"]:
        return Place(True, None, None)  # glance asks here, and takes no 300 below a prefix
    if segments[rest] != face.version:
        return None
    rest += 1
    while rest < len(segments) and not segments[rest]:
        rest += 1
    left = segments[rest:]
    if not left:
        return Place(True, None, None)
    project = None
    if face.project_in_path and left[0] not in face.router.first_literals and _may_be_project(left):
        project, left = left[0], left[1:]
        while len(left) > 1 and not left[0]:
            left = left[1:]
    if face.slash_at_end:
        left = [segment for segment in left if segment]
    return Place(True, project, left)


def _may_be_project(left: list[str]) -> bool:
    """An id, or any word with something behind it: then the caller is told that it is not their project."""
    return len(left) > 1 or _IDENTIFIER.match(left[0]) is not None
