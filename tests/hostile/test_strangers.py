"""Nothing that one project reads tells anything of another one: lists, counts, summaries, limits, filters, markers.

The one who looks is a member of one project; the stranger has things in another, all named `foreign-...`.
"""

from urllib.parse import quote, urlencode

import msgspec
import pytest

from pumice.api.edge.face import Face
from pumice.api.edge.route import Route
from pumice.caller import new_id
from tests.hostile.default_policies import POLICIES, allowed
from tests.hostile.requests import operation, send
from tests.hostile.world import FACES, WAYS, World, label, path_of, version_header

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

Way = tuple[Face, Route]

READS = [
    (face, route)
    for face, route in WAYS
    if route.method == "GET" and allowed(POLICIES.get(operation((face, route)), "admin"), "member", "project")
]
LISTS = [way for way in READS if "{" not in way[1].path or "{meter_name}" in way[1].path]

FILTERS = (
    "id",
    "volume_id",
    "snapshot_id",
    "source_volid",
    "instance_id",
    "attachment_id",
    "image_id",
    "resource_uuid",
    "request_id",
    "volume_type",
    "volume_type_id",
    "project_id",
    "tenant_id",
    "user_id",
    "owner",
    "member_status",
    "name",
    "name~",
    "host",
    "host_name",
    "metadata",
    "marker",
    "resource_id",
    "project",
    "user",
    "changes-since",
)
"""Every parameter that may name a thing, a project or a person."""


def _foreign_words(world: World) -> list[str]:
    """What must never be shown to the member of the other project."""
    shared = set(world.ids.values())
    return [*(text for text in world.foreign.values() if text not in shared), "foreign-", world.stranger.user_id]


def _read(world: World, way: Way, query: str = "") -> tuple[int, str]:
    face, route = way
    headers = {"X-Auth-Token": world.tokens["member", "project"], **version_header(face, route)}
    reply = world.wire.send("GET", path_of(face, route, world.ids) + query, headers)
    return reply.status, reply.body.decode()


@pytest.mark.parametrize("way", READS, ids=label)
def test_no_answer_names_a_strangers_thing(world: World, way: Way) -> None:
    queries = ("", "?all_tenants=1", "?all_tenants=true&with_count=true", "?visibility=all", "?is_public=none")
    for query in queries:
        status, text = _read(world, way, query)
        assert status < 500
        assert [word for word in _foreign_words(world) if word in text] == [], (query, text)


@pytest.mark.parametrize("way", LISTS, ids=label)
def test_a_filter_by_a_strangers_thing_finds_what_a_filter_by_nothing_finds(world: World, way: Way) -> None:
    """Also as a marker, and in the syntax of metering: the answers are the same, word for word."""
    some = [world.foreign["volume_id"], world.stranger.project_id, "foreign-volume"]
    every = sorted({*_foreign_words(world), "foreign-volume", "foreign-type"} - {"foreign-"})
    differences = []
    for name in FILTERS:
        nothing = _sought(world, way, name, new_id())
        for text in every if name in ("id", "marker") else some:
            found = _sought(world, way, name, text)
            if found != nothing:
                differences.append((name, text, found, nothing))
    assert differences == []


def _sought(world: World, way: Way, name: str, text: str) -> tuple[int, str]:
    """The answer to a list by that parameter, with another word in place of what was sent."""
    if way[0].name == "metering" and name != "marker":
        query = {"q.field": name, "q.op": "eq", "q.value": text}
    else:
        query = {name: f"{{'k': '{text}'}}" if name == "metadata" else text, "all_tenants": "1", "with_count": "true"}
    status, body = _read(world, way, "?" + urlencode(query))
    return status, body.replace(text, "SENT").replace(quote(text), "SENT")


def test_what_a_stranger_does_changes_no_answer(world: World) -> None:
    """Lists, counts, summaries, limits, quotas, events and samples stay what they were, to the last byte."""
    world.settle()
    before = {label(way): _read(world, way) for way in READS}
    volume = world.stranger.volume(name="foreign-later", size=3)
    world.stranger.snapshot(volume, name="foreign-later")
    world.served.server(world.stranger)
    world.settle()
    changed = [name for name, answer in before.items() if answer != _read(world, _way(name))]
    assert changed == []
    status, text = _read(world, _way("volume GET /volumes/detail"))
    assert status == 200 and "own-volume" in text


def _way(name: str) -> Way:
    return next(way for way in READS if label(way) == name)


def test_a_query_over_samples_never_leaves_the_project(world: World) -> None:
    face = FACES["metering"]
    way = next((face, route) for route in face.routes if route.path == "/query/samples")
    for wanted in ({"=": {"project_id": world.stranger.project_id}}, {"!=": {"project_id": world.own.project_id}}):
        either = {"or": [wanted, {"not": {"=": {"resource": world.foreign["volume_id"]}}}]}
        for tree in (wanted, either):
            body = msgspec.json.encode({"filter": msgspec.json.encode(tree).decode(), "limit": 1000})
            reply = send(world, way, world.tokens["member", "project"], world.ids, body)
            assert reply.status == 200, reply
            samples = reply.json()
            assert {sample["metadata"].get("tenant_id", world.own.project_id) for sample in samples} <= {
                world.own.project_id
            }
            assert not any(word in reply.body.decode() for word in _foreign_words(world))
            assert samples or tree is wanted
