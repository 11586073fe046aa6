"""Every field of the volume face's answers at each microversion: there from its own on, absent below; so the routes."""

from typing import Any

import pytest

from pumice.caller import new_id
from tests.api.volume_cloud import MISSING, Account, ServedCloud
from tests.api.volume_fields import (
    ATTACHMENT,
    ATTACHMENT_IN_VOLUME,
    ATTACHMENT_SUMMARY,
    MESSAGE,
    SERVICE,
    SNAPSHOT,
    SNAPSHOT_CREATED,
    VOLUME,
    VOLUME_ADMIN,
    VOLUME_SUMMARY,
    at,
)
from tests.block.cloud import BACKEND

pytestmark = pytest.mark.real

EVERY = tuple(f"3.{minor}" for minor in range(72))
ADMIN_BORDERS = (
    "3.0",
    "3.2",
    "3.3",
    "3.4",
    "3.5",
    "3.6",
    "3.7",
    "3.38",
    "3.39",
    "3.48",
    "3.49",
    "3.51",
    "3.52",
    "3.71",
)

TYPE = {"id", "name", "description", "is_public", "extra_specs", "os-volume-type-access:is_public"}
QUOTA = {"volumes", "snapshots", "gigabytes", "backups", "backup_gigabytes", "per_volume_gigabytes", "groups"}
ABSOLUTE = {
    "totalSnapshotsUsed",
    "maxTotalBackups",
    "maxTotalVolumeGigabytes",
    "maxTotalSnapshots",
    "maxTotalBackupGigabytes",
    "totalBackupGigabytesUsed",
    "maxTotalVolumes",
    "totalVolumesUsed",
    "totalBackupsUsed",
    "totalGigabytesUsed",
}
HOST = {"service-status", "service", "zone", "service-state", "host_name", "last-update"}
SUMMARY = {"total_size": "3.0", "total_count": "3.0", "metadata": "3.36"}
FLAGS = {"frozen", "replication_status", "active_backend_id"}

ROUTES = (
    ("GET", "/messages", "3.3"),
    ("GET", "/clusters", "3.7"),
    ("GET", "/clusters/detail", "3.7"),
    ("GET", "/volumes/summary", "3.12"),
    ("GET", "/attachments", "3.27"),
    ("GET", "/attachments/detail", "3.27"),
    ("GET", "/resource_filters", "3.33"),
    ("GET", "/default-types", "3.62"),
)
"""Lists, and since when they are."""

ACTIONS: tuple[tuple[str, Any, str], ...] = (
    ("revert", {"snapshot_id": MISSING}, "3.40"),
    ("os-reimage", {"image_id": MISSING}, "3.68"),
    ("os-extend_volume_completion", {"error": False}, "3.71"),
)
"""Actions that came later, with bodies that are refused (400 or 404) where they are known."""


def below(version: str) -> str:
    return f"3.{int(version.split('.')[1]) - 1}"


def test_every_field_of_a_volume_and_its_snapshot(user: Account, operator: Account, nova: Account) -> None:
    volume = user.volume(metadata={"a": "b"})
    snapshot = user.snapshot(volume)
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": MISSING}}
    attachment = nova.ask("POST", "/attachments", body, version="3.27")["attachment"]["id"]
    nova.ask("POST", f"/attachments/{attachment}/action", {"os-complete": {}}, version="3.44", status=204)
    for version in EVERY:
        shown = user.ask("GET", f"/volumes/{volume}", version=version)["volume"]
        assert set(shown) == at(VOLUME, version), version
        assert [set(one) for one in shown["attachments"]] == [ATTACHMENT_IN_VOLUME]
        assert user.ask("GET", "/volumes/detail", version=version)["volumes"] == [shown]
        assert [set(one) for one in user.ask("GET", "/volumes", version=version)["volumes"]] == [VOLUME_SUMMARY]
        seen = operator.ask("GET", f"/volumes/{volume}", version=version)["volume"]
        assert set(seen) == at(VOLUME, version) | at(VOLUME_ADMIN, version), version
        if version >= "3.48" and len(version) == 4:
            assert shown["shared_targets"] is (False if int(version[2:]) < 69 else None)
        found = user.ask("GET", f"/snapshots/{snapshot}", version=version)["snapshot"]
        assert set(found) == at(SNAPSHOT, version), version
        assert user.ask("GET", "/snapshots/detail", version=version)["snapshots"] == [found]
        (brief,) = user.ask("GET", "/snapshots", version=version)["snapshots"]
        assert set(brief) == at(SNAPSHOT_CREATED, version), version
        if int(version[2:]) >= 27:
            assert set(user.ask("GET", f"/attachments/{attachment}", version=version)["attachment"]) == ATTACHMENT
            (one,) = user.ask("GET", "/attachments", version=version)["attachments"]
            assert set(one) == ATTACHMENT_SUMMARY
        if int(version[2:]) >= 12:
            summary = user.ask("GET", "/volumes/summary", version=version)["volume-summary"]
            assert set(summary) == at(SUMMARY, version), version
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.27")


