"""Many keep-alive connections that ask as fast as they are answered, through everything of the edge.

    measure(url, token, connections, seconds)           GETs for so long: their rate and times
    post(url, token, body, connections, count)          so many POSTs: when the first was sent
    python -m tests.bench.load URL TOKEN [CONNECTIONS [SECONDS [PROCESSES]]]      any running cloud

The client is as cheap as Python allows (prepared bytes, a counting parser), since it shares the cores with the server.
Any answer but 2xx voids the run.
"""

import asyncio
import itertools
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import urlsplit

import uvloop


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered, while there is `more` to ask."""

    def __init__(self, request: bytes, more: Callable[[], bool]) -> None:
        self.request, self.more = request, more
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.times: list[float] = []
        self.buffer = b""
        self.sent = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._ask()

    def _ask(self) -> None:
        assert self.transport is not None
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        if not head.startswith(b"http/1.1 2"):
            self.done.set_exception(RuntimeError(self.buffer.decode(errors="replace")))
            self.transport.close()
            return
        at = head.index(b"content-length: ") + 16
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self.buffer) < end + 4 + length:
            return
        self.buffer = b""
        now = time.perf_counter()
        self.times.append(now - self.sent)
        if self.more():
            self._ask()
        else:
            self.done.set_result(None)
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


class Talker(asyncio.Protocol):
    """One connection that asks different things in turn: `await ask(method, path, body)` is the answer's body."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str]) -> None:
        lines = {"Host": f"{host}:{port}", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Raises RuntimeError for any answer but 2xx."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self._transport.write(f"{method} {path} HTTP/1.1\r\n{self._head}{length}\r\n".encode() + body)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or self._answer is None:
            return
        lines = head.lower()
        at = lines.find(b"content-length: ")
        length = 0 if at < 0 else int(lines[at + 16 :].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._buffer = b""
        if lines.startswith(b"http/1.1 2"):
            self._answer.set_result(rest)
        else:
            self._answer.set_exception(RuntimeError((head + b"\r\n" + rest).decode(errors="replace")))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def request_of(url: str, token: str, body: bytes | None = None) -> tuple[str, int, bytes]:
    """Host, port and the bytes of a GET, or of a POST when there is a body."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    head = f"{path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-Auth-Token: {token}\r\nAccept: application/json\r\n"
    if body is None:
        return host, port, f"GET {head}\r\n".encode()
    more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return host, port, f"POST {head}{more}".encode() + body


async def _ask(target: tuple[str, int, bytes], connections: int, more: Callable[[], bool]) -> list[float]:
    host, port, request = target
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(lambda: Client(request, more), host, port))[1] for _ in range(connections)]
    await asyncio.gather(*(client.done for client in clients))
    return [one for client in clients for one in client.times]


async def _load(url: str, token: str, connections: int, seconds: float) -> list[float]:
    until = time.perf_counter() + seconds
    return await _ask(request_of(url, token), connections, lambda: time.perf_counter() < until)


def post(url: str, token: str, body: bytes, connections: int, count: int) -> float:
    """Send so many requests (at least one a connection); the time (seconds since the epoch) before the first."""
    asked = itertools.count(connections)
    begin = time.time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_ask(request_of(url, token, body), connections, lambda: next(asked) < count))
    return begin


def _process(arguments: tuple[str, str, int, float]) -> list[float]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_load(*arguments))


def measure(url: str, token: str, connections: int = 16, seconds: float = 5, processes: int = 1) -> dict[str, float]:
    """Requests a second, and the median and p99 of their times in milliseconds."""
    share = [(url, token, connections // processes, seconds)] * processes
    if processes == 1:
        results = [_process(share[0])]
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            results = pool.map(_process, share)
    times = sorted(one for result in results for one in result)
    return {
        "requests_per_second": round(len(times) / seconds, 1),
        "p50_ms": round(times[len(times) // 2] * 1000, 2),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 2),
    }


def main(url: str, token: str, connections: str = "16", seconds: str = "5", processes: str = "1") -> None:
    print(measure(url, token, int(connections), float(seconds), int(processes)))


if __name__ == "__main__":
    main(*sys.argv[1:])
