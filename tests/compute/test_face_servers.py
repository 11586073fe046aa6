"""What belongs to servers, over HTTP: key pairs, metadata, tags, lists, limits, hosts, swaps; by microversion."""

from typing import Any

import pytest

from tests.compute.client import Client

pytestmark = pytest.mark.real

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1G6Xv0Uoe1KZV6dVHrm4Mdu8pNJ1vR7eMaQvqGqzyF me@here"


def test_key_pairs_are_shown_as_each_microversion_has_them(client: Client) -> None:
    old = client.ask("POST", "/os-keypairs", {"keypair": {"name": "a", "public_key": PUBLIC_KEY}})["keypair"]
    assert set(old) == {"name", "fingerprint", "public_key", "user_id"}
    made = client.ask("POST", "/os-keypairs", {"keypair": {"name": "b"}}, version="2.2", status=201)["keypair"]
    assert made["type"] == "ssh" and made["private_key"].startswith("-----BEGIN")
    body = {"keypair": {"name": "me@home", "public_key": PUBLIC_KEY}}
    client.ask("POST", "/os-keypairs", body, version="2.91", status=400)
    client.ask("POST", "/os-keypairs", body, version="2.92", status=201)
    refused = client.ask("POST", "/os-keypairs", {"keypair": {"name": "c"}}, version="2.92", status=400)
    assert "only imported" in refused["badRequest"]["message"]

    page = client.ask("GET", "/os-keypairs?limit=2", version="2.35")
    assert [one["keypair"]["name"] for one in page["keypairs"]] == ["a", "b"]
    assert "marker=b" in page["keypairs_links"][0]["href"]
    rest = client.ask("GET", "/os-keypairs?limit=2&marker=b", version="2.35")
    assert [one["keypair"]["name"] for one in rest["keypairs"]] == ["me@home"]
    shown = client.ask("GET", "/os-keypairs/a")["keypair"]
    assert isinstance(shown["id"], int) and shown["deleted"] is False and "private_key" not in shown
    client.ask("DELETE", "/os-keypairs/a", status=202)
    client.ask("DELETE", "/os-keypairs/b", version="2.2", status=204)
    client.ask("GET", "/os-keypairs/a", status=404)


def test_metadata_of_a_server(client: Client) -> None:
    path = f"/servers/{client.make_server(metadata={'a': '1'})}/metadata"
    assert client.ask("POST", path, {"metadata": {"b": "2"}}) == {"metadata": {"a": "1", "b": "2"}}
    assert client.ask("PUT", path, {"metadata": {"c": "3"}}) == {"metadata": {"c": "3"}}
    assert client.ask("PUT", f"{path}/c", {"meta": {"c": "4"}}) == {"meta": {"c": "4"}}
    client.ask("PUT", f"{path}/c", {"meta": {"d": "4"}}, status=400)
    client.ask("PUT", path, {"metadata": {"c": 3}}, status=400)
    client.ask("PUT", path, {"metadata": {"x" * 256: ""}}, status=400)
    assert client.ask("GET", f"{path}/c") == {"meta": {"c": "4"}}
    client.ask("DELETE", f"{path}/c", status=204)
    client.ask("DELETE", f"{path}/c", status=404)
    many = {str(number): "" for number in range(129)}
    assert "128" in client.ask("POST", path, {"metadata": many}, status=403)["forbidden"]["message"]
    assert client.ask("GET", path) == {"metadata": {}}


def test_tags_of_a_server(client: Client) -> None:
    server = client.make_server()
    path = f"/servers/{server}/tags"
    client.ask("GET", path, version="2.25", status=404)
    client.ask("PUT", f"{path}/blue", version="2.26", status=201)
    client.ask("PUT", f"{path}/blue", version="2.26", status=204)
    client.ask("PUT", f"{path}/a,b", version="2.26", status=400)
    assert client.ask("PUT", path, {"tags": ["r\u00f6d", "r\u00f6d", "b"]}, version="2.26") == {
        "tags": ["r\u00f6d", "b"]
    }
    client.ask("GET", f"{path}/b", version="2.26", status=204)
    client.ask("GET", f"{path}/blue", version="2.26", status=404)
    for query, found in (
        ("tags=b", [server]),
        ("tags=b,r\u00f6d", [server]),
        ("tags=b,no", []),
        ("tags-any=b,no", [server]),
        ("not-tags=b,no", [server]),
        ("not-tags-any=b,no", []),
    ):
        listed = client.ask("GET", f"/servers?{query}", version="2.26")["servers"]
        assert [one["id"] for one in listed] == found, query
    client.ask("DELETE", f"{path}/b", version="2.26", status=204)
    client.ask("DELETE", path, version="2.26", status=204)
    assert client.ask("GET", path, version="2.26") == {"tags": []}


