"""The image face over real HTTP, tokens, routes and all: formats, hostile data, sharing, lists, what is not offered."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.volume_cloud import DEADLINE, Account, ServedCloud
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

MIB = 1 << 20
GIB = 1 << 30
PATCH = "application/openstack-images-v2.1-json-patch"


def call(user: Account, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
    """One call of the image face; path: behind /image."""
    headers = {"X-Auth-Token": user.token, **options.pop("headers", {})}
    return user.served.http.request(method, f"/image{path}", headers=headers, json=body, **options)


def ask(user: Account, method: str, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
    answer = call(user, method, path, body, **options)
    assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def refused(user: Account, method: str, path: str, body: Any = None, status: int = 400, **options: Any) -> str:
    (fault,) = ask(user, method, path, body, status, **options).values()
    assert fault["code"] == status
    return str(fault["message"])


def new(user: Account, disk_format: str = "raw", **fields: Any) -> str:
    body = {"name": disk_format, "disk_format": disk_format, "container_format": "bare", **fields}
    return str(ask(user, "POST", "/v2/images", body, 201)["id"])


def put(user: Account, image_id: str, data: bytes | Iterator[bytes]) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream", "X-Auth-Token": user.token}
    return user.served.http.put(f"/image/v2/images/{image_id}/file", headers=headers, content=data)


def filled(user: Account, data: bytes, disk_format: str = "raw", **fields: Any) -> str:
    image_id = new(user, disk_format, **fields)
    answer = put(user, image_id, data)
    assert answer.status_code == 204, answer.text
    return image_id


def converted(folder: Path, disk_format: str, content: bytes, size: int, *options: str) -> bytes:
    """A disk that begins with the content, in another format."""
    raw, made = folder / "raw", folder / "made"
    raw.write_bytes(content)
    os.truncate(raw, size)
    command = ["qemu-img", "convert", "-f", "raw", "-O", disk_format, *options, str(raw), str(made)]
    subprocess.run(command, check=True)
    return made.read_bytes()


def left_over(served: ServedCloud, image_id: str) -> list[str]:
    """Files of the image in the store."""
    return [path.name for path in served.cloud.images.directory.rglob("*") if image_id in path.name]


def begin_of(served: ServedCloud, volume_id: str, folder: Path, count: int) -> bytes:
    """The first bytes of a volume."""
    (backend,) = served.cloud.world.backends.values()
    path = folder / "exported"
    backend.storage.export_file(volume_id, str(path), lambda done, total: None)
    with path.open("rb") as file:
        return file.read(count)


def test_a_volume_has_the_disk_that_is_in_the_image(served: ServedCloud, user: Account, tmp_path: Path) -> None:
    content = os.urandom(MIB)
    data = converted(tmp_path, "qcow2", content, 64 * MIB)
    image_id = filled(user, data, "qcow2")
    image = ask(user, "GET", f"/v2/images/{image_id}")
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(data), 64 * MIB)
    assert call(user, "GET", f"/v2/images/{image_id}/file").content == data
    volume_id = user.volume(1, imageRef=image_id)
    shown = user.ask("GET", f"/volumes/{volume_id}")["volume"]
    assert shown["bootable"] == "true" and shown["volume_image_metadata"]["disk_format"] == "qcow2"
    assert begin_of(served, volume_id, tmp_path, 2 * MIB) == content + bytes(MIB)
    body = {"os-volume_upload_image": {"image_name": "copy", "disk_format": "qcow2"}}
    begun = user.ask("POST", f"/volumes/{volume_id}/action", body, status=202)["os-volume_upload_image"]
    copy = f"/v2/images/{begun['image_id']}"
    wait_until(lambda: bool(ask(user, "GET", copy)["status"] == "active"), DEADLINE, "the image is active")
    found = ask(user, "GET", copy)
    assert (found["disk_format"], found["virtual_size"]) == ("qcow2", GIB) and found["size"] < 4 * MIB
    user.wait_volume(volume_id, "available")
    wrong = {"os-volume_upload_image": {"image_name": "copy", "disk_format": "iso"}}
    message = user.refused("POST", f"/volumes/{volume_id}/action", wrong, status=400)
    assert "'iso'; images of volumes are raw, qcow2, vdi, vmdk" in message


def test_a_volume_must_hold_the_disk_inside_of_the_image(served: ServedCloud, user: Account, tmp_path: Path) -> None:
    image_id = filled(user, converted(tmp_path, "qcow2", b"x", 3 * GIB), "qcow2")
    body = {"volume": {"size": 2, "imageRef": image_id}}
    message = user.refused("POST", "/volumes", body, status=400)
    assert "'size': 2" in message and "at least 3 GiB" in message
    smaller = filled(user, converted(tmp_path, "qcow2", b"x", MIB), "qcow2", min_disk=2)
    body = {"volume": {"size": 1, "imageRef": smaller}}
    assert "at least 2 GiB" in user.refused("POST", "/volumes", body, status=400)


def test_a_server_of_a_small_flavor_is_refused_with_both_figures(
    served: ServedCloud, user: Account, tmp_path: Path
) -> None:
    image_id = filled(user, converted(tmp_path, "qcow2", b"x", 3 * GIB), "qcow2")
    body = {"server": {"name": "s", "flavorRef": "3", "imageRef": image_id}}
    answer = served.http.post("/compute/v2.1/servers", headers={"X-Auth-Token": user.token}, json=body)
    assert answer.status_code == 400
    assert "disk of 1 GiB" in answer.text and "needs 3 GiB" in answer.text


def qcow2_with(folder: Path, kind: str) -> bytes:
    """A qcow2 that does harm."""
    made, secret = folder / "trap", folder / "secret"
    secret.write_bytes(b"secret" * 1000)
    words = {
        "backing file": ["-b", str(secret), "-F", "raw", str(made)],
        "external data file": ["-o", f"data_file={secret},data_file_raw=on", str(made), "1M"],
        "bytes": [str(made), "64T"],
    }[kind]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words], check=True)
    return made.read_bytes()


@pytest.mark.parametrize("kind", ["backing file", "external data file", "bytes"])
def test_a_hostile_image_is_refused_and_nothing_is_left(
    kind: str, served: ServedCloud, user: Account, tmp_path: Path
) -> None:
    served.cloud.images.virtual_size_limit = 1 << 40
    image_id = new(user, "qcow2")
    answer = put(user, image_id, qcow2_with(tmp_path, kind))
    assert answer.status_code == 400 and kind in answer.json()["badRequest"]["message"]
    assert ask(user, "GET", f"/v2/images/{image_id}")["status"] == "queued"
    assert left_over(served, image_id) == []
    assert put(user, image_id, converted(tmp_path, "qcow2", b"x", MIB)).status_code == 204


def test_data_of_another_format_is_refused(served: ServedCloud, user: Account, tmp_path: Path) -> None:
    image_id = new(user, "qcow2")
    for data, found in ((bytes(MIB), "no signature"), (converted(tmp_path, "vdi", b"x", MIB), "looks like vdi")):
        answer = put(user, image_id, iter([data] * 8))
        assert answer.status_code == 400 and found in answer.text
        assert left_over(served, image_id) == []
        assert ask(user, "GET", f"/v2/images/{image_id}")["status"] == "queued"


def test_a_raw_image_that_looks_like_a_qcow2_is_bytes(served: ServedCloud, user: Account, tmp_path: Path) -> None:
    trap = qcow2_with(tmp_path, "backing file")
    image_id = filled(user, trap, "raw")
    assert ask(user, "GET", f"/v2/images/{image_id}")["virtual_size"] == len(trap)
    volume_id = user.volume(1, imageRef=image_id)
    assert begin_of(served, volume_id, tmp_path, len(trap)) == trap


def test_more_bytes_than_an_image_may_have_are_refused_on_the_way(served: ServedCloud, user: Account) -> None:
    store = served.cloud.images
    store.size_limit = 3 * MIB
    try:
        image_id = new(user)
        for data in (bytes(3 * MIB + 1), iter([bytes(MIB)] * 4)):
            answer = put(user, image_id, data)
            assert answer.status_code == 413 and str(3 * MIB) in answer.text
            assert ask(user, "GET", f"/v2/images/{image_id}")["status"] == "queued"
            assert left_over(served, image_id) == []
        assert put(user, image_id, bytes(3 * MIB)).status_code == 204
    finally:
        store.size_limit = None


def test_an_image_is_shared_with_a_member(served: ServedCloud, user: Account) -> None:
    image_id, other, stranger = filled(user, b"data"), served.account(), served.account()
    members = f"/v2/images/{image_id}/members"
    assert "could not be found" in refused(other, "GET", members, status=404)
    made = ask(user, "POST", members, {"member": other.project_id})
    assert (made["image_id"], made["member_id"], made["status"]) == (image_id, other.project_id, "pending")
    assert made["schema"] == "/v2/schemas/member"
    refused(user, "POST", members, {"member": other.project_id}, status=409)
    mine = f"{members}/{other.project_id}"
    refused(user, "PUT", mine, {"status": "accepted"}, status=403)
    assert "'status'" in refused(other, "PUT", mine, {"status": "perhaps"})
    assert ask(other, "PUT", mine, {"status": "accepted"})["status"] == "accepted"
    assert image_id in [image["id"] for image in ask(other, "GET", "/v2/images")["images"]]
    for ours in (user, other):
        assert [one["status"] for one in ask(ours, "GET", members)["members"]] == ["accepted"]
        assert ask(ours, "GET", mine)["member_id"] == other.project_id
    refused(stranger, "GET", mine, status=404)
    refused(other, "DELETE", mine, status=403)
    refused(other, "DELETE", f"/v2/images/{image_id}", status=403)
    ask(user, "DELETE", mine, status=204)
    refused(other, "GET", f"/v2/images/{image_id}", status=404)
    assert "'member'" in refused(user, "POST", members, {"member": ""})
    assert "member" in refused(user, "POST", members, {})


def test_lists_are_sorted_by_several_keys_and_paged(served: ServedCloud, user: Account) -> None:
    for name, size in (("b", 1), ("a", 2), ("a", 1)):
        filled(user, b"x" * size, name=name)
    sorted_by = {
        "sort_key=name&sort_dir=asc&sort_key=size&sort_dir=desc": [("a", 2), ("a", 1), ("b", 1)],
        "sort_key=size&sort_key=name&sort_dir=asc": [("a", 1), ("b", 1), ("a", 2)],
        "sort=name:desc,size:asc": [("b", 1), ("a", 1), ("a", 2)],
    }
    for query, expected in sorted_by.items():
        found, path = [], f"/v2/images?limit=2&visibility=shared&{query}"
        while path:
            page = ask(user, "GET", path)
            assert len(page["images"]) <= 2 and page["first"].startswith("/v2/images?")
            found += [(image["name"], image["size"]) for image in page["images"]]
            path = page.get("next", "")
        assert found == expected, query
    assert "sort" in refused(user, "GET", "/v2/images?sort_key=colour")
    assert "sort_dir" in refused(user, "GET", "/v2/images?sort_key=name&sort_key=size&sort_dir=asc&sort_dir=up,asc")
    assert "limit" in refused(user, "GET", "/v2/images?limit=-1")
    assert "marker" in refused(user, "GET", "/v2/images?marker=x")


def test_what_is_not_offered_says_so(served: ServedCloud, user: Account) -> None:
    assert ask(user, "GET", "/v2/info/import")["import-methods"]["value"] == []
    (store,) = ask(user, "GET", "/v2/info/stores")["stores"]
    assert (store["id"], store["default"]) == ("file", "true")
    image_id = new(user)
    body = {"method": {"name": "web-download", "uri": "http://192.0.2.1/x"}}
    message = refused(user, "POST", f"/v2/images/{image_id}/import", body)
    assert "'web-download'" in message and f"PUT /v2/images/{image_id}/file" in message
    assert "name the import method" in refused(user, "POST", f"/v2/images/{image_id}/import", {"method": 1})
    assert "Staging" in refused(user, "PUT", f"/v2/images/{image_id}/stage", {})
    refused(served.account(), "PUT", f"/v2/images/{image_id}/stage", {}, status=404)
    headers = {"Content-Type": "application/octet-stream", "X-Image-Meta-Store": "ceph"}
    assert "no store 'ceph'" in refused(user, "PUT", f"/v2/images/{image_id}/file", headers=headers)
    assert call(user, "GET", f"/v2/images/{image_id}/locations").status_code == 404
    changes = [{"op": "add", "path": "/locations", "value": []}]
    message = refused(user, "PATCH", f"/v2/images/{image_id}", changes, 403, headers={"Content-Type": PATCH})
    assert "'locations' is read-only" in message


@pytest.mark.parametrize("name", ["image", "images", "member", "members"])
def test_schemas_tell_what_the_answers_have(name: str, served: ServedCloud, user: Account) -> None:
    schema = ask(user, "GET", f"/v2/schemas/{name}")
    assert schema["name"] == name
    if name == "image":
        shown = ask(user, "GET", f"/v2/images/{new(user)}")
        assert set(shown) <= set(schema["properties"])
        assert "qcow2" in schema["properties"]["disk_format"]["enum"]


def test_a_deleted_image_is_gone_for_everybody(served: ServedCloud, user: Account, operator: Account) -> None:
    image_id = filled(user, b"data")
    ask(user, "DELETE", f"/v2/images/{image_id}", status=204)
    for who in (user, operator):
        refused(who, "GET", f"/v2/images/{image_id}", status=404)
        refused(who, "GET", f"/v2/images/{image_id}/file", status=404)
        assert image_id not in [image["id"] for image in ask(who, "GET", "/v2/images?visibility=all")["images"]]
    body = {"volume": {"size": 1, "imageRef": image_id}}
    assert "could not be found" in user.refused("POST", "/volumes", body, status=404)
