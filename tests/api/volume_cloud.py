"""The volume face over real HTTP: a server in this process over the cloud of `tests.compute.cloud`, its worker running.

user = served.account()                         a new member of a new project
volume = user.volume()                          made, and available
user.ask("GET", f"/volumes/{volume}", version="3.65")     the answer's JSON; the status and the headers are checked
"""

import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from pumice.api.edge.logs import AccessLog
from pumice.api.edge.services import Services
from pumice.identity.bootstrap import bootstrap
from pumice.identity.identity import Identity
from pumice.operations.waiting import OperationWaiter
from pumice.processes.api import make_server
from pumice.settings import Settings
from tests.compute.cloud import ComputeCloud
from tests.support.waiting import wait_until

MISSING = "00000000-0000-4000-8000-000000000000"
DEADLINE = 30.0


class Account:
    """A user with one role on one project; `project_id`, `user_id` and `token` are readable."""

    def __init__(self, served: "ServedCloud", project_id: str, user_id: str, token: str) -> None:
        self.served, self.project_id, self.user_id, self.token = served, project_id, user_id, token
        self.service_token: str | None = None
        """Sent as X-Service-Token with every call, as compute does."""

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str | None = "3.0",
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """One call of the volume face. path: behind /volume/v3, or a whole URL (a `next` link)."""
        sent = {"X-Auth-Token": self.token, **(headers or {})}
        if version is not None:
            sent["OpenStack-API-Version"] = f"volume {version}"
        if self.service_token is not None:
            sent["X-Service-Token"] = self.service_token
        url = path if path.startswith("http") else f"/volume/v3{path}"
        if content is not None:
            return self.served.http.request(method, url, headers=sent, content=content)
        return self.served.http.request(method, url, headers=sent, json=body)

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200, **options: Any) -> Any:
        """`send`, and the answer's JSON (None: no body). The status and every answer's headers are checked."""
        answer = self.send(method, path, body, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.headers["x-openstack-request-id"].startswith("req-")
        version = options.get("version", "3.0")
        assert answer.headers["openstack-api-version"] == f"volume {version or '3.0'}"
        assert "OpenStack-API-Version" in answer.headers["vary"]
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, body: Any = None, *, status: int, **options: Any) -> str:
        """The message of a refusal."""
        (fault,) = self.ask(method, path, body, status=status, **options).values()
        assert set(fault) >= {"code", "message"} and fault["code"] == status
        return str(fault["message"])

    def volume(self, size: int | None = 1, **fields: Any) -> str:
        """A new volume, available."""
        body = {"volume": {**({"size": size} if size is not None else {}), **fields}}
        volume_id: str = self.ask("POST", "/volumes", body, status=202)["volume"]["id"]
        self.wait_volume(volume_id, "available")
        return volume_id

    def snapshot(self, volume_id: str, **fields: Any) -> str:
        """A new snapshot, available."""
        body = {"snapshot": {"volume_id": volume_id, **fields}}
        snapshot_id: str = self.ask("POST", "/snapshots", body, status=202)["snapshot"]["id"]

        def available() -> bool:
            return bool(self.ask("GET", f"/snapshots/{snapshot_id}")["snapshot"]["status"] == "available")

        wait_until(available, DEADLINE, f"snapshot {snapshot_id} is available")
        return snapshot_id

    def status(self, volume_id: str) -> str:
        return str(self.ask("GET", f"/volumes/{volume_id}")["volume"]["status"])

    def wait_volume(self, volume_id: str, status: str) -> None:
        wait_until(lambda: self.status(volume_id) == status, DEADLINE, f"volume {volume_id} is {status}")

    def wait_gone(self, path: str) -> None:
        wait_until(lambda: self.send("GET", path).status_code == 404, DEADLINE, f"{path} is gone")


class ServedCloud:
    """See the head of this file."""

    def __init__(self, cloud: ComputeCloud, folder: Path) -> None:
        self.cloud = cloud
        self._service_token: str | None = None
        self._password = secrets.token_urlsafe(12)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        bootstrap(cloud.database, folder, f"{self.url}/identity/v3", "RegionOne", "pumice", self._password)
        self._identity = Identity()
        self._waiter = OperationWaiter(cloud.database)
        settings = Settings.load(folder, {})
        services = Services(
            settings=settings,
            database=cloud.database,
            identity=self._identity,
            waiter=self._waiter,
            images=cloud.images,
            access_log=AccessLog(None),
        )
        self._server = make_server(services, settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), name="api")
        self._thread.start()
        wait_until(lambda: self._server.started, DEADLINE, "the server listens")
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self._admin = self._login("admin", self._password, {"name": "admin", "domain": {"id": "default"}})
        self._roles = {role["name"]: role["id"] for role in self.identity_call("GET", "/roles")["roles"]}

    def close(self) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join()
        self._waiter.close()
        self._identity.close()

    def account(self, role: str = "member", project_id: str | None = None) -> Account:
        """A new user with that role on a new project, or on the given one."""
        name, password = f"user-{secrets.token_hex(4)}", secrets.token_urlsafe(9)
        if project_id is None:
            project = {"project": {"name": name}}
            project_id = str(self.identity_call("POST", "/projects", project)["project"]["id"])
        user = {"user": {"name": name, "password": password}}
        user_id = self.identity_call("POST", "/users", user)["user"]["id"]
        self.identity_call("PUT", f"/projects/{project_id}/users/{user_id}/roles/{self._roles[role]}")
        return Account(self, project_id, user_id, self._login(name, password, {"id": project_id}))

    def nova(self, user: Account) -> Account:
        """An outside compute service that acts for the user: with the user's token, and a service token of its own."""
        if self._service_token is None:
            self._service_token = self.account("service").token
        account = Account(self, user.project_id, user.user_id, user.token)
        account.service_token = self._service_token
        return account

    def server(self, user: Account) -> str:
        """A running server of our own compute."""
        body = {"server": {"name": "guest", "flavorRef": "1", "imageRef": self.cloud.bootable}}
        headers = {"X-Auth-Token": user.token}
        answer = self.http.post("/compute/v2.1/servers", headers=headers, json=body)
        assert answer.status_code == 202, answer.text
        server_id = str(answer.json()["server"]["id"])
        wait_until(lambda: self.cloud.found(server_id).status == "ACTIVE", DEADLINE, "the server is active")
        return server_id

    def identity_call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-Auth-Token": self._admin}
        answer = self.http.request(method, f"/identity/v3{path}", headers=headers, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def _login(self, name: str, password: str, project: Any) -> str:
        user = {"name": name, "domain": {"id": "default"}, "password": password}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}
        answer = self.http.post("/identity/v3/auth/tokens", json={"auth": auth})
        assert answer.status_code == 201, answer.text
        return str(answer.headers["x-subject-token"])


@contextmanager
def serving(url: str, folder: Path) -> Iterator[ServedCloud]:
    """The cloud on that prepared database, served. At the end nothing runs, and every cached word is derived."""
    cloud = ComputeCloud(url, folder)
    try:
        with cloud.working():
            served = ServedCloud(cloud, folder)
            try:
                yield served
            finally:
                served.close()
            cloud.wait_idle()
        cloud.assert_derived()
    finally:
        cloud.close()
