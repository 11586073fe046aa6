"""Manage and unmanage over HTTP: volumes and snapshots leave management with their data kept, and come back."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from pumice.caller import new_id
from pumice.outcomes import Problem
from tests.api.volume_cloud import MISSING, Account, ServedCloud
from tests.api.volume_fields import SNAPSHOT_CREATED, VOLUME, VOLUME_ADMIN, at
from tests.block.cloud import BACKEND
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

POOL = f"{BACKEND}#pool"
NAMES = (("/manageable_volumes", "/manageable_snapshots", "3.8"), ("/os-volume-manage", "/os-snapshot-manage", "3.0"))


def unmanage(operator: Account, path: str) -> None:
    assert operator.ask("POST", f"{path}/action", {"os-unmanage": {}}, status=202) is None
    operator.wait_gone(path)


def found(operator: Account, path: str, query: str = "", version: str = "3.8") -> list[dict[str, Any]]:
    """What is not managed."""
    answer = operator.ask("GET", f"{path}?host={BACKEND}&limit=1000{query}", version=version)
    (items,) = answer.values()
    return [item for item in items if item["safe_to_manage"]]


@pytest.mark.parametrize(("volumes", "snapshots", "version"), NAMES)
def test_a_volume_leaves_and_comes_back(
    user: Account, operator: Account, served: ServedCloud, volumes: str, snapshots: str, version: str
) -> None:
    old = user.volume(size=2)
    served.cloud.storage.write(old, 0, b"kept meanwhile")
    unmanage(operator, f"/volumes/{old}")
    assert user.ask("GET", "/volumes") == {"volumes": []}
    assert old not in {one.volume_id for one in served.cloud.storage.volumes()}
    listed = [one for one in found(operator, volumes, version=version) if old in one["reference"]["source-name"]]
    assert listed == [{"reference": {"source-name": f"volume-{old}"}, "size": 2, "safe_to_manage": True}]
    wanted = {
        "host": POOL,
        "ref": {"source-name": f"volume-{old}"},
        "name": "again",
        "metadata": {"a": "b"},
        "bootable": True,
        "volume_type": "__DEFAULT__",
        "availability_zone": "nova",
    }
    made = operator.ask("POST", volumes, {"volume": wanted}, version=version, status=202)["volume"]
    assert set(made) <= at(VOLUME, version) | at(VOLUME_ADMIN, version) and made["id"] != old
    operator.wait_volume(made["id"], "available")
    shown = operator.ask("GET", f"/volumes/{made['id']}")["volume"]
    assert (shown["size"], shown["name"], shown["bootable"], shown["metadata"]) == (2, "again", "true", {"a": "b"})
    assert shown["os-vol-host-attr:host"] == POOL
    assert served.cloud.storage.read(made["id"], 0, 14) == b"kept meanwhile"
    assert all(old not in one["reference"]["source-name"] for one in found(operator, volumes, version=version))


@pytest.mark.parametrize(("volumes", "snapshots", "version"), NAMES)
def test_a_snapshot_leaves_and_comes_back(
    user: Account, operator: Account, served: ServedCloud, volumes: str, snapshots: str, version: str
) -> None:
    volume = user.volume()
    old = user.snapshot(volume)
    body = {"os-unmanage": None}
    assert "snapshots" in operator.refused("POST", f"/volumes/{volume}/action", body, status=400)
    unmanage(operator, f"/snapshots/{old}")
    assert old not in {one.snapshot_id for one in served.cloud.storage.snapshots()}
    names = [one["reference"]["source-name"] for one in found(operator, snapshots, version=version)]
    assert f"_snapshot-{old}" in names
    wanted = {"volume_id": volume, "ref": {"source-name": f"_snapshot-{old}"}, "name": "s", "metadata": {"k": "v"}}
    made = operator.ask("POST", snapshots, {"snapshot": wanted}, version=version, status=202)["snapshot"]
    assert set(made) == at(SNAPSHOT_CREATED, version)
    served.cloud.wait_idle()
    shown = user.ask("GET", f"/snapshots/{made['id']}")["snapshot"]
    assert (shown["status"], shown["volume_id"], shown["metadata"]) == ("available", volume, {"k": "v"})
    copy = user.volume(None, snapshot_id=made["id"])
    assert copy in {one.volume_id for one in served.cloud.storage.volumes()}


def test_a_snapshot_is_not_larger_than_its_volume(user: Account, operator: Account, served: ServedCloud) -> None:
    small, large = user.volume(), user.volume(size=2)
    unmanage(operator, f"/volumes/{large}")
    wanted = {"volume_id": small, "ref": {"source-name": f"volume-{large}"}}
    made = operator.ask("POST", "/manageable_snapshots", {"snapshot": wanted}, version="3.8", status=202)["snapshot"]
    served.cloud.wait_idle()
    assert user.ask("GET", f"/snapshots/{made['id']}")["snapshot"]["status"] == "error"
    for account in (user, operator):
        (message,) = account.ask("GET", f"/messages?resource_uuid={made['id']}", version="3.5")["messages"]
        assert "1 GiB" in message["user_message"]
    assert f"volume-{large}" in {one["reference"]["source-name"] for one in found(operator, "/manageable_volumes")}


def test_what_is_in_a_pool_is_listed_with_what_is_managed(user: Account, operator: Account) -> None:
    volume = user.volume()
    snapshot = user.snapshot(volume)
    query = f"?host={BACKEND}&sort=size:desc"
    items = operator.ask("GET", f"/manageable_volumes/detail{query}", version="3.8")["manageable-volumes"]
    (item,) = [one for one in items if one["cinder_id"] == volume]
    assert item == {
        "reference": {"source-name": f"volume-{volume}"},
        "size": 1,
        "safe_to_manage": False,
        "reason_not_safe": "already managed",
        "cinder_id": volume,
        "extra_info": None,
    }
    sizes = [one["size"] for one in items]
    assert sizes == sorted(sizes, reverse=True)
    path = f"/manageable_snapshots/detail?host={BACKEND}"
    items = operator.ask("GET", path, version="3.8")["manageable-snapshots"]
    (item,) = [one for one in items if one["cinder_id"] == snapshot]
    assert item["source_reference"] == {"source-name": f"volume-{volume}"}
    every = operator.ask("GET", f"/manageable_volumes?host={BACKEND}", version="3.8")["manageable-volumes"]
    part = operator.ask("GET", f"/manageable_volumes?host={BACKEND}&limit=1&offset=1", version="3.8")
    assert part["manageable-volumes"] == every[1:2]
    marker = json.dumps(every[0]["reference"])
    path = f"/manageable_volumes?host={BACKEND}&sort=reference:asc&limit=2&marker={quote(marker)}"
    assert operator.ask("GET", path, version="3.8")["manageable-volumes"] == every[1:3]


def test_a_backend_that_is_down_is_not_asked(operator: Account, served: ServedCloud) -> None:
    served.cloud.report([Problem("pool-gone", "its pool is not mounted", "mount it")])
    path = f"/manageable_volumes?host={BACKEND}"
    assert "its pool is not mounted" in operator.refused("GET", path, version="3.8", status=503)
    wanted = {"volume": {"host": POOL, "ref": {"source-name": "volume-1"}}}
    assert "mount it" in operator.refused("POST", "/manageable_volumes", wanted, version="3.8", status=400)
    served.cloud.report()
    assert operator.ask("GET", path, version="3.8")


def test_what_is_larger_than_the_quota_stays_unmanaged(operator: Account, served: ServedCloud) -> None:
    project = served.account("admin")
    volume = project.volume(size=3)
    unmanage(operator, f"/volumes/{volume}")
    quota = {"quota_set": {"gigabytes": 2}}
    operator.ask("PUT", f"/os-quota-sets/{project.project_id}", quota)
    wanted = {"volume": {"host": POOL, "ref": {"source-name": f"volume-{volume}"}}}
    made = project.ask("POST", "/manageable_volumes", wanted, version="3.8", status=202)["volume"]["id"]
    project.wait_volume(made, "error")
    (message,) = project.ask("GET", f"/messages?resource_uuid={made}", version="3.5")["messages"]
    assert "gigabytes" in message["user_message"]
    assert f"volume-{volume}" in {one["reference"]["source-name"] for one in found(operator, "/manageable_volumes")}
    project.ask("DELETE", f"/volumes/{made}", status=202)
    project.wait_gone(f"/volumes/{made}")
    operator.ask("DELETE", f"/os-quota-sets/{project.project_id}")
    again = project.ask("POST", "/manageable_volumes", wanted, version="3.8", status=202)["volume"]["id"]
    project.wait_volume(again, "available")
    assert project.ask("GET", "/limits")["limits"]["absolute"]["totalGigabytesUsed"] == 3


def test_of_two_who_ask_for_the_same_data_one_gets_it(user: Account, operator: Account) -> None:
    volume = user.volume()
    unmanage(operator, f"/volumes/{volume}")
    wanted = {"volume": {"host": POOL, "ref": {"source-name": f"volume-{volume}"}}}
    made = [
        operator.ask("POST", "/manageable_volumes", wanted, version="3.8", status=202)["volume"]["id"] for _ in range(2)
    ]

    def settled() -> bool:
        return sorted(operator.status(one) for one in made) == ["available", "error"]

    wait_until(settled, 30, "one has it")


def test_what_cannot_be_managed_says_why(user: Account, operator: Account) -> None:
    reference = {"source-name": "volume-nowhere"}
    kind = operator.ask("POST", "/types", {"volume_type": {"name": new_id(), "extra_specs": {"thin": "<is> False"}}})
    here: dict[str, Any] = {"host": POOL, "ref": reference}
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"host": "moon", "ref": reference}, "moon"),
        ({"ref": reference}, "host"),
        ({"host": POOL}, "ref"),
        ({"host": POOL, "ref": {"source-id": "5"}}, "source-id"),
        ({**here, "availability_zone": "moon"}, "is in zone nova, not moon"),
        ({**here, "volume_type": kind["volume_type"]["name"]}, "thin"),
        ({**here, "cluster": "c"}, "cluster"),
    )
    for asked, named in wrong:
        assert named in operator.refused("POST", "/manageable_volumes", {"volume": asked}, version="3.16", status=400)
    body: dict[str, Any] = {"volume": here}
    made = operator.ask("POST", "/manageable_volumes", body, version="3.8", status=202)["volume"]
    operator.wait_volume(made["id"], "error")
    (message,) = operator.ask("GET", f"/messages?resource_uuid={made['id']}", version="3.5")["messages"]
    assert "volume-nowhere" in message["user_message"]
    operator.ask("DELETE", f"/volumes/{made['id']}", status=202)
    operator.wait_gone(f"/volumes/{made['id']}")
    user.refused("POST", "/manageable_volumes", body, version="3.8", status=403)
    user.refused("GET", f"/manageable_volumes?host={BACKEND}", version="3.8", status=403)
    user.refused("POST", f"/volumes/{user.volume()}/action", {"os-unmanage": {}}, status=403)
    assert "host" in operator.refused("GET", "/manageable_volumes", version="3.8", status=400)
    for query, named in (
        ("host=moon", "moon"),
        (f"host={BACKEND}&limit=x", "limit"),
        (f"host={BACKEND}&sort=color", "sort"),
        (f"host={BACKEND}&sort=size:up", "sort"),
        (f"host={BACKEND}&marker=volume-1", "marker"),
        (f'host={BACKEND}&marker={{"source-name":"volume-1"}}', "marker"),
    ):
        assert named in operator.refused("GET", f"/manageable_volumes?{query}", version="3.8", status=400)
    operator.refused("GET", f"/manageable_volumes?host={BACKEND}", version="3.7", status=404)
    body = {"snapshot": {"volume_id": MISSING, "ref": reference}}
    operator.refused("POST", "/manageable_snapshots", body, version="3.8", status=404)
    operator.refused("POST", f"/volumes/{new_id()}/action", {"os-unmanage": {}}, status=404)