def test_every_field_of_what_administrators_see(user: Account, operator: Account) -> None:
    user.ask("POST", "/volumes", {"volume": {"size": 5000}}, status=202)
    kind = operator.ask("GET", "/types/default")["volume_type"]["id"]
    for version in ADMIN_BORDERS:
        (service,) = operator.ask("GET", "/os-services?binary=cinder-volume", version=version)["services"]
        assert set(service) - FLAGS == at(SERVICE, version), version
        (host, *_) = operator.ask("GET", "/os-hosts", version=version)["hosts"]
        assert set(host) == HOST
        (pool,) = operator.ask("GET", "/scheduler-stats/get_pools?detail=true", version=version)["pools"]
        assert set(pool) == {"name", "capabilities"}
        assert operator.ask("GET", f"/capabilities/{BACKEND}", version=version)["pool_name"] == f"{BACKEND}#pool"
        assert set(user.ask("GET", f"/types/{kind}", version=version)["volume_type"]) == TYPE
        assert set(operator.ask("GET", f"/types/{kind}", version=version)["volume_type"]) == TYPE | {"qos_specs_id"}
        quota = user.ask("GET", f"/os-quota-sets/{user.project_id}", version=version)["quota_set"]
        assert set(quota) >= {"id", *QUOTA}
        usage = user.ask("GET", f"/os-quota-sets/{user.project_id}?usage=true", version=version)["quota_set"]
        assert {name: set(usage[name]) for name in QUOTA} == {key: {"reserved", "limit", "in_use"} for key in QUOTA}
        default = operator.ask("GET", "/os-quota-class-sets/default", version=version)["quota_class_set"]
        assert set(default) >= {"id", *QUOTA}
        limits = user.ask("GET", "/limits", version=version)["limits"]
        assert set(limits) == {"rate", "absolute"} and set(limits["absolute"]) == ABSOLUTE
        if int(version[2:]) >= 3:
            (message,) = user.ask("GET", "/messages", version=version)["messages"]
            assert set(message) == MESSAGE, version


def test_routes_and_actions_are_there_from_their_version_on(user: Account, operator: Account) -> None:
    volume = user.volume()
    for method, path, since in ROUTES:
        assert operator.send(method, path, version=since).status_code == 200, path
        assert operator.send(method, path, version="3.71").status_code == 200, path
        assert operator.send(method, path, version=below(since)).status_code == 404, path
    for key, value, since in ACTIONS:
        path = f"/volumes/{volume}/action"
        assert "no such action" in operator.refused("POST", path, {key: value}, version=below(since), status=400), key
        assert operator.send("POST", path, {key: value}, version=since).status_code in (400, 404), key
    assert operator.ask("POST", "/workers/cleanup", {}, version="3.24", status=202) == {
        "cleaning": [],
        "unavailable": [],
    }
    operator.refused("POST", "/workers/cleanup", {}, version="3.23", status=404)
    as_openstacksdk_asks = {"binary": "cinder-volume", "cluster_name": None, "host": None, "is_up": False}
    assert operator.ask("PUT", "/workers/cleanup", as_openstacksdk_asks, version="3.24", status=202)["cleaning"] == []


def test_limits_of_another_project_since_3_39(user: Account, operator: Account) -> None:
    user.volume(2)
    path = f"/limits?project_id={user.project_id}"
    used = "totalGigabytesUsed"
    assert operator.ask("GET", path, version="3.39")["limits"]["absolute"][used] == 2
    assert operator.ask("GET", path, version="3.38")["limits"]["absolute"][used] == 0
    stranger = operator.served.account()
    assert stranger.ask("GET", path, version="3.39")["limits"]["absolute"][used] == 0


