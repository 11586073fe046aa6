"""Wake-ups between processes: after a commit one datagram (SQLite) or NOTIFY (PostgreSQL) tells the others.

A wake-up is a hint, never the truth: whoever waits also polls slowly, so a lost one costs time and nothing else.
A topic is a short text: "operations" (something can be claimed), "operation:ID" (it moved), "identity" (caches stale).
"""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import psycopg
from sqlalchemy.engine import URL

_RECONNECT_SECONDS = 0.5
_CHECK_SECONDS = 30.0
"""A connection that died without a word is noticed after this long."""

Listener = Callable[[str], None]


class WakeupBus(Protocol):
    """Sends topics to every process on the same database, and calls this process's listeners."""

    def listen(self, listener: Listener) -> None:
        """Call the listener with each topic from now on, from the bus's thread or the sender's. It must not block."""

    def forget(self, listener: Listener) -> None: ...

    def send(self, topics: Sequence[str]) -> None:
        """Called after the commit."""

    def close(self) -> None: ...


class _Listeners:
    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self._guard = threading.Lock()

    def add(self, listener: Listener) -> None:
        with self._guard:
            self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener) -> None:
        with self._guard:
            self._listeners = tuple(other for other in self._listeners if other != listener)

    def call(self, topics: Sequence[str]) -> None:
        for topic in topics:
            for listener in self._listeners:
                listener(topic)


class DatagramBus:
    """UNIX datagram sockets in one directory, one a listening process. A socket whose process died is removed by
    whoever finds it refusing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)
        self._listeners = _Listeners()
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._receiver: socket.socket | None = None
        self._folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()

    def _address(self, name: str) -> str:
        """Through the folder's descriptor: a socket's path may have 107 characters at most, a state directory more."""
        return f"/proc/self/fd/{self._folder}/{name}"

    def listen(self, listener: Listener) -> None:
        self._listeners.add(listener)
        with self._guard:
            if self._thread is not None:
                return
            self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._receiver.bind(self._address(self._name))
            self._thread = threading.Thread(target=self._receive, name="wakeup", daemon=True)
            self._thread.start()

    def forget(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    def _receive(self) -> None:
        assert self._receiver is not None
        while True:
            ready, _, _ = select.select([self._receiver.fileno(), self._stop_read], [], [])
            if self._stop_read in ready:
                return
            self._listeners.call(self._receiver.recv(65536).decode().split("\n"))

    def send(self, topics: Sequence[str]) -> None:
        message = "\n".join(topics).encode()
        for name in os.listdir(self._folder):
            if name == self._name:
                continue
            try:
                self._sender.sendto(message, self._address(name))
            except BlockingIOError:
                continue  # its queue is full: it has enough to wake up for
            except (ConnectionRefusedError, FileNotFoundError):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._folder)
        self._listeners.call(topics)

    def close(self) -> None:
        os.write(self._stop_write, b".")
        with self._guard:
            if self._thread is not None:
                self._thread.join()
            if self._receiver is not None:
                self._receiver.close()
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._name, dir_fd=self._folder)
        self._sender.close()
        for descriptor in (self._folder, self._stop_read, self._stop_write):
            os.close(descriptor)


class PostgresBus:
    """NOTIFY in the transaction itself; LISTEN on a connection of its own, opened again whenever it is lost."""

    def __init__(self, url: URL) -> None:
        self._conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._listeners = _Listeners()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._guard = threading.Lock()

    def listen(self, listener: Listener) -> None:
        self._listeners.add(listener)
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._receive, name="wakeup", daemon=True)
                self._thread.start()
        self._ready.wait(5)

    def forget(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    def _receive(self) -> None:
        while not self._closing.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True, connect_timeout=5) as connection:
                    connection.execute("LISTEN pumice")
                    self._ready.set()
                    while not self._closing.is_set():
                        select.select([connection.fileno(), self._stop_read], [], [], _CHECK_SECONDS)
                        for notification in connection.notifies(timeout=0):
                            self._listeners.call(notification.payload.split("\n"))
            except psycopg.Error:
                self._closing.wait(_RECONNECT_SECONDS)

    def send(self, topics: Sequence[str]) -> None:
        """Nothing: the transaction sent it with NOTIFY, and this process listens like the others."""

    def close(self) -> None:
        self._closing.set()
        os.write(self._stop_write, b".")
        with self._guard:
            if self._thread is not None:
                self._thread.join()
        os.close(self._stop_read)
        os.close(self._stop_write)