def test_lists_of_servers_are_filtered_sorted_and_paged(client: Client) -> None:
    body = {"name": "web", "flavorRef": "1", "imageRef": client.cloud.bootable, "min_count": 3}
    answer = client.ask("POST", "/servers", {"server": {**body, "return_reservation_id": True}}, status=202)
    reservation = answer["reservation_id"]

    def names(query: str, version: str = "2.83") -> list[str]:
        return [one["name"] for one in client.ask("GET", f"/servers?{query}", version=version)["servers"]]

    client.cloud.wait_idle()
    assert names(f"reservation_id={reservation}&sort_key=display_name&sort_dir=asc") == ["web-1", "web-2", "web-3"]
    assert names("name=web-2") == names("name=^web-2$") == names(r"name=^.*\-[2]$") == ["web-2"]
    client.ask("GET", "/servers?name=(a%2B)%2B", status=400)
    assert sorted(names("status=active&limit=2")) != [] and len(names("limit=2")) == 2
    assert names("limit=0") == [] and names("status=SHUTOFF") == [] and names("power_state=4") == []
    assert names("locked=true", "2.73") == [] and len(names("locked=true", "2.72")) == 3
    assert names("changes-since=2999-01-01T00:00:00Z") == []
    assert len(names("changes-before=2999-01-01T00:00:00Z", "2.66")) == 3
    (gone,) = client.ask("GET", "/servers?name=web-3")["servers"]
    client.ask("DELETE", f"/servers/{gone['id']}", status=204)
    client.wait_server(gone["id"], "DELETED")
    assert len(names("")) == 2 and len(names("changes-since=2000-01-01T00:00:00Z")) == 3
    assert names("deleted=true") == ["web-3"]
    client.ask("GET", "/servers?changes-since=moon", status=400)


def test_what_a_server_is_made_with_is_shown(client: Client) -> None:
    client.ask("POST", "/os-keypairs", {"keypair": {"name": "mine", "public_key": PUBLIC_KEY}})
    server = client.make_server(
        key_name="mine",
        user_data="aGVsbG8=",
        availability_zone="nova",
        accessIPv4="192.0.2.1",
        accessIPv6="2001:DB8::1",
        **{"OS-DCF:diskConfig": "AUTO"},
    )
    shown = client.ask("GET", f"/servers/{server}", version="2.100")["server"]
    assert (shown["key_name"], shown["config_drive"], shown["OS-DCF:diskConfig"]) == ("mine", "True", "AUTO")
    assert (shown["accessIPv4"], shown["accessIPv6"]) == ("192.0.2.1", "2001:db8::1")
    assert shown["OS-EXT-SRV-ATTR:user_data"] == "aGVsbG8=" and shown["pinned_availability_zone"] == "nova"
    assert shown["scheduler_hints"] == {} and shown["image"]["properties"]["kernel_id"] == client.cloud.kernel
    assert "properties" not in client.ask("GET", f"/servers/{server}", version="2.97")["server"]["image"]

    change = {"server": {"name": "other", "hostname": "inside", "description": None}}
    changed = client.ask("PUT", f"/servers/{server}", change, version="2.90")["server"]
    assert (changed["name"], changed["OS-EXT-SRV-ATTR:hostname"], changed["description"]) == ("other", "inside", None)
    few = client.ask("PUT", f"/servers/{server}", {"server": {"accessIPv4": ""}}, version="2.74")["server"]
    assert few["accessIPv4"] == "" and not [name for name in few if name.startswith("OS-EXT")]
    for wrong in ({"name": " "}, {"accessIPv4": "::1"}, {"OS-DCF:diskConfig": "auto"}, {"hostname": "a.b"}):
        client.ask("PUT", f"/servers/{server}", {"server": wrong}, version="2.90", status=400)
    client.ask("PUT", f"/servers/{server}", {"server": {"hostname": "a.b"}}, version="2.94")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"min_count": 0}, "min_count"),
        ({"min_count": 3, "max_count": 2}, "min_count"),
        ({"max_count": 257}, "max_count"),
        ({"tags": ["a/b"]}, "tags"),
        ({"tags": [str(number) for number in range(51)]}, "tags"),
        ({"user_data": "x" * 65_536}, "user_data"),
        ({"personality": [{"path": "/a", "contents": ""}]}, "personality"),
        ({"hostname": "-a"}, "hostname"),
        ({"config_drive": "perhaps"}, "config_drive"),
        ({"networks": "some"}, "networks"),
        ({"security_groups": [{"name": "web"}]}, "security_groups"),
        ({"metadata": {"": "x"}}, "metadata"),
        ({"host": "elsewhere"}, "host"),
        ({"block_device_mapping_v2": [{"source_type": "blank", "volume_size": "x"}]}, "volume_size"),
        ({"block_device_mapping_v2": [{"source_type": "volume", "device_type": "lun"}]}, "device_type"),
    ],
)
def test_what_a_server_cannot_be_made_with_is_named(client: Client, change: dict[str, Any], named: str) -> None:
    server = {"name": "guest", "flavorRef": "1", "imageRef": client.cloud.bootable, "networks": "none", **change}
    version = "2.56" if named == "personality" else "2.101"
    message = client.ask("POST", "/servers", {"server": server}, version=version, status=400)["badRequest"]["message"]
    assert named in message
    assert client.ask("GET", "/servers")["servers"] == []


