"""Bodies that are certainly wrong, made from the type of each route's body: 4xx naming the field, nothing changed."""

from typing import Any

import pytest

from pumice.api.edge.face import Face
from pumice.api.edge.route import Route
from tests.hostile.answers import message_of
from tests.hostile.requests import asker, once_a_path
from tests.hostile.shapes import example, spots, structs, wrong
from tests.hostile.world import WAYS, World, label, path_of, version_header, version_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

Way = tuple[Face, Route]

WITH_BODY = [way for way in WAYS if way[1].body is not None]
DEEP = 8_000


MALFORMED = {
    "truncated": b'{"a": {"b": "c',
    "no text": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a NUL byte": b'{"a": "\x00"}',
    "two documents": b'{"a": 1}{"b": 2}',
    "a comma at the end": b'{"a": 1,}',
    "not a number": b'{"a": NaN}',
    "an endless number": b'{"a": ' + b"9" * 5000 + b"}",
    "beyond every float": b'{"a": 1e999999}',
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "XML": b"<volume size='1'/>",
    "a form": b"size=1&name=x",
    "only blanks": b"  \n ",
}
OTHER_TYPES = ("text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense", "")
SCALARS = (b"null", b"true", b"7", b'"text"', b"[]", b"[{}]", b'[["a", "b"]]')


def _refused(
    world: World, way: Way, body: bytes | None, *, status: int = 400, names: str = "", version: str = "", **headers: str
) -> str:
    """What is wrong with the answer, if anything."""
    face, route = way
    sent = {**version_header(face, route), **headers}
    if version:
        sent["OpenStack-API-Version"] = version
    reply = world.ask(route.method, path_of(face, route, world.ids), asker(world, way), body, **sent)
    try:
        assert reply.status == status, f"{reply.status} instead of {status}: {reply.body[:300]!r}"
        message = message_of(face, reply)
        assert names in message, f"{names!r} is not named in {message!r}"
    except AssertionError as error:
        return f"{(body or b'')[:100]!r}: {error}"
    return ""


@pytest.mark.parametrize("way", WITH_BODY, ids=label)
def test_a_field_of_a_wrong_type_is_named(world: World, way: Way) -> None:
    face, route = way
    faults = []
    with world.nothing_changes():
        for spot in spots(route.body):
            known = version_of(face, route, spot.lowest, spot.highest)
            like = example(route.body, world.ids, spot.path)
            for text in wrong(spot, lax=route.lax) if known else ():
                faults.append(_refused(world, way, spot.body(text, like), names=spot.name, version=known))
    assert list(filter(None, faults)) == []


@pytest.mark.parametrize("way", WITH_BODY, ids=label)
def test_an_unknown_field_is_named_where_the_api_refuses_them(world: World, way: Way) -> None:
    faults = []
    with world.nothing_changes():
        for spot, strict in structs(way[1].body):
            if strict and not (way[1].key and not spot.path):
                known = version_of(*way, spot.lowest, spot.highest)
                like = example(way[1].body, world.ids, spot.path)
                for name in ("no_such_field", "f" * 9000):
                    body = spot.body(f'{{"{name}": 1}}', like)
                    faults.append(_refused(world, way, body, names=name[:32], version=known))
    assert list(filter(None, faults)) == []


@pytest.mark.parametrize("way", once_a_path(WITH_BODY), ids=label)
def test_what_is_no_object_of_json_is_refused(world: World, way: Way) -> None:
    _, route = way
    large = b'{"a": "' + b"n" * route.max_body + b'"}'
    with world.nothing_changes():
        faults = [_refused(world, way, body) for body in (*MALFORMED.values(), *SCALARS)]
        faults.append(_refused(world, way, large, status=413, names=str(route.max_body)))
        faults += [_refused(world, way, b"{}", status=415, names=kind, Content_Type=kind) for kind in OTHER_TYPES]
        if not route.optional_body:
            faults += [_refused(world, way, b""), _refused(world, way, None)]
    assert list(filter(None, faults)) == []


@pytest.mark.parametrize("way", [way for way in WITH_BODY if way[1].key], ids=label)
def test_an_action_is_one_known_key(world: World, way: Way) -> None:
    _, route = way
    bodies: list[tuple[bytes, str]] = [
        (b'{"os-no_such_action": {}}', "os-no_such_action"),
        (b"{}", "one key"),
        (b'{"%s": {}, "os-other": {}}' % str(route.key).encode(), "one key"),
        (b'{"": {}}', "''"),
        (b'{"os-\\u0000": {}}', "os-"),
        (b'{"%s": {}}' % (b"k" * 100_000), "kkkk"),
    ]
    with world.nothing_changes():
        faults = [_refused(world, way, body, names=named) for body, named in bodies]
    assert list(filter(None, faults)) == []


def test_the_spots_of_a_body_are_all_found() -> None:
    """What the tests above are made from: if it found nothing, they would find nothing."""
    found: dict[str, Any] = {label(way): len(list(spots(way[1].body))) for way in WITH_BODY}
    assert found["volume POST /volumes"] > 15
    assert [name for name, count in found.items() if not count] == []
