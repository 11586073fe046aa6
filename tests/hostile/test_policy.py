"""Every operation, by every role on every scope, to own and foreign things: the answer that the table says, no change.

An operation that changes something is tried for real only by those who may not. Those who may send it broken, or for
something that is not there, so that all there is to see is that they were let through.
"""

import msgspec
import pytest

from pumice.api.edge.face import Face
from pumice.api.edge.route import Route
from pumice.caller import new_id
from tests.hostile.answers import message_of
from tests.hostile.default_policies import POLICIES, allowed
from tests.hostile.requests import body_of, operation, send
from tests.hostile.shapes import ALIASES, example, spots
from tests.hostile.world import ROLES, SCOPES, WAYS, World, label, names_in, word_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

Way = tuple[Face, Route]

OWNED = {
    "attached_volume_id": "volume",
    "attachment_id": "attachment",
    "event_id": "event",
    "image_id": "image",
    "message_id": "message",
    "resource_id": "resource",
    "sample_id": "sample",
    "server_id": "server",
    "snapshot_id": "snapshot",
    "volume_id": "volume",
    "volume_type_id": "type",
}
"""Names of paths and bodies that stand for something that belongs to a project, or is for one only."""

FOREIGN = ("project_id", "target_id")
"""Names that stand for a project: that of another one is forbidden (403) as one that is not there."""

CALLERS = [(role, scope) for scope in SCOPES for role in ROLES]


def owned_in(face: Face, route: Route) -> list[str]:
    return [name for name in (word_of(face, name, route) for name in names_in(route)) if name in OWNED]


def test_every_operation_has_a_policy() -> None:
    """A new route needs a line in `default_policies`, a new name in its path an id in `world` or a place in OWNED."""
    operations = {operation(way) for way in WAYS}
    assert sorted(operations - set(POLICIES)) == []
    assert sorted(set(POLICIES) - operations) == []


@pytest.mark.parametrize("way", WAYS, ids=label)
def test_who_has_no_valid_token_is_told_so(world: World, way: Way) -> None:
    face, route = way
    if route.public:
        return
    faults = []
    with world.nothing_changes():
        for token in (None, world.tokens["expired", "project"], "0" * 64, "nonsense", "%00", "ü" * 8000):
            reply = send(world, way, token, world.ids, body_of(way, world.ids))
            message_of(face, reply)
            if reply.status != 401 or "www-authenticate" not in reply.headers:
                faults.append((token, reply))
    assert faults == []


@pytest.mark.parametrize("way", WAYS, ids=label)
def test_who_may_and_who_may_not(world: World, way: Way) -> None:
    face, route = way
    word = POLICIES.get(operation(way), "admin")
    faults = []
    with world.nothing_changes():
        for role, scope in CALLERS if not route.public else []:
            may, token = allowed(word, role, scope), world.tokens[role, scope]
            if not may:
                reply = send(world, way, token, world.ids, body_of(way, world.ids))
                right = reply.status == 403 and bool(message_of(face, reply))
            elif route.method == "GET":
                reply = send(world, way, token, world.ids, None)
                right = reply.status in _seen(way, role, scope)
            else:
                reply = send(world, way, token, _nothing(world), _broken(way, world))
                right = reply.status in (400, 404, 415) or reply.status < 300 or operation(way) in NOBODY
            if not right:
                faults.append(
                    f"{role} on {scope} may{'' if may else ' not'} ({word}): {reply.status} {reply.body[:200]!r}"
                )
        if word == "owner":
            assert send(world, way, world.owner, world.ids, _broken(way, world)).status == 400
    assert faults == []


def _seen(way: Way, role: str, scope: str) -> tuple[int, ...]:
    """What a GET answers that is allowed: outside of the project its things are not there, but for administrators."""
    route = way[1]
    if operation(way) in NEEDING_MORE:
        return (400,)
    if operation(way) in NOT_THERE:
        return (404,)
    if scope == "project" or role == "admin":
        return (route.status,)
    return (route.status, 403 if set(names_in(route)) & set(FOREIGN) else 404)