def test_clusters_and_clean_up_are_for_administrators(user: Account, operator: Account) -> None:
    for path in ("/clusters", "/clusters/detail"):
        assert operator.ask("GET", path, version="3.7") == {"clusters": []}
        user.refused("GET", path, version="3.7", status=403)
    assert "moon" in operator.refused("GET", "/clusters/moon", version="3.7", status=404)
    for action in ("enable", "disable"):
        assert "moon" in operator.refused("PUT", f"/clusters/{action}", {"name": "moon"}, version="3.7", status=404)
    user.refused("POST", "/workers/cleanup", {}, version="3.24", status=403)
    body = {"resource_type": "Backup"}
    assert "resource_type" in operator.refused("POST", "/workers/cleanup", body, version="3.24", status=400)
    body = {"resource_type": "Volume", "resource_id": MISSING}
    assert MISSING in operator.refused("POST", "/workers/cleanup", body, version="3.24", status=404)


def test_a_default_type_of_a_project(user: Account, operator: Account) -> None:
    made = operator.ask("POST", "/types", {"volume_type": {"name": f"own-{new_id()}"}})["volume_type"]
    path = f"/default-types/{user.project_id}"
    operator.refused("GET", path, version="3.62", status=404)
    body = {"default_type": {"volume_type": made["name"]}}
    expected = {"project_id": user.project_id, "volume_type_id": made["id"]}
    assert operator.ask("PUT", path, body, version="3.62") == {"default_type": expected}
    assert operator.ask("GET", path, version="3.67") == {"default_type": expected}
    assert expected in operator.ask("GET", "/default-types", version="3.62")["default_types"]
    assert user.ask("GET", "/types/default")["volume_type"]["id"] == made["id"]
    volume = user.volume()
    assert user.ask("GET", f"/volumes/{volume}")["volume"]["volume_type"] == made["name"]
    user.ask("DELETE", f"/volumes/{volume}", status=202)
    user.wait_gone(f"/volumes/{volume}")
    assert "default one of a project" in operator.refused("DELETE", f"/types/{made['id']}", status=400)
    assert operator.ask("DELETE", path, version="3.62", status=204) is None
    assert user.ask("GET", "/types/default")["volume_type"]["name"] == "__DEFAULT__"
    operator.ask("DELETE", f"/types/{made['id']}", status=202)
    operator.refused("PUT", f"/default-types/{MISSING}", body, version="3.62", status=404)
    assert "golden" in operator.refused(
        "PUT", path, {"default_type": {"volume_type": "golden"}}, version="3.62", status=404
    )
    private = {"name": f"private-{new_id()}", "os-volume-type-access:is_public": False}
    operator.ask("POST", "/types", {"volume_type": private})
    body = {"default_type": {"volume_type": private["name"]}}
    assert "no access" in operator.refused("PUT", path, body, version="3.62", status=400)
    user.refused("GET", path, version="3.62", status=403)


def test_zones_of_a_type(user: Account, operator: Account) -> None:
    key = "RESKEY:availability_zones"
    here = operator.ask(
        "POST", "/types", {"volume_type": {"name": f"here-{new_id()}", "extra_specs": {key: "mars, nova"}}}
    )
    there = operator.ask("POST", "/types", {"volume_type": {"name": f"mars-{new_id()}", "extra_specs": {key: "mars"}}})
    names = [one["volume_type"]["name"] for one in (here, there)]

    def listed(zone: str, version: str) -> list[str]:
        path = f"/types?extra_specs={{'{key}':'{zone}'}}"
        found = user.ask("GET", path, version=version)["volume_types"]
        return sorted(one["name"] for one in found if one["name"] in names)

    assert listed("nova", "3.52") == names[:1] and listed("mars", "3.52") == names and listed("ma", "3.52") == []
    assert listed("nova", "3.51") == names
    volume = user.volume(volume_type=names[0])
    assert user.ask("GET", f"/volumes/{volume}")["volume"]["availability_zone"] == "nova"
    body = {"volume": {"size": 1, "volume_type": names[1], "availability_zone": "nova"}}
    assert "mars only" in user.refused("POST", "/volumes", body, status=400)
    body = {"volume": {"size": 1, "volume_type": names[1]}}
    made = user.ask("POST", "/volumes", body, status=202)["volume"]
    assert made["status"] == "error" and made["availability_zone"] == "mars"


