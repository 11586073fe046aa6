"""Requests a second of one GET with a token, through everything of the edge, over keep-alive connections.

    python -m tests.bench.load URL TOKEN [CONNECTIONS [SECONDS [PROCESSES]]]      any running cloud

The client is as cheap as Python allows (prepared bytes, a counting parser), since it shares the cores with the server.
Any answer but 2xx voids the run.
"""

import asyncio
import multiprocessing
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, request: bytes, until: float) -> None:
        self.request, self.until = request, until
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
        if now < self.until:
            self._ask()
        else:
            self.done.set_result(None)
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


def request_of(url: str, token: str) -> tuple[str, int, bytes]:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-Auth-Token: {token}\r\nAccept: application/json\r\n\r\n"
    return host, port, head.encode()


async def _load(url: str, token: str, connections: int, seconds: float) -> list[float]:
    host, port, request = request_of(url, token)
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(request, until), host, port))[1] for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    return [one for client in clients for one in client.times]


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
