"""One HTTP client with a token, and the moments at which events are there.

api = Api(environment)                     OS_* variables of a user
start = now(); api.call("POST", "block-storage", "/volumes", body)
events.wait(volume_id, "volume.create.end") - start
"""

import http.client
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import text

from pumice.db.engine import Database
from tests.support.waiting import wait_until

VERSIONS = "volume 3.70, compute 2.90"
SECONDS = 60.0
_EVENT = text("SELECT generated FROM events WHERE resource_id = :id AND event_type = :type")

_SINCE = text("SELECT count(*), max(generated) FROM events WHERE event_type = :type AND generated >= :since")


def now() -> float:
    """Seconds; the clock of the events."""
    return time.time()


class Api:
    """One keep-alive connection of one user."""

    def __init__(self, environment: dict[str, str]) -> None:
        parts = urlsplit(environment["OS_AUTH_URL"])
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
        domain = {"name": "Default"}
        user = {"name": environment["OS_USERNAME"], "domain": domain, "password": environment["OS_PASSWORD"]}
        project = {"name": environment["OS_PROJECT_NAME"], "domain": domain}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": project},
            }
        }
        self.headers = {"Content-Type": "application/json", "OpenStack-API-Version": VERSIONS}
        self._connection.request("POST", f"{parts.path}/auth/tokens", msgspec.json.encode(body), self.headers)
        answer = self._connection.getresponse()
        self.token = answer.headers["X-Subject-Token"]
        self.headers["X-Auth-Token"] = self.token
        token = msgspec.json.decode(answer.read())["token"]
        self.project_id: str = token["project"]["id"]
        self.urls: dict[str, str] = {
            service["type"]: endpoint["url"].rstrip("/")
            for service in token["catalog"]
            for endpoint in service["endpoints"]
            if endpoint["interface"] == "public"
        }

    def call(self, method: str, service: str, path: str, body: object = None) -> Any:
        """What it answered, decoded. Raises AssertionError for anything but 2xx."""
        data = None if body is None else msgspec.json.encode(body)
        return self.send(method, service, path, data, self.headers)

    def upload(self, path: str, data: bytes) -> None:
        """Bytes of an image."""
        self.send("PUT", "image", path, data, {**self.headers, "Content-Type": "application/octet-stream"})

    def send(self, method: str, service: str, path: str, data: bytes | None, headers: dict[str, str]) -> Any:
        self._connection.request(method, urlsplit(self.urls[service]).path + path, data, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status // 100 == 2, f"{method} {path}: {answer.status} {content.decode()}"
        return msgspec.json.decode(content) if content else None

    def close(self) -> None:
        self._connection.close()


class Events:
    """Woken by the cloud's own wake-ups; reads the table of events only then (and each half second, lest one is lost).

    A moment is when this process has read the event's row: after the commit and the wake-up."""

    def __init__(self, database: Path) -> None:
        self._database = Database(f"sqlite:///{database}")
        self._woken = threading.Event()
        self._database.bus.listen(self._heard)

    def _heard(self, _topic: str) -> None:
        self._woken.set()

    def wait(self, resource_id: str, event_type: str) -> float:
        """When the event was there. Raises AssertionError when it does not come."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self._woken.clear()
            with self._database.read() as tx:
                found = tx.execute(_EVENT, {"id": resource_id, "type": event_type}).first()
            if found is not None:
                return now()
            self._woken.wait(0.5)
        raise AssertionError(f"no {event_type} of {resource_id} within {SECONDS:g} s")

    def count(self, event_type: str, since: float) -> int:
        """How many events of a type there are from a moment on."""
        with self._database.read() as tx:
            found = tx.execute(_SINCE, {"type": event_type, "since": int(since * 1e6)}).one()
        return int(found[0])

    def wait_count(self, event_type: str, since: float, count: int) -> float:
        """The time of the last of so many events, once all are there. Raises AssertionError."""
        wait_until(lambda: self.count(event_type, since) >= count, SECONDS, f"{count} {event_type}")
        with self._database.read() as tx:
            found = tx.execute(_SINCE, {"type": event_type, "since": int(since * 1e6)}).one()
        return float(found[1]) / 1e6

    def close(self) -> None:
        self._database.bus.forget(self._heard)
        self._database.close()
