"""What changes a volume's data or place, over HTTP: revert, reimage, retype, migrate; and the older way to attach."""

from typing import Any

import pytest

from pumice.caller import new_id
from tests.api.volume_cloud import MISSING, Account, ServedCloud
from tests.block.cloud import BACKEND

pytestmark = pytest.mark.real

CONNECTOR = {"host": "node1", "ip": "127.0.0.1"}


def act(account: Account, volume_id: str, key: str, value: Any, *, version: str = "3.71", status: int = 202) -> Any:
    path = f"/volumes/{volume_id}/action"
    return account.ask("POST", path, {key: value}, version=version, status=status)


def denied(account: Account, volume_id: str, key: str, value: Any, *, version: str = "3.71", status: int = 400) -> str:
    return account.refused("POST", f"/volumes/{volume_id}/action", {key: value}, version=version, status=status)


def shown(account: Account, volume_id: str) -> dict[str, Any]:
    volume: dict[str, Any] = account.ask("GET", f"/volumes/{volume_id}", version="3.71")["volume"]
    return volume


def bytes_of(served: ServedCloud, volume_id: str) -> bytes:
    return served.cloud.storage.read(volume_id, 0, 9)


def test_a_volume_goes_back_to_its_latest_snapshot(user: Account, served: ServedCloud) -> None:
    volume = user.volume()
    assert "no snapshot" in denied(user, volume, "revert", {"snapshot_id": MISSING})
    served.cloud.storage.write(volume, 0, b"the first")
    first = user.snapshot(volume)
    served.cloud.storage.write(volume, 0, b"the next!")
    latest = user.snapshot(volume)
    served.cloud.storage.write(volume, 0, b"the last.")
    assert "not the latest" in denied(user, volume, "revert", {"snapshot_id": first})
    act(user, volume, "revert", {"snapshot_id": latest}, version="3.40")
    user.wait_volume(volume, "available")
    served.cloud.wait_idle()
    assert bytes_of(served, volume) == b"the next!"
    assert {one.snapshot_id for one in served.cloud.storage.snapshots()} >= {first, latest}
    user.ask("DELETE", f"/snapshots/{latest}", status=202)
    user.wait_gone(f"/snapshots/{latest}")
    user.ask("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 2}}, status=202)
    user.wait_volume(volume, "available")
    act(user, volume, "revert", {"snapshot_id": first})
    user.wait_volume(volume, "available")
    assert bytes_of(served, volume) == b"the first" and shown(user, volume)["size"] == 2


def test_only_what_is_available_goes_back(user: Account, operator: Account) -> None:
    volume = user.volume()
    snapshot = user.snapshot(volume)
    stranger = user.served.account()
    assert volume in denied(stranger, volume, "revert", {"snapshot_id": snapshot}, status=404)
    act(operator, volume, "os-reset_status", {"status": "maintenance"})
    assert "revert needs available" in denied(user, volume, "revert", {"snapshot_id": snapshot})
    act(operator, volume, "os-reset_status", {"status": "available"})
    body = {"os-reset_status": {"status": "error"}}
    operator.ask("POST", f"/snapshots/{snapshot}/action", body, status=202)
    assert "revert to needs available" in denied(user, volume, "revert", {"snapshot_id": snapshot})


def test_a_volume_takes_the_bytes_of_an_image(user: Account, operator: Account, served: ServedCloud) -> None:
    volume = user.volume()
    served.cloud.storage.write(volume, 0, b"old bytes")
    image = served.cloud.image(b"new bytes", properties={"os": "test"})
    act(operator, volume, "os-reset_status", {"status": "error"})
    act(user, volume, "os-reimage", {"image_id": image}, version="3.68")
    user.wait_volume(volume, "available")
    served.cloud.wait_idle()
    assert bytes_of(served, volume) == b"new bytes"
    found = shown(user, volume)
    assert found["bootable"] == "true"
    assert found["volume_image_metadata"]["image_id"] == image and found["volume_image_metadata"]["os"] == "test"
    assert [one for one in served.cloud.storage.snapshots() if one.volume_id == volume] == []


def test_what_a_server_reserved_is_reimaged_only_where_that_is_said(user: Account, nova: Account) -> None:
    volume, image = user.volume(), user.served.cloud.image(b"new bytes")
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": MISSING}}
    attachment = nova.ask("POST", "/attachments", body, version="3.27")["attachment"]["id"]
    assert "is reserved" in denied(nova, volume, "os-reimage", {"image_id": image}, status=409)
    act(nova, volume, "os-reimage", {"image_id": image, "reimage_reserved": True})
    user.wait_volume(volume, "reserved")
    assert bytes_of(user.served, volume) == b"new bytes"
    nova.ask("POST", f"/attachments/{attachment}/action", {"os-complete": {}}, version="3.44", status=204)
    assert "is in-use" in denied(nova, volume, "os-reimage", {"image_id": image, "reimage_reserved": True}, status=409)
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.27")


def test_an_image_that_cannot_be_used_changes_nothing(user: Account, served: ServedCloud) -> None:
    volume = user.volume()
    served.cloud.storage.write(volume, 0, b"old bytes")
    assert user.send(
        "POST", f"/volumes/{volume}/action", {"os-reimage": {"image_id": MISSING}}, version="3.68"
    ).status_code in (400, 404)
    lost = served.cloud.image(b"never seen")
    served.cloud.images.path(lost).unlink()
    act(user, volume, "os-reimage", {"image_id": lost})
    user.wait_volume(volume, "available")
    served.cloud.wait_idle()
    assert bytes_of(served, volume) == b"old bytes" and shown(user, volume)["bootable"] == "false"
    (message,) = user.ask("GET", f"/messages?resource_uuid={volume}", version="3.5")["messages"]
    assert message["event_id"] == "VOLUME_VOLUME_016_029" and lost in message["user_message"]
    assert [one for one in served.cloud.storage.snapshots() if one.volume_id == volume] == []


def test_a_volume_moves_only_where_it_can(user: Account, operator: Account) -> None:
    volume = user.volume()
    key = "os-migrate_volume"
    assert "already" in denied(operator, volume, key, {"host": f"{BACKEND}#pool"})
    assert "moon" in denied(operator, volume, key, {"host": "moon"})
    assert "host" in denied(operator, volume, key, {"host": None})
    assert "cluster" in denied(operator, volume, key, {"host": None, "cluster": "moon"}, version="3.16")
    assert "cluster" in denied(operator, volume, key, {"host": "moon", "cluster": "moon"}, version="3.15")
    denied(user, volume, key, {"host": "moon"}, status=403)
    completion = {"new_volume": MISSING, "error": False}
    assert "no migration" in denied(operator, volume, "os-migrate_volume_completion", completion)
    assert "is available" in denied(operator, volume, "os-extend_volume_completion", {"error": False})
    kind = {"name": f"foreign-{new_id()}", "extra_specs": {"volume_backend_name": "other"}}
    operator.ask("POST", "/types", {"volume_type": kind})
    retype = {"new_type": kind["name"], "migration_policy": "on-demand"}
    assert "the volume is there" in denied(user, volume, "os-retype", retype)
    retype["migration_policy"] = "sometimes"
    assert "migration_policy" in denied(user, volume, "os-retype", retype)
    assert shown(operator, volume)["migration_status"] is None


def test_how_a_migration_ended_is_shown_until_it_is_reset(user: Account, operator: Account) -> None:
    volume = user.volume()
    act(operator, volume, "os-reset_status", {"migration_status": "error"})
    assert shown(operator, volume)["migration_status"] == "error"
    act(operator, volume, "os-reset_status", {"migration_status": "none"})
    assert shown(operator, volume)["migration_status"] is None


def test_a_host_attaches_in_the_older_way(user: Account) -> None:
    volume = user.volume()
    attach = {"host_name": "node1", "mountpoint": "/dev/vdc", "mode": "rw"}
    assert "os-initialize_connection" in denied(user, volume, "os-attach", attach)
    assert "instance_uuid" in denied(user, volume, "os-attach", {"mountpoint": "/dev/vdc"})
    act(user, volume, "os-reserve", {})
    act(user, volume, "os-initialize_connection", {"connector": CONNECTOR}, status=200)
    assert "elsewhere" in denied(user, volume, "os-attach", {**attach, "host_name": "elsewhere"})
    act(user, volume, "os-attach", attach)
    found = shown(user, volume)
    assert found["status"] == "in-use"
    assert [(one["server_id"], one["device"]) for one in found["attachments"]] == [(None, "/dev/vdc")]
    act(user, volume, "os-begin_detaching", {})
    assert shown(user, volume)["status"] == "detaching"
    act(user, volume, "os-roll_detaching", {})
    assert shown(user, volume)["status"] == "in-use"
    act(user, volume, "os-begin_detaching", {})
    act(user, volume, "os-terminate_connection", {"connector": CONNECTOR})
    assert shown(user, volume)["status"] == "available"
    act(user, volume, "os-detach", {})
    assert shown(user, volume)["attachments"] == [] and volume not in user.served.cloud.exports()


def test_an_export_that_fails_leaves_nobody_with_the_volume(user: Account) -> None:
    volume = user.volume()
    act(user, volume, "os-reserve", {})
    elsewhere = {"connector": {**CONNECTOR, "host": "elsewhere"}}
    message = user.refused("POST", f"/volumes/{volume}/action", {"os-initialize_connection": elsewhere}, status=409)
    assert "lies on host node1" in message
    assert shown(user, volume)["status"] == "available"
    assert user.ask("GET", f"/attachments?volume_id={volume}", version="3.27") == {"attachments": []}
    (told,) = user.ask("GET", f"/messages?resource_uuid={volume}", version="3.5")["messages"]
    assert "lies on host node1" in told["user_message"]
    act(user, volume, "os-unreserve", {})
    act(user, volume, "os-initialize_connection", {"connector": CONNECTOR}, status=200)
    act(user, volume, "os-terminate_connection", {"connector": CONNECTOR})
    assert shown(user, volume)["status"] == "available"


def test_a_volume_is_attached_by_whoever_reserved_it(user: Account, served: ServedCloud) -> None:
    mate, volume = served.account(project_id=user.project_id), user.volume()
    attach = {"instance_uuid": served.server(user), "mountpoint": "/dev/vdb"}
    act(user, volume, "os-reserve", {})
    assert "is attaching" in denied(mate, volume, "os-attach", attach)
    assert "is attaching" in denied(mate, volume, "os-initialize_connection", {"connector": CONNECTOR})
    assert shown(user, volume)["status"] == "attaching"
    act(user, volume, "os-attach", attach)
    user.wait_volume(volume, "in-use")
    act(user, volume, "os-detach", {})
    user.wait_volume(volume, "available")


def test_another_compute_service_attaches_in_the_older_way(user: Account, nova: Account) -> None:
    volume, server = user.volume(), new_id()
    act(nova, volume, "os-reserve", {})
    act(nova, volume, "os-initialize_connection", {"connector": CONNECTOR}, status=200)
    assert user.send(
        "POST", f"/volumes/{volume}/action", {"os-attach": {"instance_uuid": server, "mountpoint": "/dev/vdb"}}
    ).status_code in (400, 404)
    act(nova, volume, "os-attach", {"instance_uuid": server, "mountpoint": "/dev/vdb"})
    (attachment,) = shown(user, volume)["attachments"]
    assert (attachment["server_id"], attachment["device"]) == (server, "/dev/vdb")
    act(nova, volume, "os-begin_detaching", {})
    act(nova, volume, "os-terminate_connection", {"connector": CONNECTOR})
    act(nova, volume, "os-detach", {"attachment_id": None})
    assert shown(user, volume)["status"] == "available" and volume not in user.served.cloud.exports()
