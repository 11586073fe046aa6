"""Paths, queries and headers that nobody has in mind: 4xx in the face's envelope, the parameter named, no change."""

import contextlib
import http.client
from urllib.parse import quote

import pytest

from pumice.api.edge.face import Face
from pumice.api.edge.route import Route
from tests.hostile.answers import message_of
from tests.hostile.requests import body_of, content_type, once_a_path, operation, send
from tests.hostile.wire import Reply
from tests.hostile.world import FACES, WAYS, World, label, names_in, path_of, version_header

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

Way = tuple[Face, Route]

FREE = ("key", "tag", "class_name", "target_id", "project_id", "region_id", "trait_name", "meter_name", "event_type")
"""Names of paths that stand for a text, or for a project that another cloud's Keystone may know."""

STRANGE_IDS = (
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%00",
    "a%00b",
    "%ff%fe",
    "%ed%a0%80",
    "'%20OR%201=1--",
    "%22",
    "%F0%9F%A6%86",
    "%0d%0aX-Evil:%20yes",
    "n" * 3000,
    "null",
    "-1",
    "0",
    "00000000-0000-0000-0000-000000000000",
    "{volume_id}",
    "%25s%25n",
    "..",
)

GETS = [way for way in WAYS if way[1].method == "GET"]
LISTS_BELOW = ("metadata", "tags", "roles", "members", "statistics", "traits", "os-instance-actions", "detail")
"""Ends of paths that are lists though something is named in them."""


def _is_list(way: Way) -> bool:
    """It may have parameters of its own."""
    path = way[1].path
    return not names_in(way[1]) or path.endswith(LISTS_BELOW) or path == "/meters/{meter_name}"


@pytest.mark.parametrize("way", [way for way in WAYS if set(names_in(way[1])) - set(FREE)], ids=label)
def test_an_id_that_is_none_is_not_there(world: World, way: Way) -> None:
    face, route = way
    headers = {"X-Auth-Token": world.admin, **version_header(face, route)}
    body = body_of(way, world.ids)
    if body is not None:
        headers["Content-Type"] = content_type(way)
    faults = []
    with world.nothing_changes():
        for name in set(names_in(route)) - set(FREE):
            for strange in STRANGE_IDS:
                marked = path_of(face, route, {**world.ids, **_other_words(name, "\0")})
                reply = world.wire.send(route.method, marked.replace("\0", strange), headers, body)
                message = message_of(face, reply)
                right = (400, 401, 403, 404) if route.path.endswith("/password") else (400, 403, 404)
                if reply.status not in right or "%00" in message or "x-evil" in reply.headers:
                    faults.append((name, strange[:40], reply))
    assert faults == []


def _other_words(name: str, text: str) -> dict[str, str]:
    """The text under every name that the world has for that name of a path."""
    words = {"volume_id": "attached_volume_id", "message_id": "event_id", "key": "spec"}
    return {name: text, words.get(name, name): text}


@pytest.mark.parametrize("way", [way for way in WAYS if set(names_in(way[1])) & set(FREE)], ids=label)
def test_a_free_text_in_a_path_is_never_an_accident(world: World, way: Way) -> None:
    face, route = way
    if route.method != "GET":
        return
    with world.nothing_changes():
        for name in set(names_in(route)) & set(FREE):
            for strange in STRANGE_IDS:
                marked = path_of(face, route, {**world.ids, **_other_words(name, "\0")}).replace("\0", strange)
                reply = world.ask("GET", marked, world.admin, None, **version_header(face, route))
                assert reply.status < 500, (strange, reply)
                if reply.status >= 400:
                    message_of(face, reply)


MANY = ",".join(["gt:2026-01-01T00:00:00"] * 2000)
NUMBERS = ("-1", "abc", "1e3", "1.5", "9" * 40, "%EF%BC%91", "0x10", "%20", "1%00")
QUERIES: dict[str, tuple[str, ...]] = {
    "limit": NUMBERS,
    "offset": NUMBERS,
    "marker": ("%00", "%ff", "';DROP%20TABLE%20volumes", "n" * 5000, "%F0%9F%A6%86", "../.."),
    "sort": ("nonsense", "name:sideways", "name:asc:desc", ",", ":", "id:", "metadata:asc", "%00", "name:asc," * 2000),
    "sort_key": ("nonsense", "project_id;--", ",", "%ff"),
    "sort_dir": ("sideways", "asc,desc,asc", "%00"),
    "created_at": ("yesterday", "gt:", "gt:99999-01-01T00:00:00", "nonsense:2026-01-01", "%00", "2026-02-30", MANY),
    "updated_at": ("yesterday", "lt:-1"),
    "changes-since": ("yesterday", "0000", "99999-01-01", "%00"),
    "changes-before": ("yesterday",),
    "all_tenants": ("maybe", "%00"),
    "with_count": ("maybe", "2"),
    "deleted": ("maybe",),
    "bootable": ("maybe", "%ff"),
    "is_public": ("maybe",),
    "usage": ("maybe",),
    "status": ("%00", "n" * 5000, "in:" + "error," * 5000),
    "size": ("many", "9" * 40, "-1"),
    "metadata": ("{", "{'a'", "nonsense", "%00", "[" * 3000, "__import__('os')"),
    "name": ("%00", "%ff", "%ed%a0%80", "n" * 20000),
    "tags": ("t," * 3000,),
    "tags-any": (",".join(f"t{number}" for number in range(3000)),),
    "not-tags": ("t," * 3000,),
    "minRam": ("many", "9" * 40),
    "minDisk": ("-", "1e5"),
    "size_min": ("many",),
    "visibility": ("%00",),
    "enabled": ("maybe",),
    "q.op": ("like", "%00"),
    "q.field": ("", "%00", "a'b", "n" * 500),
    "q.value": ("lonely",),
    "groupby": ("nonsense", "%00"),
    "period": ("-1", "many", "9" * 40),
    "aggregate.func": ("nonsense", "%00"),
    "%00": ("1",),
    "%ff": ("1",),
    "n" * 2000: ("1",),
}
REFUSED = {"limit": ("-1", "abc", "1e3", "1.5"), "sort_key": ("nonsense",), "sort_dir": ("sideways",)}
"""What every list that has pages refuses, naming it."""

