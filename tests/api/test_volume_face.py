"""The volume face over HTTP: the exact fields of every answer at each microversion, and the happy path of every route.

The fields are those that Tempest's closed schemas allow (`tests.api.volume_fields`).
"""

from typing import Any

import pytest

from tests.api.volume_cloud import Account, ServedCloud
from tests.api.volume_fields import (
    ATTACHMENT,
    ATTACHMENT_IN_VOLUME,
    ATTACHMENT_SUMMARY,
    MESSAGE,
    SERVICE,
    SNAPSHOT,
    SNAPSHOT_CREATED,
    VERSIONS,
    VOLUME,
    VOLUME_ADMIN,
    VOLUME_CREATED,
    VOLUME_SUMMARY,
    at,
)
from tests.block.cloud import BACKEND

pytestmark = pytest.mark.real


@pytest.mark.parametrize("version", VERSIONS)
def test_a_volume_has_exactly_the_fields_of_each_version(
    user: Account, operator: Account, served: ServedCloud, version: str
) -> None:
    body = {"volume": {"size": 1, "name": "data", "description": "what", "metadata": {"a": "b"}}}
    made = user.ask("POST", "/volumes", body, version=version, status=202)["volume"]
    assert set(made) == at(VOLUME_CREATED, version)
    user.wait_volume(made["id"], "available")
    path = f"/volumes/{made['id']}"
    shown = user.ask("GET", path, version=version)["volume"]
    assert set(shown) == at(VOLUME, version)
    assert (shown["name"], shown["description"], shown["size"], shown["metadata"]) == ("data", "what", 1, {"a": "b"})
    assert shown["os-vol-tenant-attr:tenant_id"] == user.project_id and shown["user_id"] == user.user_id
    assert [link["rel"] for link in shown["links"]] == ["self", "bookmark"]
    assert shown["links"][0]["href"] == f"{served.url}/volume/v3{path}"
    assert user.ask("GET", "/volumes/detail", version=version)["volumes"] == [shown]
    (summary,) = user.ask("GET", "/volumes", version=version)["volumes"]
    assert set(summary) == VOLUME_SUMMARY
    seen = operator.ask("GET", path, version=version)["volume"]
    assert set(seen) == at(VOLUME, version) | at(VOLUME_ADMIN, version)
    assert seen["os-vol-host-attr:host"] == f"{BACKEND}#pool"
    renamed = user.ask("PUT", path, {"volume": {"name": " other "}}, version=version)["volume"]
    assert set(renamed) == at(VOLUME_CREATED, version) and renamed["name"] == "other"
    assert user.ask("DELETE", path, version=version, status=202) is None
    user.wait_gone(path)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_snapshot_has_exactly_the_fields_of_each_version(user: Account, version: str) -> None:
    volume = user.volume()
    body = {"snapshot": {"volume_id": volume, "name": "s", "description": "d", "metadata": {"k": "v"}}}
    made = user.ask("POST", "/snapshots", body, version=version, status=202)["snapshot"]
    assert set(made) == at(SNAPSHOT_CREATED, version)
    path = f"/snapshots/{made['id']}"
    user.served.cloud.wait_idle()
    shown = user.ask("GET", path, version=version)["snapshot"]
    assert set(shown) == at(SNAPSHOT, version)
    assert (shown["status"], shown["volume_id"], shown["size"]) == ("available", volume, 1)
    assert shown["os-extended-snapshot-attributes:progress"] == "100%"
    assert user.ask("GET", "/snapshots/detail", version=version)["snapshots"] == [shown]
    (summary,) = user.ask("GET", "/snapshots", version=version)["snapshots"]
    assert set(summary) == at(SNAPSHOT_CREATED, version)
    renamed = user.ask("PUT", path, {"snapshot": {"name": "t", "description": None}}, version=version)["snapshot"]
    assert (renamed["name"], renamed["description"]) == ("t", None)
    assert user.ask("DELETE", path, version=version, status=202) is None
    user.wait_gone(path)


