"""The load: clients that ask for random things, whatever became of what they asked for before.

A client knows nothing: it looks at what there is and does one thing with it. An answer that the API documents is fine,
no answer too (the process was killed). Anything else, a 500 above all, is noted in `wrong`.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from tests.chaos.cloud import ChaosCloud

VOLUMES, SNAPSHOTS, SERVERS = 14, 8, 5
"""How many of each the clients keep at most: few, so that they get into each other's way."""
FINE = frozenset({200, 201, 202, 204, 400, 404, 409, 413, 503, 504})


class Load:
    """See the head of this file. `start`, then `stop`; `asked` counts what was accepted, `wrong` is to be empty."""

    def __init__(self, cloud: ChaosCloud, image: str, clients: int, seed: int) -> None:
        self.asked: Counter[str] = Counter()
        self.unanswered = 0
        self.wrong: list[str] = []
        self._image = image
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(cloud.login("demo"), random.Random(f"{seed}/{number}")),
                name=f"client {number}",
            )
            for number in range(clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, http: httpx.Client, chance: random.Random) -> None:
        actions: list[Callable[[_Client], None]] = [getattr(_Client, name) for name in ACTIONS]
        with http:
            client = _Client(self, http, chance, self._image)
            while not self._stopped.is_set():
                try:
                    chance.choice(actions)(client)
                except httpx.HTTPError:
                    with self._lock:
                        self.unanswered += 1
                    self._stopped.wait(0.05)

    def note(self, name: str, answer: httpx.Response) -> None:
        with self._lock:
            if answer.status_code < 300:
                self.asked[name] += 1
            elif answer.status_code not in FINE:
                self.wrong.append(f"{name}: {answer.status_code} {answer.text[:300]}")


ACTIONS = (
    *("create_volume",) * 6,
    "clone_volume",
    "volume_from_snapshot",
    *("delete_volume",) * 3,
    "extend_volume",
    *("create_snapshot",) * 2,
    *("delete_snapshot",) * 2,
    *("create_server",) * 2,
    "delete_server",
    "power_server",
    *("attach",) * 10,
    *("detach",) * 5,
    "attach_outside",
)


class _Client:
    def __init__(self, load: Load, http: httpx.Client, chance: random.Random, image: str) -> None:
        self._load, self._http, self._chance, self._image = load, http, chance, image

    def create_volume(self, **source: Any) -> None:
        if len(self._list("/volume/v3/volumes", "volumes")) < VOLUMES:
            body = {"volume": {"name": "chaos", "size": self._chance.randint(1, 2), **source}}
            if source:
                del body["volume"]["size"]
            self._ask("create volume", "POST", "/volume/v3/volumes", body)

    def clone_volume(self) -> None:
        if volume := self._one("/volume/v3/volumes", "volumes"):
            self.create_volume(source_volid=volume["id"])

    def volume_from_snapshot(self) -> None:
        if snapshot := self._one("/volume/v3/snapshots", "snapshots"):
            self.create_volume(snapshot_id=snapshot["id"])

    def delete_volume(self) -> None:
        if volume := self._one("/volume/v3/volumes", "volumes"):
            cascade = self._chance.choice(("", "?cascade=true"))
            self._ask("delete volume", "DELETE", f"/volume/v3/volumes/{volume['id']}{cascade}")

    def extend_volume(self) -> None:
        if volume := self._one("/volume/v3/volumes", "volumes"):
            body = {"os-extend": {"new_size": self._chance.randint(2, 5)}}
            self._ask("extend volume", "POST", f"/volume/v3/volumes/{volume['id']}/action", body)

    def create_snapshot(self) -> None:
        volume = self._one("/volume/v3/volumes", "volumes")
        if volume and len(self._list("/volume/v3/snapshots", "snapshots")) < SNAPSHOTS:
            self._ask("create snapshot", "POST", "/volume/v3/snapshots", {"snapshot": {"volume_id": volume["id"]}})

    def delete_snapshot(self) -> None:
        if snapshot := self._one("/volume/v3/snapshots", "snapshots"):
            self._ask("delete snapshot", "DELETE", f"/volume/v3/snapshots/{snapshot['id']}")

    def create_server(self) -> None:
        if len(self._list("/compute/v2.1/servers", "servers")) < SERVERS:
            server = {"name": "chaos", "flavorRef": "1", "imageRef": self._image}
            self._ask("create server", "POST", "/compute/v2.1/servers", {"server": server})

    def delete_server(self) -> None:
        found = self._list("/compute/v2.1/servers", "servers")
        if found and (len(found) == SERVERS or self._chance.random() < 0.2):
            server = self._chance.choice(found)
            self._ask("delete server", "DELETE", f"/compute/v2.1/servers/{server['id']}")

    def power_server(self) -> None:
        if server := self._one("/compute/v2.1/servers", "servers"):
            action = self._chance.choice(("os-stop", "os-start"))
            self._ask("power server", "POST", f"/compute/v2.1/servers/{server['id']}/action", {action: None})

    def attach(self) -> None:
        """Mostly what can be attached; sometimes anything."""
        picky = self._chance.random() < 0.8
        server = self._one("/compute/v2.1/servers" + "?status=ACTIVE" * picky, "servers")
        volume = self._one("/volume/v3/volumes" + "?status=available" * picky, "volumes")
        if server and volume:
            path = f"/compute/v2.1/servers/{server['id']}/os-volume_attachments"
            self._ask("attach volume", "POST", path, {"volumeAttachment": {"volumeId": volume["id"]}})

    def detach(self) -> None:
        if server := self._one("/compute/v2.1/servers", "servers"):
            path = f"/compute/v2.1/servers/{server['id']}/os-volume_attachments"
            answer = self._http.get(path)
            self._load.note("list attachments", answer)
            found = answer.json().get("volumeAttachments", []) if answer.is_success else []
            if found:
                volume = self._chance.choice(found)["volumeId"]
                self._ask("detach volume", "DELETE", f"{path}/{volume}")

    def attach_outside(self) -> None:
        """As a bare host does: reserve and connect at once, then let go."""
        if volume := self._one("/volume/v3/volumes", "volumes"):
            body = {"attachment": {"volume_uuid": volume["id"], "connector": {"host": "pumice"}}}
            answer = self._ask("attach outside", "POST", "/volume/v3/attachments", body)
            if answer.is_success:
                self._ask("detach outside", "DELETE", f"/volume/v3/attachments/{answer.json()['attachment']['id']}")

    def _list(self, path: str, plural: str) -> list[dict[str, Any]]:
        answer = self._http.get(path)
        self._load.note("list", answer)
        found: list[dict[str, Any]] = answer.json()[plural] if answer.is_success else []
        return found

    def _one(self, path: str, plural: str) -> dict[str, Any] | None:
        found = self._list(path, plural)
        return self._chance.choice(found) if found else None

    def _ask(self, name: str, method: str, path: str, body: Any = None) -> httpx.Response:
        answer = self._http.request(method, path, json=body)
        self._load.note(name, answer)
        return answer
