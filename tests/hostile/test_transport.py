"""HTTP itself misused: lengths that lie, chunks that are none, bodies without length, headers without end.

Whatever of it reaches a face is refused in its envelope; what is no HTTP at all is refused by the server or hung up on.
In either case nothing changes and the next request is answered.
"""

import contextlib
import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.hostile.answers import message_of
from tests.hostile.wire import Reply
from tests.hostile.world import FACES, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PATH = "/volume/v3/volumes"
MEGABYTE = 1 << 20
MADE = b'{"volume": {"size": 1, "name": "by chunks"}}'


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@contextmanager
def refusing(world: World) -> Iterator[None]:
    """Nothing changes, and the next request on a new connection is answered."""
    with world.nothing_changes():
        yield
        world.wire.close()
        assert world.ask("GET", PATH, world.admin).status == 200


def post(world: World, *headers: str, body: bytes = b"", ends: bool = False) -> Reply | None:
    """What came back, None for a connection that was hung up. ends: no more will come, and the server may know it."""
    lines = [f"X-Auth-Token: {world.admin}", "Content-Type: application/json", *headers]
    head = "".join(f"{line}\r\n" for line in (f"POST {PATH} HTTP/1.1", "Host: cloud.example", *lines))
    with contextlib.suppress(http.client.HTTPException, ConnectionError):
        return world.wire.raw(head.encode("latin-1") + b"\r\n" + body, "POST", ends=ends)
    return None


def test_a_body_in_chunks_is_read_like_any_other(world: World) -> None:
    """Also in chunks of one byte, and without a length."""
    with refusing(world):
        for parts in ((b'{"volume": {"size": -1}}',), tuple(bytes([one]) for one in b'{"volume": {"size": -1}}')):
            reply = post(world, "Transfer-Encoding: chunked", body=chunked(*parts))
            assert reply is not None and reply.status == 400
            assert "volume.size" in message_of(FACES["volume"], reply)


def test_a_body_in_chunks_is_not_larger_than_others_may_be(world: World) -> None:
    with refusing(world):
        body = chunked(b'{"volume": {"name": "', *[b"n" * 65536] * 17, b'"}}')
        reply = post(world, "Transfer-Encoding: chunked", body=body)
        assert reply is not None and reply.status == 413
        assert str(MEGABYTE) in message_of(FACES["volume"], reply)


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: -1",),
        ("Content-Length: many",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length: 5", "Content-Length: 44"),
        ("Content-Length: 44", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: nonsense",),
        ("Content-Length : 44",),
        ("Content-Length: 44\x00",),
        (" Content-Length: 44",),
    ],
    ids=str,
)
def test_a_length_that_lies_or_is_told_twice_makes_nothing(world: World, lines: tuple[str, ...]) -> None:
    """Two servers that understand such a request differently see two different requests: it is refused."""
    with refusing(world):
        reply = post(world, *lines, body=MADE, ends=True)
        assert reply is None or 400 <= reply.status < 500, reply


@pytest.mark.parametrize(
    "body",
    [b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n", b"ffffffffffffffffff\r\n{}", b"2\r\n{}XX\r\n0\r\n\r\n", b"2\r\n{", b""],
    ids=repr,
)
def test_chunks_that_are_none_make_nothing(world: World, body: bytes) -> None:
    with refusing(world):
        reply = post(world, "Transfer-Encoding: chunked", body=body, ends=True)
        assert reply is None or 400 <= reply.status < 500, reply


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Content-Encoding: gzip",), 400),
        (("Content-Type: application/json; charset=utf-16",), 400),
        (("Expect: 100-continue",), 400),
        (("Expect: nonsense",), 400),
        (("X-Auth-Token: nonsense",), 401),
        (("Upgrade: websocket", "Connection: Upgrade"), 400),
        (("Connection: close",), 400),
    ],
    ids=str,
)
def test_headers_that_change_how_a_body_is_read_do_not(world: World, lines: tuple[str, ...], status: int) -> None:
    """The body is no JSON, whatever they promise."""
    body = b"\x1f\x8b\x08\x00nothing"
    with refusing(world):
        reply = post(world, *lines, f"Content-Length: {len(body)}", body=body)
        assert reply is not None and reply.status == status, reply
        message_of(FACES["volume"], reply)


def test_headers_without_end_are_refused(world: World) -> None:
    with refusing(world):
        for lines in (["X-Long: " + "h" * 200_000], [f"X-Many-{number}: 1" for number in range(20_000)]):
            reply = post(world, *lines, "Content-Length: 44", body=MADE)
            assert reply is None or 400 <= reply.status < 500, reply


def test_a_path_without_end_is_refused(world: World) -> None:
    with refusing(world):
        for path in (f"{PATH}/{'a' * 60_000}", f"{PATH}?{'a=1&' * 15_000}", "/volume/v3" + "/a" * 30_000):
            reply = world.ask("GET", path, world.admin)
            assert reply.status in (400, 404, 414), reply.status
            message_of(FACES["volume"], reply)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b'{"volume": {"size": 1, "size": "two"}}', 400, "size"),
        (b'{"volume": {"size": "two"}, "volume": {"size": -7}}', 400, "size"),
        (b'{"volume": {"size": 1, "name": "\\ud83e"}}', 400, ""),
        (b'{"volume": {"size": 1, "metadata": {"a": "1", "a": 2}}}', 400, "metadata"),
        (b'{"volume": {"size": 1e400}}', 400, "size"),
        (b'{"volume": {"size": -0.0}}', 400, "size"),
        (b'{"volume": {"size": 1, "name": "n", "description": 1e400}}', 400, "description"),
        (b'{"volume": {"size": Infinity}}', 400, ""),
        (b"\x00" + MADE, 400, ""),
        (MADE + b"\x00", 400, ""),
    ],
    ids=repr,
)
def test_json_that_others_might_take(world: World, body: bytes, status: int, named: str) -> None:
    """What some parsers take and others do not: the last of two fields of one name counts, and is checked."""
    with refusing(world):
        reply = world.ask("POST", PATH, world.admin, body)
        assert reply.status == status and named in message_of(FACES["volume"], reply), reply


def test_requests_sent_without_waiting_are_answered_in_turn(world: World) -> None:
    """A good one, a bad one, a good one, in one packet."""
    token = f"Host: cloud.example\r\nX-Auth-Token: {world.admin}\r\n\r\n"
    lines = [f"GET {PATH}?limit={limit} HTTP/1.1\r\n{token}" for limit in ("1", "-1", "1")]
    with refusing(world):
        replies = world.wire.several("".join(lines).encode(), 3)
        assert [reply.status for reply in replies] == [200, 400, 200]
