"""Bytes of images over real HTTP, in and out of a server process that is measured, filled and killed."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from pumice.caller import new_id
from pumice.db.engine import Database
from pumice.images import uploads
from pumice.images.store import ImageStore
from tests.support.ports import free_port
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent.parent
MIB = 1 << 20
BYTES = {"Content-Type": "application/octet-stream"}
RAW = {"disk_format": "raw", "container_format": "bare"}


class Server:
    """The image face in a process, and a client of one project."""

    def __init__(self, processes: Processes, url: str, directory: Path, *limit: str) -> None:
        self.directory = directory
        self._processes = processes
        self._words = (url, str(directory))
        self._limit = limit
        self.project_id = new_id()
        self._opened: list[httpx.Client | socket.socket] = []
        self.start()

    def start(self) -> None:
        self.port = free_port()
        command = (sys.executable, "-m", "tests.images.server", *self._words, str(self.port), *self._limit)
        self.process: Process = self._processes.start(*command, directory=ROOT)
        self.process.wait_for_output("Uvicorn running", deadline=30)
        self.client = self.new_client()

    def new_client(self) -> httpx.Client:
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"X-Project": self.project_id}, timeout=120
        )
        self._opened.append(client)
        return client

    def close(self) -> None:
        """End every connection."""
        for one in self._opened:
            one.close()

    def create(self, **body: Any) -> str:
        answer = self.client.post("/v2/images", json={**RAW, **body})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def put(self, image_id: str, content: Any, **headers: str) -> httpx.Response:
        return self.client.put(f"/v2/images/{image_id}/file", content=content, headers={**BYTES, **headers})

    def show(self, image_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/v2/images/{image_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def half(self, image_id: str, sent: int) -> socket.socket:
        """A connection that announced twice as much as it sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self._opened.append(connection)
        head = (
            f"PUT /v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\nX-Project: {self.project_id}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {sent * 2}\r\n\r\n"
        )
        connection.sendall(head.encode() + os.urandom(sent))
        return connection

    def files(self) -> list[str]:
        return sorted(set(os.listdir(self.directory)) - {".lock"})


@pytest.fixture
def server(schema_url: str, processes: Processes, tmp_path: Path) -> Iterator[Server]:
    with closing(Server(processes, schema_url, tmp_path / "images")) as started:
        yield started


