"""The compute API over HTTP, in this process: statuses, microversions, envelopes, what a user reads of a failure."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pumice.api import compute, identity, volume
from pumice.api.app import create_app
from pumice.api.edge.logs import AccessLog
from pumice.api.edge.services import Services
from pumice.api.faces import compute_face, identity_face, volume_face
from pumice.hypervisors.memory import Behaviour
from pumice.identity.bootstrap import bootstrap
from pumice.identity.identity import Identity
from pumice.operations.waiting import OperationWaiter
from pumice.settings import Settings
from tests.block.cloud import prepare
from tests.compute.cloud import ComputeCloud
from tests.support.databases import Databases
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

PASSWORD = secrets.token_urlsafe(12)
MISSING = "00000000-0000-4000-8000-000000000000"


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
        self._transport = httpx.ASGITransport(app=create_app(services, faces))  # type: ignore[arg-type]
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


@pytest.fixture
def client(database_kind: str, databases: Databases, tmp_path: Path) -> Iterator[Client]:
    with databases.fresh(database_kind, prepare) as url:
        cloud = ComputeCloud(url, tmp_path)
        made = Client(cloud, tmp_path)
        with cloud.working():
            yield made
            cloud.wait_idle()
        cloud.assert_derived()
        made.close()
        cloud.close()


def test_a_server_is_shown_as_each_microversion_has_it(client: Client) -> None:
    server = client.make_server()
    (found,) = client.ask("GET", "/servers")["servers"]
    assert set(found) == {"id", "name", "links"}
    old = client.ask("GET", f"/servers/{server}")["server"]
    assert old["flavor"]["id"] == "1" and old["image"]["id"] == client.cloud.bootable
    assert old["addresses"] == {} and old["OS-EXT-STS:power_state"] == 1 and "locked" not in old
    assert client.ask("GET", f"/servers/{server}", version="2.9")["server"]["locked"] is False
    new = client.ask("GET", f"/servers/{server}", version="2.96")["server"]
    assert new["flavor"] == {
        "original_name": "m1.tiny",
        "vcpus": 1,
        "ram": 128,
        "disk": 0,
        "ephemeral": 0,
        "swap": 0,
        "extra_specs": {},
    }
    assert (new["tags"], new["description"], new["locked_reason"]) == ([], "guest", None)
    client.ask("DELETE", f"/servers/{server}", status=204)
    client.wait_server(server, "DELETED")
    assert client.ask("GET", f"/servers/{server}", status=404)["itemNotFound"]["code"] == 404


def test_an_attachment_is_shown_as_each_microversion_has_it(client: Client) -> None:
    server, volume_id = client.make_server(), client.make_volume()
    path = f"/servers/{server}/os-volume_attachments"
    asked = client.ask("POST", path, {"volumeAttachment": {"volumeId": volume_id, "device": "/dev/vdb"}})
    expected = {"id": volume_id, "volumeId": volume_id, "serverId": server, "device": "/dev/vdb"}
    assert asked == {"volumeAttachment": expected}
    client.wait_volume(volume_id, "in-use")
    assert client.ask("GET", path) == {"volumeAttachments": [expected]}
    assert client.ask("GET", f"{path}/{volume_id}", version="2.79")["volumeAttachment"] == {
        **expected,
        "tag": None,
        "delete_on_termination": False,
    }
    newest = client.ask("GET", f"{path}/{volume_id}", version="2.89")["volumeAttachment"]
    assert "id" not in newest and {"attachment_id", "bdm_uuid"} <= set(newest)
    body = {"volumeAttachment": {"volumeId": volume_id, "delete_on_termination": True}}
    client.ask("PUT", f"{path}/{volume_id}", body, version="2.85", status=202)
    shown = client.ask("GET", f"/servers/{server}", version="2.3")["server"]
    assert shown["os-extended-volumes:volumes_attached"] == [{"id": volume_id, "delete_on_termination": True}]

    assert client.ask("DELETE", f"{path}/{volume_id}", status=202) is None
    client.wait_volume(volume_id, "available")
    client.ask("GET", f"{path}/{volume_id}", status=404)
    assert client.ask("POST", path, {"volumeAttachment": {"volumeId": volume_id}}, version="2.101", status=202) is None


def test_a_failed_attach_is_in_the_actions_of_the_server(client: Client) -> None:
    server, volume_id = client.make_server(), client.make_volume()
    client.cloud.simulator.behave(Behaviour(refuse_attach="error reading header"))
    client.ask("POST", f"/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume_id}})
    client.wait_volume(volume_id, "available")
    action = client.ask("GET", f"/servers/{server}/os-instance-actions")["instanceActions"][0]
    assert action["action"] == "attach_volume" and "error reading header" in action["message"]
    path = f"/servers/{server}/os-instance-actions/{action['request_id']}"
    (event,) = client.ask("GET", path, version="2.84")["instanceAction"]["events"]
    assert (event["event"], event["result"]) == ("compute_attach_volume", "Error")
    assert "error reading header" in event["details"]


def test_actions(client: Client) -> None:
    server = client.make_server()
    path = f"/servers/{server}/action"
    client.cloud.simulator.print_console(server, "hello\n")
    answer = client.ask("POST", path, {"os-getConsoleOutput": {"length": "1"}})
    assert answer == {"output": "hello\n"}
    client.ask("POST", path, {"os-stop": None}, status=202)
    client.wait_server(server, "SHUTOFF")
    assert "SHUTOFF" in client.ask("POST", path, {"os-stop": None}, status=409)["conflictingRequest"]["message"]
    client.ask("POST", path, {"os-start": None}, status=202)
    client.wait_server(server, "ACTIVE")
    message = client.ask("POST", path, {"os-frobnicate": None}, status=400)["badRequest"]["message"]
    assert "os-frobnicate" in message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"flavorRef": "no-such"}, "no-such"),
        ({"imageRef": MISSING}, MISSING),
        ({"imageRef": ""}, "boot"),
        ({"user_data": "no base64!"}, "user_data"),
        ({"key_name": "mine"}, "key_name"),
        ({"networks": [{"uuid": MISSING}]}, "networks"),
        ({"nonsense": 1}, "nonsense"),
        ({"block_device_mapping_v2": [{"source_type": "volume", "uuid": MISSING}]}, MISSING),
        ({"block_device_mapping_v2": [{"source_type": "moon"}]}, "source_type"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(client: Client, change: dict[str, Any], named: str) -> None:
    server = {"name": "guest", "flavorRef": "1", "imageRef": client.cloud.bootable, **change}
    message = client.ask("POST", "/servers", {"server": server}, status=400)["badRequest"]["message"]
    assert named in message
    assert client.ask("GET", "/servers") == {"servers": []}


def test_refusals_of_attach_have_the_documented_codes(client: Client) -> None:
    server, volume_id = client.make_server(), client.make_volume()
    path = f"/servers/{server}/os-volume_attachments"
    client.ask("POST", path, {"volumeAttachment": {"volumeId": MISSING}}, status=404)
    client.ask("POST", path, {"volumeAttachment": {"volumeId": volume_id, "device": "no device"}}, status=400)
    client.ask("POST", path, {"volumeAttachment": {"volumeId": volume_id, "tag": "x"}}, status=400)
    client.ask("POST", path, {"volumeAttachment": {"volumeId": volume_id}})
    client.ask("POST", path, {"volumeAttachment": {"volumeId": volume_id}}, status=400)
    client.ask("DELETE", f"{path}/{MISSING}", status=404)
    client.ask("DELETE", f"{path}/{volume_id}", status=202)
    client.ask("GET", "/os-cells", status=404)


def test_flavors_are_made_and_removed_by_administrators(client: Client) -> None:
    body = {"flavor": {"name": "big", "ram": 1024, "vcpus": 2, "disk": 1, "id": "big"}}
    assert client.ask("POST", "/flavors", body)["flavor"]["swap"] == ""
    assert client.ask("POST", "/flavors", body, status=409)["conflictingRequest"]["code"] == 409
    assert client.ask("GET", "/flavors/big", version="2.75")["flavor"]["swap"] == 0
    names = [flavor["name"] for flavor in client.ask("GET", "/flavors/detail")["flavors"]]
    assert names == ["m1.tiny", "m1.small", "m1.medium", "big"]
    client.ask("DELETE", "/flavors/big", status=202)
    client.ask("GET", "/flavors/big", status=404)