PAGED = {
    "volume GET /volumes",
    "volume GET /volumes/detail",
    "volume GET /snapshots",
    "volume GET /snapshots/detail",
    "volume GET /attachments",
    "volume GET /attachments/detail",
    "volume GET /types",
    "volume GET /messages",
    "image GET /images",
    "compute GET /servers",
    "compute GET /servers/detail",
    "compute GET /flavors",
    "compute GET /flavors/detail",
}


ODD = ("=&&&==&?", "&".join(f"a{number}=1" for number in range(3000)), "limit=1&limit=abc", "%", "%zz=%")
ALL_AT_ONCE = [
    "&".join(f"{name}={texts[turn]}" for name, texts in QUERIES.items() if turn < len(texts) and "%00" not in name)
    for turn in range(max(map(len, QUERIES.values())))
]
"""The same in a few requests: one of each parameter's texts at a time."""


@pytest.mark.parametrize("way", [way for way in GETS if _is_list(way)], ids=label)
def test_a_query_of_nonsense_is_refused_or_does_not_matter(world: World, way: Way) -> None:
    face, route = way
    path, faults = path_of(face, route, world.ids), []
    plain = send(world, way, world.admin, world.ids, None)
    with world.nothing_changes():
        queries = [(name, text, f"{name}={text}") for name, texts in QUERIES.items() for text in texts]
        for name, text, query in [*queries, *(("", "", text) for text in ODD)]:
            reply = world.ask("GET", f"{path}?{query}", world.admin, None, **version_header(face, route))
            wrong = "" if _same_refusal(face, reply, plain) else _wrong(face, reply, name)
            if not wrong and operation(way) in PAGED and text in REFUSED.get(name, ()) and reply.status != 400:
                wrong = f"{reply.status} instead of 400"
            if wrong:
                faults.append((query[:80], wrong))
    assert faults == []


@pytest.mark.parametrize("way", [way for way in GETS if not _is_list(way)], ids=label)
def test_a_query_of_nonsense_to_one_thing_is_refused_or_does_not_matter(world: World, way: Way) -> None:
    face, route = way
    path = path_of(face, route, world.ids)
    with world.nothing_changes():
        for query in (*ALL_AT_ONCE, *ODD):
            reply = world.ask("GET", f"{path}?{query}", world.admin, None, **version_header(face, route))
            assert reply.status < 400 or message_of(face, reply), (query[:80], reply)


def _same_refusal(face: Face, reply: Reply, plain: Reply) -> bool:
    """What is refused whatever the query says."""
    refused = 400 <= plain.status < 500 and reply.status == plain.status
    return refused and message_of(face, reply) == message_of(face, plain)


def _wrong(face: Face, reply: Reply, name: str) -> str:
    """What is wrong with the answer to a query with that parameter, if anything."""
    if reply.status < 400:
        return ""
    message = message_of(face, reply)
    encoding = "UTF-8" in message or "NUL" in message
    other = encoding or "%" in name or not name or "X-Subject-Token" in message
    named = other or name.partition("_")[0][:64] in message
    return "" if reply.status != 400 or named else f"{name!r} is not named: {message}"


