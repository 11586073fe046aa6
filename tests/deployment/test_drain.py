"""An end that was asked for finishes what is under way: requests get their answer, operations go on after the start."""

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deployment.cloud import DeployedCloud
from tests.support.processes import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture
def cloud(processes: Processes, tmp_path: Path) -> DeployedCloud:
    made = DeployedCloud(processes, tmp_path)
    made.start()
    return made


def is_refused(cloud: DeployedCloud) -> bool:
    """Does the API process take no new requests any more?"""
    try:
        httpx.get(f"http://{cloud.address}/healthz", timeout=0.5)
    except httpx.HTTPError:
        return True
    return False


def test_an_upload_under_way_is_finished_and_no_operation_is_lost(cloud: DeployedCloud) -> None:
    url = f"http://{cloud.address}"
    with httpx.Client(timeout=60) as http:
        token = cloud.login(http, url)
        made = http.post(
            f"{url}/image/v2/images",
            headers=token,
            json={"name": "slow", "disk_format": "raw", "container_format": "bare"},
        ).json()
        half, rest = threading.Event(), threading.Event()

        def body() -> Iterator[bytes]:
            yield b"first half " * 1000
            half.set()
            rest.wait(60)
            yield b"second half" * 1000

        answers: list[int] = []

        def upload() -> None:
            octets = {**token, "Content-Type": "application/octet-stream"}
            answer = httpx.put(f"{url}/image/v2/images/{made['id']}/file", content=body(), headers=octets, timeout=60)
            answers.append(answer.status_code)

        uploading = threading.Thread(target=upload)
        uploading.start()
        assert half.wait(30)
        volumes = [
            http.post(f"{url}/volume/v3/volumes", headers=token, json={"volume": {"size": 1}}).json()["volume"]["id"]
            for _ in range(8)
        ]
        assert cloud.process is not None
        cloud.process.send(signal.SIGTERM)
        wait_until(lambda: is_refused(cloud), 20, "no new request is taken")
        rest.set()
        uploading.join(60)
        assert answers == [204]
        assert cloud.process.wait(60) == 0

    cloud.start()
    with httpx.Client(timeout=60) as http:
        token = cloud.login(http, url)
        data = http.get(f"{url}/image/v2/images/{made['id']}/file", headers=token)
        assert data.content == b"first half " * 1000 + b"second half" * 1000

        def settled() -> bool:
            found = http.get(f"{url}/volume/v3/volumes/detail", headers=token).json()["volumes"]
            return {one["id"]: one["status"] for one in found} == dict.fromkeys(volumes, "available")

        wait_until(settled, 30, "every volume that was promised is available")


def test_a_request_that_waits_for_its_operation_is_answered_before_the_agent_ends(cloud: DeployedCloud) -> None:
    """The API process ends first, the agent that does the work after it."""
    url = f"http://{cloud.address}"
    with httpx.Client(timeout=60) as http:
        token = {**cloud.login(http, url, "admin"), "OpenStack-API-Version": "volume 3.44"}
        made = http.post(f"{url}/volume/v3/volumes", headers=token, json={"volume": {"size": 1}}).json()["volume"]["id"]

        def available() -> bool:
            found = http.get(f"{url}/volume/v3/volumes/{made}", headers=token).json()["volume"]
            return bool(found["status"] == "available")

        wait_until(available, 30, "the volume is available")
        reserved = http.post(f"{url}/volume/v3/attachments", headers=token, json={"attachment": {"volume_uuid": made}})
        assert reserved.status_code == 200, reserved.text
        attachment = reserved.json()["attachment"]["id"]
        connector = {
            "host": "pumice",
            "ip": "127.0.0.1",
            "initiator": "iqn.2026-11.example:drain",
            "os_type": "linux",
            "platform": "x86_64",
            "multipath": False,
            "mountpoint": "/dev/vdb",
        }
        update = httpx.Request(
            "PUT", f"{url}/volume/v3/attachments/{attachment}", headers=token,
            json={"attachment": {"connector": connector}},
        )  # fmt: skip
        update.read()
        head = f"PUT {update.url.path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in update.headers.items()
        )
        with socket.create_connection(("127.0.0.1", cloud.port)) as plain:
            plain.settimeout(60)
            plain.sendall(head.encode() + b"\r\n" + update.content[:10])
            assert cloud.process is not None
            cloud.process.send(signal.SIGTERM)
            wait_until(lambda: is_refused(cloud), 20, "no new request is taken")
            plain.sendall(update.content[10:])
            answer = b""
            while data := plain.recv(65536):
                answer += data
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b"connection_info" in answer
        assert cloud.process.wait(60) == 0
