"""The compute API over HTTP, in this process: statuses, microversions, envelopes, what a user reads of a failure."""

from typing import Any

import pytest

from pumice.hypervisors.memory import Behaviour
from tests.compute.client import Client

pytestmark = pytest.mark.real

MISSING = "00000000-0000-4000-8000-000000000000"


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


def test_what_is_nowhere_is_not_taken_for_a_project(client: Client) -> None:
    for path in ("/images/detail", f"/os-simple-tenant-usage/{'a' * 32}"):
        assert "itemNotFound" in client.ask("GET", path, status=404)
    assert "project" in client.ask("GET", f"/{'a' * 32}/servers", status=400)["badRequest"]["message"]


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


def test_the_id_of_a_flavor_may_be_a_number(client: Client) -> None:
    body = {"flavor": {"name": "numbered", "ram": "64", "vcpus": 1, "disk": 0, "id": 4711}}
    assert client.ask("POST", "/flavors", body)["flavor"]["id"] == "4711"
    assert client.ask("GET", "/flavors/4711")["flavor"]["ram"] == 64
    client.ask("DELETE", "/flavors/4711", status=202)


def test_flavors_are_made_and_removed_by_administrators(client: Client) -> None:
    body = {"flavor": {"name": "big", "ram": 1024, "vcpus": 2, "disk": 1, "id": "big"}}
    assert client.ask("POST", "/flavors", body)["flavor"]["swap"] == ""
    assert client.ask("POST", "/flavors", body, status=409)["conflictingRequest"]["code"] == 409
    assert client.ask("GET", "/flavors/big", version="2.75")["flavor"]["swap"] == 0
    names = [flavor["name"] for flavor in client.ask("GET", "/flavors/detail")["flavors"]]
    assert names == ["m1.tiny", "m1.small", "m1.medium", "big"]
    client.ask("DELETE", "/flavors/big", status=202)
    client.ask("GET", "/flavors/big", status=404)