def test_a_swap_is_refused_with_what_to_do(client: Client) -> None:
    server, volume_id, other = client.make_server(), client.make_volume(), client.make_volume()
    path = f"/servers/{server}/os-volume_attachments"
    client.ask("POST", path, {"volumeAttachment": {"volumeId": volume_id}})
    client.wait_volume(volume_id, "in-use")
    body = {"volumeAttachment": {"volumeId": other}}
    for version in ("2.1", "2.84", "2.85", "2.101"):
        message = client.ask("PUT", f"{path}/{volume_id}", body, version=version, status=409)
        assert "Detach it" in message["conflictingRequest"]["message"]
    client.ask("PUT", f"{path}/{other}", body, status=404)
    kept = {"volumeAttachment": {"volumeId": volume_id, "delete_on_termination": True}}
    client.ask("PUT", f"{path}/{volume_id}", kept, version="2.84", status=400)
    client.ask("PUT", f"{path}/{volume_id}", kept, version="2.85", status=202)
    shown = client.ask("GET", f"{path}/{volume_id}", version="2.89")["volumeAttachment"]
    assert shown["delete_on_termination"] is True and "id" not in shown and shown["bdm_uuid"]


def test_limits_of_a_project(client: Client) -> None:
    project = client.ask("GET", f"/servers/{client.make_server()}")["server"]["tenant_id"]
    path = f"/os-quota-sets/{project}"
    assert client.ask("PUT", path, {"quota_set": {"instances": "1", "cores": 4}})["quota_set"]["instances"] == 1
    detail = client.ask("GET", f"{path}/detail", version="2.50")["quota_set"]
    assert detail["instances"] == {"limit": 1, "in_use": 1, "reserved": 0}
    used = client.ask("GET", "/limits")["limits"]["absolute"]
    assert (used["maxTotalInstances"], used["totalInstancesUsed"], used["totalRAMUsed"]) == (1, 1, 128)
    server = {"name": "guest", "flavorRef": "1", "imageRef": client.cloud.bootable}
    assert "instances" in client.ask("POST", "/servers", {"server": server}, status=403)["forbidden"]["message"]
    for wrong in ({"instances": 0}, {"instances": -2}, {"instances": "many"}, {"moons": 1}):
        client.ask("PUT", path, {"quota_set": wrong}, status=400)
    client.ask("PUT", path, {"quota_set": {"instances": 0, "force": True}})
    client.ask("DELETE", path, status=202)
    assert client.ask("GET", path)["quota_set"]["instances"] == -1
    client.ask("PUT", "/os-quota-class-sets/default", {"quota_class_set": {"ram": 128}})
    assert client.ask("GET", path, version="2.57")["quota_set"] == {
        "id": project,
        "instances": -1,
        "cores": -1,
        "ram": 128,
        "metadata_items": 128,
        "key_pairs": 100,
        "server_groups": 0,
        "server_group_members": 0,
    }
    client.ask("POST", "/servers", {"server": server}, status=403)


def test_hosts_tell_what_their_servers_take(client: Client) -> None:
    server = client.make_server()
    (found,) = client.ask("GET", "/os-hypervisors/detail")["hypervisors"]
    assert (found["running_vms"], found["vcpus_used"], found["memory_mb_used"]) == (1, 1, 128)
    assert client.ask("GET", "/os-hypervisors/statistics")["hypervisor_statistics"]["running_vms"] == 1
    assert "vcpus" not in client.ask("GET", f"/os-hypervisors/{found['id']}", version="2.88")["hypervisor"]
    (with_servers,) = client.ask("GET", "/os-hypervisors?with_servers=true", version="2.53")["hypervisors"]
    assert [one["uuid"] for one in with_servers["servers"]] == [server]
    assert client.ask("GET", "/os-aggregates") == {"aggregates": []}
    assert "forced_down" not in client.ask("GET", "/os-services")["services"][0]
    assert client.ask("GET", f"/servers/{server}/os-interface") == {"interfaceAttachments": []}
    assert client.ask("GET", f"/servers/{server}/os-security-groups") == {"security_groups": []}
    client.ask("GET", f"/servers/{server}/ips/private", status=404)