def test_hints_say_where_a_volume_may_be(user: Account, served: ServedCloud) -> None:
    first, server = user.volume(), served.server(user)
    hinted: tuple[tuple[dict[str, Any], str], ...] = (
        ({"same_host": first}, ""),
        ({"same_host": [first]}, ""),
        ({"different_host": [first]}, "different_host"),
        ({"local_to_instance": server}, ""),
        ({"query": '[">=", "$free_capacity_gb", 1]'}, ""),
        ({"query": ["and", ["=", "$volume_backend_name", "memory"], ["not", [">", "$total_capacity_gb", 500]]]}, ""),
        ({"query": ["in", "$volume_backend_name", "fast", "slow"]}, "does not fulfil the hint query"),
        ({"query": [">", "$volume_backend_name", 5]}, "does not fulfil the hint query"),
    )
    for hints, reason in hinted:
        body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hints}
        made = user.ask("POST", "/volumes", body, status=202)["volume"]
        assert made["status"] == ("error" if reason else "creating"), hints
        if reason:
            (message,) = user.ask("GET", f"/messages?resource_uuid={made['id']}", version="3.5")["messages"]
            assert reason in message["user_message"]
    for wrong, named in (
        ({"same_host": MISSING}, MISSING),
        ({"local_to_instance": MISSING}, MISSING),
        ({"query": "moon"}, "query"),
        ({"query": ["moon", 1]}, "query"),
        ({"near_the_window": True}, "near_the_window"),
    ):
        body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": wrong}
        answer = user.send("POST", "/volumes", body)
        assert answer.status_code in (400, 404) and named in answer.text


def test_metadata_changed_meanwhile_is_not_overwritten(user: Account) -> None:
    path = f"/volumes/{user.volume(metadata={'a': '1'})}/metadata"
    assert "etag" not in user.send("GET", path, version="3.14").headers
    tag = user.send("GET", path, version="3.15").headers["etag"]
    given = {"If-Match": tag}
    assert user.ask("POST", path, {"metadata": {"b": "2"}}, version="3.15", headers=given)["metadata"]["b"] == "2"
    for method, where, body in (
        ("POST", path, {"metadata": {"c": "3"}}),
        ("PUT", path, {"metadata": {"c": "3"}}),
        ("PUT", f"{path}/a", {"meta": {"a": "9"}}),
        ("DELETE", f"{path}/a", None),
    ):
        assert "changed" in user.refused(method, where, body, version="3.15", headers=given, status=412)
    assert user.ask("GET", path) == {"metadata": {"a": "1", "b": "2"}}
    fresh = {"If-Match": user.send("GET", path, version="3.15").headers["etag"].strip('"')}
    assert user.ask("PUT", path, {"metadata": {"c": "3"}}, version="3.15", headers=fresh) == {"metadata": {"c": "3"}}
    assert user.ask("PUT", path, {"metadata": {}}, version="3.15", headers={"If-Match": "*"}) == {"metadata": {}}
    assert user.ask("PUT", path, {"metadata": {"d": "4"}}, version="3.14", headers=given)["metadata"] == {"d": "4"}


def test_what_a_new_volume_may_say_is_stricter_since_3_53(user: Account) -> None:
    for name in ("user_id", "project_id", "status", "attach_status"):
        body = {"volume": {"size": 1, name: "x"}}
        assert name in user.refused("POST", "/volumes", body, version="3.53", status=400)
    body = {"volume": {"size": 1, "user_id": "x", "project_id": "y", "status": "in-use", "attach_status": "attached"}}
    made = user.ask("POST", "/volumes", body, version="3.52", status=202)["volume"]
    assert (made["user_id"], made["status"]) == (user.user_id, "creating")
    user.wait_volume(made["id"], "available")
    user.refused("PUT", f"/volumes/{made['id']}", {"volume": {}}, version="3.53", status=400)
    user.ask("PUT", f"/volumes/{made['id']}", {"volume": {}}, version="3.52")


def test_force_of_a_snapshot_since_3_66(user: Account, nova: Account) -> None:
    volume = user.volume()
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": MISSING}}
    attachment = nova.ask("POST", "/attachments", body, version="3.27")["attachment"]["id"]
    nova.ask("POST", f"/attachments/{attachment}/action", {"os-complete": {}}, version="3.44", status=204)
    for version, force, status in (
        ("3.65", None, 400),
        ("3.65", False, 400),
        ("3.65", True, 202),
        ("3.66", None, 202),
        ("3.66", True, 202),
        ("3.66", False, 400),
    ):
        snapshot = {"volume_id": volume, **({} if force is None else {"force": force})}
        assert user.send("POST", "/snapshots", {"snapshot": snapshot}, version=version).status_code == status
    served = user.served
    served.cloud.wait_idle()
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.27")
