"""A request of each route as somebody would send it who has nothing bad in mind."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pumice.api.edge.face import Face
from pumice.api.edge.route import Route
from tests.hostile.default_policies import POLICIES
from tests.hostile.shapes import example
from tests.hostile.wire import Reply
from tests.hostile.world import World, path_of, version_header

Way = tuple[Face, Route]


def operation(way: Way) -> str:
    """ "volume POST /volumes/{volume_id}/action os-extend": the name of what is done, in all microversions."""
    face, route = way
    return " ".join(filter(None, (face.name, route.method, route.path, route.key)))


def once_a_path(ways: Sequence[Way]) -> list[Way]:
    """One route for each path, method and window: what the edge does before it knows which action is asked for."""
    found: dict[object, Way] = {}
    for face, route in ways:
        found.setdefault((face.name, route.method, route.path, route.window(), route.max_body), (face, route))
    return list(found.values())


BODIES: Mapping[str, Any] = {
    "volume PUT /volumes/{volume_id}": {"volume": {"name": "new"}},
    "volume PUT /volumes/{volume_id}/metadata/{key}": {"meta": {"colour": "new"}},
    "volume POST /volumes/{volume_id}/action os-initialize_connection": {
        "os-initialize_connection": {"connector": {"host": "node1"}}
    },
    "volume POST /volumes/{volume_id}/action os-terminate_connection": {
        "os-terminate_connection": {"connector": {"host": "node1"}}
    },
    "volume PUT /snapshots/{snapshot_id}": {"snapshot": {"name": "new"}},
    "volume PUT /snapshots/{snapshot_id}/metadata/{key}": {"meta": {"colour": "new"}},
    "volume POST /attachments/{attachment_id}/action os-complete": {"os-complete": {}},
    "compute PUT /servers/{server_id}/metadata/{key}": {"meta": {"colour": "new"}},
    "compute POST /servers/{server_id}/action reboot": {"reboot": {"type": "SOFT"}},
    "image PATCH /images/{image_id}": [{"op": "replace", "path": "/name", "value": "new"}],
    "image POST /images": {"name": "new"},
    "image PUT /images/{image_id}/file": {},
    "image PUT /images/{image_id}/stage": {},
    "image POST /images/{image_id}/import": {"method": {"name": "web-download"}},
}
"""Bodies of which the type alone does not tell what they need."""


def body_of(way: Way, ids: Mapping[str, str]) -> bytes | None:
    """A body that the route takes; None where none belongs."""
    route = way[1]
    if operation(way) == "volume POST /volumes/{volume_id}/action os-attach":
        return msgspec.json.encode({"os-attach": {"instance_uuid": ids["server_id"], "mountpoint": "/dev/vdb"}})
    if operation(way) in BODIES:
        return msgspec.json.encode(BODIES[operation(way)])
    return None if route.body is None else msgspec.json.encode(example(route.body, ids))


def send(world: World, way: Way, token: str | None, ids: Mapping[str, str], body: bytes | None) -> Reply:
    """The route's request for those ids, in its newest microversion."""
    face, route = way
    headers = version_header(face, route)
    if body is not None:
        headers["Content-Type"] = content_type(way)
    if token is not None:
        headers["X-Auth-Token"] = token
    return world.wire.send(route.method, path_of(face, route, ids), headers, body)


def asker(world: World, way: Way) -> str:
    """The token of somebody who may: an administrator, or where not even they may, whom it belongs to."""
    return world.owner if POLICIES.get(operation(way)) == "owner" else world.admin


def content_type(way: Way) -> str:
    face, route = way
    if face.name == "image" and route.method == "PATCH":
        return "application/openstack-images-v2.1-json-patch"
    return "application/octet-stream" if route.path.endswith("/file") else "application/json"
