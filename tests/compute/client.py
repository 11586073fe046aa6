"""The compute face over HTTP, in this process: a client of it, and the cloud behind it.

client.ask("GET", "/servers", version="2.26")      the answer's JSON; the status is 200, or as said
client.make_server()                               the id of a running server
"""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import httpx

from pumice.api import compute, identity, volume
from pumice.api.app import create_app
from pumice.api.edge.logs import AccessLog
from pumice.api.edge.services import Services
from pumice.api.faces import compute_face, identity_face, volume_face
from pumice.identity.bootstrap import bootstrap
from pumice.identity.identity import Identity
from pumice.operations.waiting import OperationWaiter
from pumice.settings import Settings
from tests.compute.cloud import ComputeCloud
from tests.support.waiting import wait_until

PASSWORD = secrets.token_urlsafe(12)


class Client:
    """Speaks to the application as user admin in the project demo, at a microversion."""

    def __init__(self, cloud: ComputeCloud, folder: Path) -> None:
        self.cloud = cloud
        bootstrap(cloud.database, folder, "http://cloud/identity/v3", "RegionOne", "pumice", PASSWORD)
        self._identity = Identity()
        self._waiter = OperationWaiter(cloud.database)
        services = Services(
            settings=Settings.load(folder, {}),
            database=cloud.database,
            identity=self._identity,
            waiter=self._waiter,
            images=cloud.images,
            access_log=AccessLog(None),
        )
        faces = [identity_face(identity.ROUTES), volume_face(volume.ROUTES), compute_face(compute.ROUTES)]
        self._transport = httpx.ASGITransport(app=create_app(services, faces))
        self._runner = asyncio.Runner()
        self.token = self._login()

    def close(self) -> None:
        self._runner.close()
        self._waiter.close()
        self._identity.close()

    def _login(self) -> str:
        user = {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "demo", "domain": {"id": "default"}}},
        }
        return self._send("POST", "/identity/v3/auth/tokens", {}, {"auth": auth}).headers["x-subject-token"]

    def _send(self, method: str, path: str, headers: dict[str, str], body: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://cloud", timeout=60) as client:
                return await client.request(method, path, headers=headers, json=body)

        return self._runner.run(send())

    def ask(self, method: str, path: str, body: Any = None, *, version: str = "2.1", status: int = 200) -> Any:
        """A call of the compute face; the answer's JSON, None for no body."""
        headers = {"X-Auth-Token": self.token, "OpenStack-API-Version": f"compute {version}"}
        answer = self._send(method, f"/compute/v2.1{path}", headers, body)
        assert answer.status_code == status, answer.text
        assert answer.headers["x-openstack-request-id"] == answer.headers["x-compute-request-id"]
        assert answer.headers["openstack-api-version"] == f"compute {version}"
        return answer.json() if answer.content else None

    def make_volume(self) -> str:
        headers = {"X-Auth-Token": self.token}
        answer = self._send("POST", "/volume/v3/volumes", headers, {"volume": {"size": 1}})
        assert answer.status_code == 202, answer.text
        volume_id: str = answer.json()["volume"]["id"]
        wait_until(lambda: self.cloud.status(volume_id) == "available", 30, "the volume is available")
        return volume_id

    def make_server(self, **more: Any) -> str:
        server = {"name": "guest", "flavorRef": "1", "imageRef": self.cloud.bootable, **more}
        server_id: str = self.ask("POST", "/servers", {"server": server}, status=202)["server"]["id"]
        self.wait_server(server_id, "ACTIVE")
        return server_id

    def wait_server(self, server_id: str, status: str) -> None:
        wait_until(lambda: self.cloud.found(server_id).status == status, 30, f"the server is {status}")

    def wait_volume(self, volume_id: str, status: str) -> None:
        wait_until(lambda: self.cloud.status(volume_id) == status, 30, f"the volume is {status}")