@pytest.mark.parametrize("version", [one for one in VERSIONS if one != "3.0"])
def test_an_attachment_has_exactly_the_fields_of_each_version(nova: Account, version: str) -> None:
    volume = nova.volume()
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": volume}}
    made = nova.ask("POST", "/attachments", body, version=version)["attachment"]
    assert set(made) == ATTACHMENT
    assert (made["status"], made["connection_info"], made["attached_at"]) == ("reserved", {}, "")
    assert nova.ask("GET", f"/attachments/{made['id']}", version=version) == {"attachment": made}
    assert nova.ask("GET", "/attachments/detail", version=version) == {"attachments": [made]}
    (summary,) = nova.ask("GET", "/attachments", version=version)["attachments"]
    assert set(summary) == ATTACHMENT_SUMMARY
    nova.ask("DELETE", f"/attachments/{made['id']}", version=version)
    nova.wait_volume(volume, "available")


def test_what_is_attached_is_shown_in_the_volume(user: Account, operator: Account, served: ServedCloud) -> None:
    volume, server = user.volume(), served.server(user)
    user.ask("POST", f"/volumes/{volume}/action", {"os-attach": {"instance_uuid": server}}, status=202)
    user.wait_volume(volume, "in-use")
    (shown,) = user.ask("GET", f"/volumes/{volume}")["volume"]["attachments"]
    assert set(shown) == ATTACHMENT_IN_VOLUME
    assert (shown["id"], shown["volume_id"], shown["server_id"]) == (volume, volume, server)
    assert shown["host_name"] is None
    (seen,) = operator.ask("GET", f"/volumes/{volume}")["volume"]["attachments"]
    assert seen["host_name"] == "node1"
    user.ask("POST", f"/volumes/{volume}/action", {"os-detach": {}}, status=202)
    user.wait_volume(volume, "available")
    assert user.ask("GET", f"/volumes/{volume}")["volume"]["attachments"] == []


def test_volumes_are_made_from_snapshots_and_volumes(user: Account) -> None:
    first = user.volume(2, name="first")
    snapshot = user.snapshot(first)
    from_snapshot = user.volume(None, snapshot_id=snapshot)
    from_volume = user.volume(3, source_volid=first)
    shown = user.ask("GET", f"/volumes/{from_snapshot}")["volume"]
    assert (shown["size"], shown["snapshot_id"], shown["source_volid"]) == (2, snapshot, None)
    shown = user.ask("GET", f"/volumes/{from_volume}")["volume"]
    assert (shown["size"], shown["snapshot_id"], shown["source_volid"]) == (3, None, first)
    assert "at least 2 GiB" in user.refused("POST", "/volumes", _new(1, snapshot_id=snapshot), status=400)


