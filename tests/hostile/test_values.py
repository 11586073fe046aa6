"""Bodies whose types are right and whose values nobody has in mind: taken, or 4xx in the envelope; never an accident.

What the type refuses is in `test_bodies`. Here it takes them: huge and negative numbers, a megabyte of text, emoji, ids
of nothing. An administrator sends them to the stranger's things, which may change: the world is this file's own.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pumice.api.edge.face import Face
from pumice.api.edge.route import Route
from tests.block.cloud import prepare
from tests.hostile.answers import message_of
from tests.hostile.default_policies import POLICIES
from tests.hostile.requests import asker, operation
from tests.hostile.shapes import Spot, accepts, example, spots
from tests.hostile.world import WAYS, World, label, made, path_of, version_header, version_of
from tests.support.databases import KINDS, Databases

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

Way = tuple[Face, Route]

TEXTS = (
    "",
    " ",
    "\U0001f986\u200d\U0001f525 \u0645\u0631\u062d\u0628\u0627 \u202e\ufeff",
    "n" * 255,
    "n" * 1_000_000,
    "'; DROP TABLE volumes; --",
    "../../../../etc/passwd",
    "%s%n{0}{volume_id}",
    "\x7f\t\r\n\x1b[31m",
    "00000000-0000-4000-8000-000000000000",
    "null",
    "-1",
)
NUMBERS = ("0", "-1", "1", "2147483648", "9223372036854775807", "-9223372036854775807", "0.0", "1e308", "-1e-308")
OTHERS = ("true", "false", "null", "[]", "{}", '{"\\ud83e\\udd86": "\\ud83e\\udd86"}', '[""]', "[" * 200 + "]" * 200)
MANY = ("[" + ",".join(['"n"'] * 3000) + "]", "{" + ",".join(f'"k{n}": "v"' for n in range(3000)) + "}")
VALUES = (*(msgspec.json.encode(text).decode() for text in TEXTS), *NUMBERS, *OTHERS, *MANY)

ENDS = ("os-force_delete", "forceDelete", "os-unmanage", "os-migrate_volume", "shelve", "shelveOffload", "os-stop")
"""Actions after which others would find nothing to work on: they come late, and what changes the owner's user last."""

LONG = {"volume POST /volumes/{volume_id}/action os-volume_upload_image": "a gibibyte each time"}
"""Sent to things that are not there."""


def _late(way: Way) -> int:
    if POLICIES.get(operation(way)) == "owner":
        return 0
    return 2 if way[0].name == "identity" else int(way[1].key in ENDS)


TAKING = sorted([way for way in WAYS if way[1].body is not None], key=_late)


@pytest.fixture(scope="module", params=KINDS)
def restless(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A world of this file alone."""
    folder: Path = tmp_path_factory.mktemp("values")
    with databases.fresh(str(request.param), prepare) as url, made(url, folder) as cloud:
        yield cloud


@pytest.mark.parametrize("way", TAKING, ids=label)
def test_a_value_that_the_type_takes_is_no_accident(restless: World, way: Way) -> None:
    world, faults, taken = restless, list[str](), False
    world.settle()
    before = world.fingerprint()
    for spot in spots(way[1].body):
        known = version_of(*way, spot.lowest, spot.highest)
        like = example(way[1].body, world.foreign, spot.path)
        for text in values_of(spot, way) if known else ():
            wrong, done = _sent(world, way, spot.body(text, like), known)
            taken = taken or done
            if wrong:
                faults.append(f"{'.'.join(spot.path)} = {text[:60]}: {wrong}")
    assert faults == []
    if not taken:
        after = world.fingerprint()
        assert [name for name, digest in after.items() if digest != before[name]] == [], "refused requests changed them"


def values_of(spot: Spot, way: Way) -> list[str]:
    decoder = msgspec.json.Decoder(spot.hint, strict=not way[1].lax)
    return [text for text in VALUES if len(text) < way[1].max_body - 5000 and accepts(decoder, text)]


def _sent(world: World, way: Way, body: bytes, known: str) -> tuple[str, bool]:
    """What is wrong with the answer, and whether something was done."""
    face, route = way
    sent = {**version_header(face, route), "OpenStack-API-Version": known}
    ids = {} if operation(way) in LONG else world.foreign
    reply = world.ask(route.method, path_of(face, route, ids), asker(world, way), body, **sent)
    if reply.status < 300:
        return "", True
    try:
        message = message_of(face, reply)
    except AssertionError as error:
        return str(error), False
    return (f"401 {message}" if reply.status == 401 and operation(way) not in LOGINS else ""), False


LOGINS = {
    "identity POST /auth/tokens": "nobody can log in with that",
    "identity POST /users/{user_id}/password": "the password before is wrong",
}


def test_each_simple_field_takes_some_of_them() -> None:
    """Otherwise nothing would be sent for it. Fields of a few words, and objects that need a field, take none."""
    taken = {(label(way), spot.path): len(values_of(spot, way)) for way in TAKING for spot in spots(way[1].body)}
    assert sum(taken.values()) > 4000
    assert taken["volume POST /volumes", ("volume", "name")] >= 10
    assert taken["volume POST /volumes", ("volume", "size")] >= 4
    assert taken["compute POST /servers", ("server", "metadata")] >= 2
