"""Raw HTTP/1.1 over one kept connection: bytes go out as they are given, so that nothing of the client tidies them up.

    with Wire(host, port) as wire:
        reply = wire.send("GET", "/volume/v3/%00", {"X-Auth-Token": "t"})
        reply.status, reply.headers, reply.json()

A connection that ends without an answer is an error of the test: `http.client.HTTPException` or `OSError`.
"""

import http.client
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import msgspec

SECONDS = 60.0


class Reply(NamedTuple):
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Wire:
    """See the head of this file."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(
        self,
        method: str,
        target: str | bytes,
        headers: Mapping[str, str | bytes] | None = None,
        body: bytes | None = None,
        *,
        length: int | None = None,
    ) -> Reply:
        """One request and its answer. length: what Content-Length claims, if not the truth."""
        lines = [b" ".join((method.encode(), _raw(target), b"HTTP/1.1")), b"Host: cloud.example"]
        lines += [b": ".join((name.encode(), _raw(value))) for name, value in (headers or {}).items()]
        if body is not None:
            lines.append(b"Content-Length: %d" % (len(body) if length is None else length))
        message = b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")
        return self.raw(message, method, ends=length is not None)

    def raw(self, message: bytes, method: str, *, ends: bool = False) -> Reply:
        """Those bytes, and the answer to them. ends: nothing more will come, and the server is told."""
        connection = self._connection()
        try:
            connection.sendall(message)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            return self._answer(method, last=ends)
        except BaseException:
            self.close()
            raise

    def several(self, message: bytes, count: int) -> list[Reply]:
        """Several requests sent at once, and as many answers."""
        self._connection().sendall(message)
        replies = []
        with self._connection().makefile("rb") as stream:
            for _ in range(count):
                status = int(stream.readline().split()[1])
                headers = {name.lower(): value for name, value in http.client.parse_headers(stream).items()}
                replies.append(Reply(status, headers, stream.read(int(headers["content-length"]))))
        return replies

    def _answer(self, method: str, *, last: bool) -> Reply:
        answer = http.client.HTTPResponse(self._connection(), method=method)
        answer.begin()
        data = answer.read()
        if answer.will_close or last:
            self.close()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, data)

    def _connection(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def _raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
