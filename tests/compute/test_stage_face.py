"""Actions on servers over HTTP: statuses, headers, microversions, refusals by name; volumes as they once were."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pumice.images import images
from tests.block.cloud import prepare
from tests.compute.client import Client
from tests.compute.cloud import ComputeCloud
from tests.compute.test_face import MISSING
from tests.support.databases import Databases

pytestmark = pytest.mark.real


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


def act(client: Client, server: str, body: dict[str, Any], *, version: str = "2.1", status: int = 202) -> Any:
    return client.ask("POST", f"/servers/{server}/action", body, version=version, status=status)


def test_every_action_leads_to_the_status_that_clients_wait_for(client: Client) -> None:
    server = client.make_server(imageRef=client.cloud.image(b"a system"), flavorRef="2")
    for body, status in (
        ({"suspend": None}, "SUSPENDED"),
        ({"resume": None}, "ACTIVE"),
        ({"reboot": {"type": "SOFT"}}, "ACTIVE"),
        ({"reboot": {"type": "HARD"}}, "ACTIVE"),
        ({"resize": {"flavorRef": "3"}}, "VERIFY_RESIZE"),
        ({"revertResize": None}, "ACTIVE"),
        ({"shelve": None}, "SHELVED_OFFLOADED"),
        ({"unshelve": None}, "ACTIVE"),
        ({"os-resetState": {"state": "error"}}, "ERROR"),
        ({"os-resetState": {"state": "active"}}, "ACTIVE"),
    ):
        assert act(client, server, body) is None
        client.cloud.wait_idle()
        client.wait_server(server, status)
        assert client.ask("GET", f"/servers/{server}")["server"]["OS-EXT-STS:task_state"] is None
    act(client, server, {"resize": {"flavorRef": "3"}})
    client.cloud.wait_idle()
    act(client, server, {"confirmResize": None}, status=204)
    client.cloud.wait_idle()
    act(client, server, {"forceDelete": None})
    client.wait_server(server, "DELETED")


def test_a_rebuild_answers_with_the_server_and_its_password(client: Client) -> None:
    server = client.make_server()
    other = client.cloud.image(b"another system")
    body = {"imageRef": other, "name": "new", "metadata": {"a": "b"}, "adminPass": "secret word"}
    answer = act(client, server, {"rebuild": body}, version="2.57")["server"]
    assert (answer["image"]["id"], answer["name"], answer["metadata"]) == (other, "new", {"a": "b"})
    assert (answer["adminPass"], answer["user_data"], answer["status"]) == ("secret word", None, "REBUILD")
    assert answer["key_name"] is None
    client.cloud.wait_idle()
    client.wait_server(server, "ACTIVE")
    answer = act(client, server, {"rebuild": {"imageRef": other}}, version="2.53")["server"]
    assert not {"key_name", "user_data", "config_drive"} & set(answer)
    client.cloud.wait_idle()
    client.wait_server(server, "ACTIVE")
    answer = act(client, server, {"rebuild": {"imageRef": other}}, version="2.75")["server"]
    assert [name for name in answer if name.endswith("user_data")] == ["user_data"]
    client.cloud.wait_idle()
    for change, named in (
        ({"personality": [{"path": "a"}]}, "personality"),
        ({"preserve_ephemeral": True}, "preserve_ephemeral"),
        ({"nonsense": 1}, "nonsense"),
        ({"imageRef": MISSING}, MISSING),
        ({"user_data": "no base64!"}, "user_data"),
        ({"key_name": "nobody's"}, "key_name"),
    ):
        version = "2.1" if "personality" in change else "2.57"
        refused = act(client, server, {"rebuild": {"imageRef": other, **change}}, version=version, status=400)
        assert named in refused["badRequest"]["message"]


def test_an_image_of_a_server_is_told_in_the_location_and_from_2_45_on_in_the_body(client: Client) -> None:
    server = client.make_server(imageRef=client.cloud.image(b"a system"))
    assert act(client, server, {"createImage": {"name": "one"}}) is None
    client.cloud.wait_idle()
    answer = act(client, server, {"createImage": {"name": "two", "metadata": {"a": "b"}}}, version="2.45")
    image = client.cloud.read(images.find, answer["image_id"])
    assert image is not None and (image.name, image.properties["a"]) == ("two", "b")
    for body in ({"name": ""}, {"name": "x" * 256}, {"name": "x", "metadata": {"a": 1}}, {}):
        act(client, server, {"createImage": body}, status=400)


def test_what_is_not_offered_is_refused_by_name(client: Client) -> None:
    server = client.make_server()
    said = act(client, server, {"os-getVNCConsole": {"type": "novnc"}}, status=400)["badRequest"]["message"]
    assert "Unavailable console type novnc" in said and "os-getConsoleOutput" in said
    body = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    client.ask("POST", f"/servers/{server}/remote-consoles", body, status=404)
    said = client.ask("POST", f"/servers/{server}/remote-consoles", body, version="2.6", status=400)
    assert "novnc" in said["badRequest"]["message"]
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"unshelve": {"availability_zone": "nova"}}, "2.76"),
        ({"unshelve": {"host": "node1"}}, "2.90"),
        ({"unshelve": {"availability_zone": None}}, "2.77"),
        ({"os-resetState": {"state": "paused"}}, "2.1"),
        ({"reboot": {"type": "GENTLE"}}, "2.1"),
        ({"resize": {"flavorRef": "no-such"}}, "2.1"),
        ({"resize": {}}, "2.1"),
        ({"resize": {"flavorRef": "2", "OS-DCF:diskConfig": "BOTH"}}, "2.1"),
        ({"lock": {"locked_reason": "x"}}, "2.72"),
    )
    for asked, version in wrong:
        act(client, server, asked, version=version, status=400)
    for key in ("confirmResize", "revertResize", "unshelve", "restore"):
        refused = act(client, server, {key: None}, status=409)["conflictingRequest"]["message"]
        assert f"Cannot '{key}' instance" in refused and "vm_state active" in refused


def test_volumes_come_and_go_at_shelved_servers_from_2_20_on(client: Client) -> None:
    server, volume = client.make_server(), client.make_volume()
    act(client, server, {"shelve": None})
    client.cloud.wait_idle()
    path = f"/servers/{server}/os-volume_attachments"
    asked = {"volumeAttachment": {"volumeId": volume}}
    client.ask("POST", path, asked, version="2.19", status=409)
    client.ask("POST", path, asked, version="2.20")
    client.wait_volume(volume, "in-use")
    client.ask("DELETE", f"{path}/{volume}", version="2.19", status=409)
    client.ask("DELETE", f"{path}/{volume}", version="2.20", status=202)
    client.wait_volume(volume, "available")


def test_volumes_and_snapshots_as_compute_once_showed_them(client: Client) -> None:
    body = {"volume": {"size": 1, "display_name": "old", "metadata": {"a": "b"}}}
    made = client.ask("POST", "/os-volumes", body)["volume"]
    assert (made["displayName"], made["size"], made["metadata"], made["attachments"]) == ("old", 1, {"a": "b"}, [{}])
    client.wait_volume(made["id"], "available")
    server = client.make_server()
    client.ask("POST", f"/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": made["id"]}})
    client.wait_volume(made["id"], "in-use")
    shown = client.ask("GET", f"/os-volumes/{made['id']}")["volume"]
    expected = {"id": made["id"], "volumeId": made["id"], "serverId": server, "device": "/dev/sdb"}
    assert shown["status"] == "in-use" and shown["attachments"] == [expected]
    asked = {"snapshot": {"volume_id": made["id"], "display_name": "point", "force": True}}
    snapshot = client.ask("POST", "/os-snapshots", asked)["snapshot"]
    assert (snapshot["volumeId"], snapshot["displayName"], snapshot["size"]) == (made["id"], "point", 1)
    client.cloud.wait_idle()
    listed = client.ask("GET", "/os-snapshots/detail?limit=1&nonsense=1")["snapshots"]
    assert [one["status"] for one in listed] == ["available"]
    assert client.ask("GET", "/os-volumes?limit=1&offset=1") == {"volumes": []}
    client.ask("DELETE", f"/os-snapshots/{snapshot['id']}", status=202)
    client.cloud.wait_idle()
    client.ask("GET", f"/os-snapshots/{snapshot['id']}", status=404)
    for size in ("", 0, -1, "huge", None):
        client.ask("POST", "/os-volumes", {"volume": {"size": size}}, status=400)
    for path in ("/os-volumes", "/os-volumes/detail", f"/os-volumes/{made['id']}", "/os-snapshots"):
        client.ask("GET", path, version="2.36", status=404)