def peak_memory(process: Process) -> int:
    """Bytes of memory that the process had at most."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_a_large_image_goes_in_and_out_in_constant_memory(server: Server) -> None:
    block = os.urandom(MIB)
    size = 300
    image_id = server.create(name="large")
    server.put(server.create(), block)
    before = peak_memory(server.process)
    assert server.put(image_id, (block for _ in range(size))).status_code == 204  # chunked
    digests = hashlib.md5(usedforsecurity=False), hashlib.sha512()
    for digest in digests:
        for _ in range(size):
            digest.update(block)
    image = server.show(image_id)
    assert (image["status"], image["size"], image["checksum"]) == ("active", size * MIB, digests[0].hexdigest())
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", digests[1].hexdigest())
    received = hashlib.sha512()
    with server.client.stream("GET", f"/v2/images/{image_id}/file") as answer:
        assert answer.headers["content-length"] == str(size * MIB)
        for part in answer.iter_bytes():
            received.update(part)
    assert received.hexdigest() == image["os_hash_value"]
    assert peak_memory(server.process) - before < 32 * MIB


def test_others_are_answered_while_uploads_run(server: Server) -> None:
    running = [server.half(server.create(), 8 * MIB) for _ in range(6)]
    assert server.client.get("/v2/images", timeout=5).status_code == 200
    image_id = server.create()
    assert server.put(image_id, b"small", **{"Content-Length": "5"}).status_code == 204
    for connection in running:
        connection.close()
    wait_until(lambda: server.files() == [image_id], 20, "the broken uploads are cleared away")


def test_a_client_that_goes_away_leaves_a_queued_image(server: Server) -> None:
    image_id = server.create()
    connection = server.half(image_id, 3 * MIB)
    wait_until(lambda: server.show(image_id)["status"] == "saving", 20, "the upload has begun")
    connection.close()
    wait_until(lambda: server.show(image_id)["status"] == "queued", 20, "the image is queued again")
    wait_until(lambda: server.files() == [], 20, "its bytes are gone")
    assert server.put(image_id, b"again").status_code == 204
    assert server.show(image_id)["size"] == 5


def test_of_two_uploads_at_once_one_wins(server: Server) -> None:
    image_id = server.create()
    answers: list[int] = []
    barrier = threading.Barrier(2)

    def upload(letter: bytes) -> None:
        barrier.wait()
        with server.new_client() as client:
            answer = client.put(f"/v2/images/{image_id}/file", content=letter * (4 * MIB), headers=BYTES)
        answers.append(answer.status_code)

    threads = [threading.Thread(target=upload, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [204, 409]
    data = server.client.get(f"/v2/images/{image_id}/file").content
    assert data in (b"a" * (4 * MIB), b"b" * (4 * MIB))
    assert hashlib.md5(data, usedforsecurity=False).hexdigest() == server.show(image_id)["checksum"]
    assert server.put(image_id, b"late").status_code == 409
    assert server.files() == [image_id]


def test_changes_at_once_are_all_made_and_an_id_is_given_once(server: Server) -> None:
    wanted = str(uuid.uuid4())

    def create(number: int) -> int:
        return server.client.post("/v2/images", json={**RAW, "id": wanted}).status_code

    def tag(number: int) -> int:
        return server.client.put(f"/v2/images/{wanted}/tags/tag-{number}").status_code

    def change(number: int) -> int:
        changes = [{"op": "add", "path": f"/property-{number}", "value": "x"}]
        patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        return server.client.patch(f"/v2/images/{wanted}", content=json.dumps(changes), headers=patch).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(create, range(8))) == [201] + [409] * 7
        assert set(threads.map(tag, range(8))) == {204}
        assert set(threads.map(change, range(8))) == {200}
    image = server.show(wanted)
    assert sorted(image["tags"]) == [f"tag-{number}" for number in range(8)]
    assert {f"property-{number}" for number in range(8)} <= image.keys()


def test_a_kill_in_the_middle_is_swept(server: Server, schema_url: str) -> None:
    image_id, other_id = server.create(), server.create()
    for one in (image_id, other_id):
        server.half(one, 3 * MIB)
    saving = {"saving"}
    wait_until(lambda: {server.show(one)["status"] for one in (image_id, other_id)} == saving, 20, "both have begun")
    store = ImageStore(server.directory)
    database = Database(schema_url)
    try:
        assert uploads.sweep(database, store) == uploads.Swept([], [])
        server.process.kill()
        server.start()
        assert server.show(other_id)["status"] == "saving"
        assert server.put(other_id, b"at once, before any sweep").status_code == 204
        swept = uploads.sweep(database, store)
    finally:
        database.close()
        store.close()
    assert swept.queued == [image_id]
    assert server.show(image_id)["status"] == "queued"
    assert server.files() == [other_id]
    assert server.put(image_id, b"again").status_code == 204


def test_deleting_an_image_ends_its_upload(server: Server) -> None:
    image_id = server.create()
    connection = server.half(image_id, 2 * MIB)
    wait_until(lambda: server.show(image_id)["status"] == "saving", 20, "the upload has begun")
    assert server.client.delete(f"/v2/images/{image_id}").status_code == 204
    connection.sendall(bytes(2 * MIB))
    assert connection.recv(100).startswith(b"HTTP/1.1 409")
    connection.close()
    wait_until(lambda: server.files() == [], 20, "its bytes are gone")


@pytest.mark.parametrize("announced", [True, False])
def test_a_full_disk_is_told_and_leaves_nothing(
    schema_url: str, processes: Processes, tmp_path: Path, announced: bool
) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(mount)], check=True)
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", str(mount)], check=True)
        server = Server(processes, schema_url, mount / "images")
        stack.callback(server.process.end)
        stack.callback(server.close)
        image_id = server.create()
        data = os.urandom(16 * MIB)
        answer = server.put(image_id, data if announced else (data[at : at + MIB] for at in range(0, len(data), MIB)))
        assert answer.status_code == 413
        assert "image store" in answer.json()["overLimit"]["message"]
        assert server.show(image_id)["status"] == "queued"
        assert server.files() == []
        assert server.put(image_id, b"fits").status_code == 204


def test_an_image_larger_than_the_limit_is_refused(schema_url: str, processes: Processes, tmp_path: Path) -> None:
    with closing(Server(processes, schema_url, tmp_path / "images", str(MIB))) as server:
        image_id = server.create()
        for content in (bytes(MIB + 1), iter([bytes(MIB), b"!"])):
            answer = server.put(image_id, content)
            assert (answer.status_code, "1048576 bytes" in answer.text) == (413, True)
        assert server.files() == []
        assert server.put(image_id, bytes(MIB)).status_code == 204


RANGES: list[tuple[str, int, bytes | None, str | None]] = [
    ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
    ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
    ("bytes=-2", 206, b"89", "bytes 8-9/10"),
    ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
    ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=10-", 416, None, None),
    ("bytes=5-4", 416, None, None),
    ("bytes=-0", 416, None, None),
    ("bytes=0-1,4-5", 416, None, None),
    ("lines=1-2", 416, None, None),
]


def test_a_range_is_sent(server: Server) -> None:
    image_id = server.create()
    server.put(image_id, b"0123456789")
    for asked, status, expected, told in RANGES:
        answer = server.client.get(f"/v2/images/{image_id}/file", headers={"Range": asked})
        content = answer.content if answer.status_code == 206 else None
        assert (answer.status_code, content, answer.headers.get("content-range")) == (status, expected, told), asked


def test_data_needs_its_content_type_and_an_image(server: Server) -> None:
    image_id = server.create()
    assert server.client.put(f"/v2/images/{image_id}/file", content=b"x").status_code == 415
    assert server.put(new_id(), b"x").status_code == 404
    assert server.client.get(f"/v2/images/{image_id}/file").status_code == 204
    assert server.show(image_id)["status"] == "queued"
    assert not server.directory.exists() or server.files() == []


def test_the_calls_of_clients(server: Server) -> None:
    image_id = server.create(name="one", tags=["t", "u"], kernel_id="k")
    server.create(name="two")
    patch_type = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    changes = '[{"op": "replace", "path": "/name", "value": "three"}, {"op": "add", "path": "/colour", "value": "red"}]'
    patched = server.client.patch(f"/v2/images/{image_id}", content=changes, headers=patch_type)
    assert (patched.status_code, patched.json()["name"], patched.json()["colour"]) == (200, "three", "red")
    assert server.client.patch(f"/v2/images/{image_id}", json=[]).status_code == 415
    both = server.client.get("/v2/images?tag=t&tag=u&name=three").json()
    assert [image["id"] for image in both["images"]] == [image_id]
    assert (both["first"], both["schema"]) == ("/v2/images?tag=t&tag=u&name=three", "/v2/schemas/images")
    first = server.client.get("/v2/images?limit=1&sort=name:asc").json()
    second = server.client.get(first["next"]).json()
    assert [image["name"] for page in (first, second) for image in page["images"]] == ["three", "two"]
    assert "next" not in second
    assert server.client.put(f"/v2/images/{image_id}/tags/v").status_code == 204
    assert server.client.delete(f"/v2/images/{image_id}/tags/t").status_code == 204
    assert server.show(image_id)["tags"] == ["u", "v"]
    server.put(image_id, b"data")
    assert server.client.post(f"/v2/images/{image_id}/actions/deactivate").status_code == 204
    assert server.client.get(f"/v2/images/{image_id}/file").status_code == 403
    assert server.client.post(f"/v2/images/{image_id}/actions/reactivate").status_code == 204
    assert server.client.get(f"/v2/images/{image_id}/file").content == b"data"
    assert server.client.delete(f"/v2/images/{image_id}").status_code == 204
    assert server.client.get(f"/v2/images/{image_id}").status_code == 404
    assert server.files() == [image_id], "its bytes are kept for who wants it back"


def test_a_body_that_is_none_is_refused(server: Server) -> None:
    for body in ("", "[]", "nonsense", '{"name": ', '{"name": "\\ud800"}', "[" * 100_000, "7"):
        assert server.client.post("/v2/images", content=body).status_code == 400, body