@pytest.mark.parametrize("way", once_a_path(WAYS), ids=label)
def test_another_method_is_refused_naming_those_there_are(world: World, way: Way) -> None:
    face, route = way
    path = path_of(face, route, world.ids)
    there = {one.method for one in face.routes if one.path == route.path} | {"HEAD", "OPTIONS"}
    with world.nothing_changes():
        for method in {"PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - there:
            reply = world.ask(method, path, world.admin, None, **version_header(face, route))
            assert reply.status in (404, 405), (method, reply)
            message_of(face, reply)
            if reply.status == 405:
                assert route.method in reply.headers["allow"], reply


@pytest.mark.parametrize("way", GETS, ids=label)
def test_a_body_where_none_belongs_does_not_matter(world: World, way: Way) -> None:
    with world.nothing_changes():
        plain = send(world, way, world.admin, world.ids, None)
        for body in (b"{", b'{"volume": {"size": 1}}', b"\xff" * 100_000):
            assert send(world, way, world.admin, world.ids, body).status in (plain.status, 413)


VERSIONS = ("volume", "volume 3", "volume 3.999", "volume 2.0", "volume -1.0", "volume 3.0.0", "volume 3.x", "volume ")


@pytest.mark.parametrize("service", ["volume", "compute"])
def test_a_microversion_that_is_none_is_refused(world: World, service: str) -> None:
    face = FACES[service]
    path = f"/{face.name}/{face.version}/limits"
    high = "9" * 5000
    asked = (*VERSIONS, "volume 3.\xb2", f"volume {high}.0", f"volume 3.{high}", "volume \xff.\xff")
    for text in asked:
        words = text.replace("volume", service)
        reply = world.ask("GET", path, world.admin, OpenStack_API_Version=words)
        assert reply.status in (200, 400, 406), (text, reply)
        if reply.status == 200:
            assert len(words.split()) != 2, f"{words!r} was taken for {reply.headers['openstack-api-version']}"
        else:
            message_of(face, reply)
    for text in ("nonsense", "2", "2.", ".1", "2.99999999999999999999", "\xff"):
        reply = world.ask("GET", "/compute/v2.1/limits", world.admin, X_OpenStack_Nova_API_Version=text)
        assert reply.status in (400, 406), (text, reply)


def test_a_service_token_that_is_none_is_refused(world: World) -> None:
    with world.nothing_changes():
        for text in ("nonsense", "0" * 64, "\xff\xfe", "n" * 20000, world.tokens["expired", "project"]):
            reply = world.ask("GET", "/volume/v3/volumes", world.admin, X_Service_Token=text)
            assert reply.status == 401, (text[:80], reply)
            message_of(FACES["volume"], reply)


def test_an_idempotency_key_that_is_none_is_refused(world: World) -> None:
    with world.nothing_changes():
        for text in ("", " ", "k" * 256, "\xff\x80", "a\tb"):
            reply = world.ask(
                "POST", "/volume/v3/volumes", world.admin, b'{"volume": {"size": 1}}', Idempotency_Key=text
            )
            assert reply.status == 400 and "Idempotency-Key" in message_of(FACES["volume"], reply), (text, reply)


def test_headers_of_proxies_and_caches_are_no_way_in(world: World) -> None:
    """Nobody is a trusted proxy here: what such headers say is not believed, and never an accident."""
    plain = world.ask("GET", "/volume/v3/volumes/detail", world.admin)
    strange = (
        "evil.example",
        "evil.example, other",
        '"><script>',
        "\xff",
        "https",
        "h" * 5000,
        "127.0.0.1",
        "for=evil",
    )
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix")
    for name in (*names, "Forwarded", "If-Match", "If-None-Match", "If-Modified-Since", "Range", "Origin", "Cookie"):
        for text in strange:
            reply = world.ask("GET", "/volume/v3/volumes/detail", world.admin, None, **{name: text})
            assert (reply.status, reply.body) == (plain.status, plain.body), (name, text)


@pytest.mark.parametrize(
    "text",
    ["bytes=9-1", "bytes=-0", "bytes=0-1,3-4", "bytes=a-b", "items=0-1", "bytes=99999-", "=", "\xff", "b" * 5000],
)
def test_a_range_that_is_none_of_the_data_is_refused(world: World, text: str) -> None:
    path = f"/image/v2/images/{world.ids['image_id']}/file"
    reply = world.ask("GET", path, world.admin, Range=text)
    assert reply.status in (400, 416), reply
    message_of(FACES["image"], reply)


def test_a_request_that_is_no_http_is_refused_and_the_next_one_is_answered(world: World) -> None:
    with world.nothing_changes():
        for target in (b"/volume/v3/\xff\xfe", b"nonsense", b"/volume/v3/" + b"a" * 60_000, b"http://[::1/x", b"*"):
            assert 400 <= world.wire.send("GET", target, {"X-Auth-Token": world.admin}).status < 500, target
        for length in (10, 10_000_000):
            sent = {"X-Auth-Token": world.admin, "Content-Type": "application/json"}
            with contextlib.suppress(http.client.RemoteDisconnected):  # who hangs up need not be answered
                reply = world.wire.send("POST", "/volume/v3/volumes", sent, b'{"volume', length=length)
                assert reply.status in (400, 413), reply
        assert world.ask("GET", "/volume/v3/volumes", world.admin).status == 200


def test_strange_ids_are_written_as_a_client_would_send_them() -> None:
    """The list above is what reaches the edge: a path that a client made from such a text would look the same."""
    assert quote("\0", safe="") in STRANGE_IDS and quote("..", safe="").replace(".", "%2e") in STRANGE_IDS