def test_a_volume_is_extended(user: Account) -> None:
    volume = user.volume(1)
    user.ask("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": "2"}}, status=202)
    user.wait_volume(volume, "available")
    assert user.ask("GET", f"/volumes/{volume}")["volume"]["size"] == 2
    message = user.refused("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}}, status=400)
    assert "new_size" in message and "2 GiB" in message


def test_extending_in_use_needs_its_version(user: Account, nova: Account) -> None:
    volume = user.volume()
    body = {"attachment": {"volume_uuid": volume, "connector": {"host": "node1"}}}
    made = nova.ask("POST", "/attachments", body, version="3.44")["attachment"]
    nova.ask("POST", f"/attachments/{made['id']}/action", {"os-complete": {}}, version="3.44", status=204)
    extend = {"os-extend": {"new_size": 2}}
    assert "in-use" in user.refused("POST", f"/volumes/{volume}/action", extend, version="3.41", status=400)
    user.ask("POST", f"/volumes/{volume}/action", extend, version="3.42", status=202)
    user.wait_volume(volume, "in-use")
    assert user.ask("GET", f"/volumes/{volume}")["volume"]["size"] == 2
    body = {"snapshot": {"volume_id": volume}}
    assert "in-use" in user.refused("POST", "/snapshots", body, version="3.65", status=400)
    made_snapshot = user.ask("POST", "/snapshots", body, version="3.66", status=202)["snapshot"]["id"]
    forced = {"snapshot": {"volume_id": volume, "force": True}}
    other = user.ask("POST", "/snapshots", forced, version="3.0", status=202)["snapshot"]["id"]
    for snapshot in (made_snapshot, other):
        user.served.cloud.wait_idle()
        user.ask("DELETE", f"/snapshots/{snapshot}", status=202)


def test_deleting_with_snapshots_needs_cascade(user: Account) -> None:
    volume = user.volume()
    snapshot = user.snapshot(volume)
    assert "1 snapshot; delete them" in user.refused("DELETE", f"/volumes/{volume}", status=400)
    user.ask("DELETE", f"/volumes/{volume}?cascade=true", status=202)
    user.wait_gone(f"/volumes/{volume}")
    user.wait_gone(f"/snapshots/{snapshot}")


@pytest.mark.parametrize("kind", ["volumes", "snapshots"])
def test_metadata(user: Account, kind: str) -> None:
    volume = user.volume(metadata={"a": "1"})
    path = f"/{kind}/{volume if kind == 'volumes' else user.snapshot(volume, metadata={'a': '1'})}/metadata"
    assert user.ask("GET", path) == {"metadata": {"a": "1"}}
    assert user.ask("POST", path, {"metadata": {"b": "2"}}) == {"metadata": {"a": "1", "b": "2"}}
    assert user.ask("PUT", path, {"metadata": {"c/d é": "3"}}) == {"metadata": {"c/d é": "3"}}
    assert user.ask("GET", f"{path}/c%2Fd%20%C3%A9") == {"meta": {"c/d é": "3"}}
    assert user.ask("PUT", f"{path}/e", {"meta": {"e": "5"}}) == {"meta": {"e": "5"}}
    assert "'e'" in user.refused("PUT", f"{path}/e", {"meta": {"f": "5"}}, status=400)
    assert user.ask("DELETE", f"{path}/e") is None
    assert "e" in user.refused("DELETE", f"{path}/e", status=404)
    assert "e" in user.refused("GET", f"{path}/e", status=404)
    assert user.ask("GET", path) == {"metadata": {"c/d é": "3"}}


def test_reserving_and_detaching_by_hand(user: Account) -> None:
    volume = user.volume()
    action = f"/volumes/{volume}/action"
    user.ask("POST", action, {"os-reserve": {}}, status=202)
    assert user.status(volume) == "attaching"
    assert "attaching" in user.refused("POST", action, {"os-reserve": None}, status=400)
    user.ask("POST", action, {"os-unreserve": {}}, status=202)
    assert user.status(volume) == "available"
    user.ask("POST", action, {"os-roll_detaching": {}}, status=202)
    assert "available" in user.refused("POST", action, {"os-begin_detaching": {}}, status=400)
    user.ask("POST", action, {"os-set_bootable": {"bootable": "true"}})
    assert user.ask("GET", f"/volumes/{volume}")["volume"]["bootable"] == "true"


def test_an_administrator_resets_the_status(user: Account, operator: Account) -> None:
    volume = user.volume()
    action = f"/volumes/{volume}/action"
    operator.ask("POST", action, {"os-reset_status": {"status": "error"}}, status=202)
    assert user.status(volume) == "error"
    assert "moon" in operator.refused("POST", action, {"os-reset_status": {"status": "moon"}}, status=400)
    assert "no attachment" in operator.refused("POST", action, {"os-reset_status": {"status": "in-use"}}, status=409)
    operator.refused("POST", action, {"os-reset_status": {}}, status=400)
    user.refused("POST", action, {"os-reset_status": {"status": "available"}}, status=403)
    operator.ask("POST", action, {"os-reset_status": {"status": "available"}}, status=202)
    assert user.status(volume) == "available"


def test_the_summary_counts_what_is_there(user: Account) -> None:
    user.volume(1, metadata={"tier": "b"})
    user.volume(2, metadata={"tier": "a"})
    plain = {"total_size": 3, "total_count": 2}
    assert user.ask("GET", "/volumes/summary", version="3.12") == {"volume-summary": plain}
    found = user.ask("GET", "/volumes/summary", version="3.36")
    assert found == {"volume-summary": {**plain, "metadata": {"tier": ["a", "b"]}}}
    user.refused("GET", "/volumes/summary", version="3.11", status=404)


def test_a_message_says_why_no_volume_could_be_made(user: Account) -> None:
    made = user.ask("POST", "/volumes", _new(5000), status=202)["volume"]
    assert user.status(made["id"]) == "error"
    (message,) = user.ask("GET", "/messages", version="3.3")["messages"]
    assert set(message) == MESSAGE
    assert (message["resource_uuid"], message["message_level"]) == (made["id"], "ERROR")
    assert BACKEND in message["user_message"] and "5000" in message["user_message"]
    path = f"/messages/{message['id']}"
    assert user.ask("GET", path, version="3.3") == {"message": message}
    user.refused("GET", "/messages", version="3.2", status=404)
    assert user.ask("DELETE", path, version="3.3", status=204) is None
    user.refused("GET", path, version="3.3", status=404)
    user.ask("DELETE", f"/volumes/{made['id']}", status=202)
    user.wait_gone(f"/volumes/{made['id']}")


def test_types_zones_and_extensions(user: Account, operator: Account) -> None:
    (found,) = user.ask("GET", "/types")["volume_types"]
    shared = {"id", "name", "description", "is_public", "os-volume-type-access:is_public"}
    assert set(found) - {"extra_specs", "qos_specs_id"} == shared
    (seen,) = operator.ask("GET", "/types")["volume_types"]
    assert set(seen) == shared | {"extra_specs", "qos_specs_id"}
    assert user.ask("GET", f"/types/{found['id']}") == {"volume_type": found}
    assert user.ask("GET", "/types/default") == {"volume_type": found}
    assert user.ask("GET", "/os-availability-zone") == {
        "availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]
    }
    for extension in user.ask("GET", "/extensions")["extensions"]:
        assert set(extension) == {"alias", "name", "description", "updated", "links"}


@pytest.mark.parametrize("version", ["3.0", "3.7", "3.49", "3.71"])
def test_services(operator: Account, version: str) -> None:
    (service,) = operator.ask("GET", "/os-services", version=version)["services"]
    assert set(service) - {"frozen", "active_backend_id", "replication_status"} == at(SERVICE, version)
    assert (service["host"], service["state"], service["status"]) == (BACKEND, "up", "enabled")
    assert operator.ask("GET", "/os-services?host=elsewhere", version=version) == {"services": []}


def test_pools_and_capabilities(user: Account, operator: Account) -> None:
    assert operator.ask("GET", "/scheduler-stats/get_pools") == {"pools": [{"name": f"{BACKEND}#pool"}]}
    (pool,) = operator.ask("GET", "/scheduler-stats/get_pools?detail=true")["pools"]
    assert pool["capabilities"]["total_capacity_gb"] == 100 and pool["capabilities"]["volume_backend_name"] == "memory"
    found: dict[str, Any] = operator.ask("GET", f"/capabilities/{BACKEND}")
    assert set(found) == {
        "pool_name",
        "description",
        "volume_backend_name",
        "namespace",
        "visibility",
        "driver_version",
        "vendor_name",
        "properties",
        "storage_protocol",
        "replication_targets",
        "display_name",
    }
    assert "elsewhere" in operator.refused("GET", "/capabilities/elsewhere", status=404)
    for path in ("/scheduler-stats/get_pools", f"/capabilities/{BACKEND}", "/os-services"):
        user.refused("GET", path, status=403)


def _new(size: int, **fields: Any) -> dict[str, Any]:
    return {"volume": {"size": size, **fields}}