NEEDING_MORE = {
    **{
        f"volume GET /{path}{detail}": "the host whose pool is looked at"
        for path in ("manageable_volumes", "os-volume-manage", "manageable_snapshots", "os-snapshot-manage")
        for detail in ("", "/detail")
    },
    "compute GET /os-hypervisors/{hypervisor_id}/uptime": "it is not known here",
    "identity GET /auth/tokens": "the token to look at, in X-Subject-Token",
}
NOBODY = {"identity POST /groups": "there are no groups"}
"""What even administrators are refused."""

NOT_THERE = {
    "compute GET /servers/{server_id}/ips/{network}": "there are no networks",
    "compute GET /os-hypervisors/{hypervisor_id}/servers": "it is looked for by a part of its name",
    "compute GET /os-hypervisors/{hypervisor_id}/search": "it is looked for by a part of its name",
    "compute GET /servers/{server_id}/metadata/{key}": "the server has none",
    "compute GET /servers/{server_id}/tags/{tag}": "the server has none",
    "compute GET /os-keypairs/{keypair_name}": "the caller has none",
    "compute GET /os-aggregates/{aggregate_id}": "there are no aggregates",
    "compute GET /servers/{server_id}/os-interface/{port_id}": "there are no ports",
    "compute GET /os-networks/{network_id}": "there are no networks",
    "compute GET /flavors/{flavor_id}/os-extra_specs/{key}": "the flavor has none",
    "volume GET /clusters/{cluster_name}": "there are no clusters",
    "image GET /images/{image_id}/members/{member_id}": "the image is shared with nobody",
    "identity GET /groups/{group_id}": "there are no groups",
    "identity GET /groups/{group_id}/users": "there are no groups",
    "identity GET /projects/{project_id}/groups/{group_id}/roles": "there are no groups",
    "identity GET /domains/{domain_id}/groups/{group_id}/roles": "there are no groups",
    "identity GET /system/groups/{group_id}/roles": "there are no groups",
}


def _broken(way: Way, world: World) -> bytes | None:
    """A body that no route takes, under the key of an action."""
    if body_of(way, world.ids) is None:
        return None
    return f'{{"{way[1].key}": [[]]}}'.encode() if way[1].key else b"[[]]"  # two keys would be refused unseen


def _nothing(world: World) -> dict[str, str]:
    """Ids of nothing."""
    return {name: new_id() for name in world.ids}


@pytest.mark.parametrize("way", [way for way in WAYS if owned_in(*way)], ids=label)
def test_what_belongs_to_another_project_is_not_there(world: World, way: Way) -> None:
    """404 for who may call it, 403 for who may not; the same words, word for word, as for what is really not there."""
    face, route = way
    names, word = owned_in(face, route), POLICIES.get(operation(way), "admin")
    faults = []
    with world.nothing_changes():
        for role in ("reader", "member", "service"):
            token = world.tokens[role, "project"]
            for name in names:
                expected = 404 if allowed(word, role, "project") else 403
                theirs = world.ids | {name: world.foreign[name]}
                nobodys = world.ids | {name: new_id() if name != "sample_id" else f"{new_id()}:volume"}
                reply = send(world, way, token, theirs, body_of(way, world.ids))
                as_nothing = send(world, way, token, nobodys, body_of(way, world.ids))
                said = message_of(face, reply).replace(theirs[name], "ID")
                if reply.status != expected or said != message_of(face, as_nothing).replace(nobodys[name], "ID"):
                    faults.append((role, name, expected, reply, as_nothing))
    assert faults == []


@pytest.mark.parametrize("way", [way for way in WAYS if way[1].body is not None], ids=label)
def test_what_belongs_to_another_project_cannot_be_named_in_abody_of(world: World, way: Way) -> None:
    """Refused, word for word as what is not there."""
    face, route = way
    faults = []
    token = world.tokens["member", "project"]
    with world.nothing_changes():
        for spot in spots(route.body):
            name = ALIASES.get(spot.name, spot.name)
            if name not in OWNED or not allowed(POLICIES.get(operation(way), "admin"), "member", "project"):
                continue
            replies = []
            like = example(route.body, world.ids, spot.path)
            for identifier in (world.foreign[name], new_id()):
                reply = send(world, way, token, world.ids, spot.body(msgspec.json.encode(identifier).decode(), like))
                replies.append((reply.status, message_of(face, reply).replace(identifier, "ID")))
            if replies[0] != replies[1]:
                faults.append((spot.path, replies))
    assert faults == []
