"""The volume face over HTTP for operators: types, quotas, services, hosts, and what is forced or set on volumes."""

import logging
import secrets
from typing import Any

import pytest
from sqlalchemy import select

from pumice.block import services
from pumice.block.log_levels import AGENT, API
from pumice.db.schema import images
from pumice.processes.log_levels import LogLevels
from tests.api.volume_cloud import MISSING, Account, ServedCloud
from tests.block.cloud import BACKEND

pytestmark = pytest.mark.real

CONNECTOR = {"host": "node1", "ip": "127.0.0.1"}
SET = {
    *("volumes", "snapshots", "gigabytes", "backups", "backup_gigabytes", "per_volume_gigabytes", "groups"),
    *("volumes___DEFAULT__", "snapshots___DEFAULT__", "gigabytes___DEFAULT__"),
}


def new_type(operator: Account, **fields: Any) -> dict[str, Any]:
    body = {"volume_type": {"name": f"type-{secrets.token_hex(4)}", **fields}}
    made: dict[str, Any] = operator.ask("POST", "/types", body)["volume_type"]
    return made


def act(account: Account, volume_id: str, key: str, value: Any = None, *, status: int = 202, **options: Any) -> Any:
    return account.ask("POST", f"/volumes/{volume_id}/action", {key: value}, status=status, **options)


def shown(account: Account, volume_id: str) -> dict[str, Any]:
    volume: dict[str, Any] = account.ask("GET", f"/volumes/{volume_id}")["volume"]
    return volume


# -- types


def test_a_type_is_made_changed_and_deleted(user: Account, operator: Account) -> None:
    made = new_type(operator, description="what", extra_specs={"volume_backend_name": "memory"})
    path = f"/types/{made['id']}"
    fields = {"id", "name", "description", "is_public", "extra_specs"}
    assert set(made) == fields | {"os-volume-type-access:is_public"}
    assert set(operator.ask("GET", path)["volume_type"]) == set(made) | {"qos_specs_id"}
    seen = user.ask("GET", path)["volume_type"]
    assert set(seen) == set(made) and seen["extra_specs"] == {}
    changed = operator.ask("PUT", path, {"volume_type": {"name": f"{made['name']}-2", "description": None}})
    assert set(changed["volume_type"]) == fields and changed["volume_type"]["description"] is None
    assert operator.ask("DELETE", path, status=202) is None
    assert "could not be found" in operator.refused("GET", path, status=404)


def test_a_type_that_volumes_have_or_that_is_the_default_stays(user: Account, operator: Account) -> None:
    made = new_type(operator)
    user.volume(volume_type=made["name"])
    assert "used by volumes" in operator.refused("DELETE", f"/types/{made['id']}", status=400)
    default = operator.ask("GET", "/types/default")["volume_type"]
    assert "default" in operator.refused("DELETE", f"/types/{default['id']}", status=400)


def test_a_type_is_made_private_by_either_name_of_the_field(user: Account, operator: Account) -> None:
    for name in ("is_public", "os-volume-type-access:is_public"):
        path = f"/types/{new_type(operator)['id']}"
        assert operator.ask("PUT", path, {"volume_type": {name: False}})["volume_type"]["is_public"] is False
        user.refused("GET", path, status=404)


def test_names_of_types_are_unique_and_not_blank(operator: Account) -> None:
    made = new_type(operator)
    body = {"volume_type": {"name": made["name"]}}
    assert "already exists" in operator.refused("POST", "/types", body, status=409)
    other = new_type(operator)
    assert "already exists" in operator.refused("PUT", f"/types/{other['id']}", body, status=409)
    for name in ("", "  "):
        assert "name" in operator.refused("POST", "/types", {"volume_type": {"name": name}}, status=400)


def test_extra_specs_one_by_one(user: Account, operator: Account) -> None:
    path = f"/types/{new_type(operator)['id']}/extra_specs"
    specs = {"multiattach": "<is> True", "vendor_name": "Pumice"}
    assert operator.ask("POST", path, {"extra_specs": specs}) == {"extra_specs": specs}
    assert user.ask("GET", path) == {"extra_specs": {"multiattach": "<is> True"}}
    assert operator.ask("PUT", f"{path}/vendor_name", {"vendor_name": "us"}) == {"vendor_name": "us"}
    assert operator.ask("GET", f"{path}/vendor_name") == {"vendor_name": "us"}
    assert "vendor_name" in operator.refused("PUT", f"{path}/vendor_name", {"other": "us"}, status=400)
    assert "vendor_name" in user.refused("GET", f"{path}/vendor_name", status=404)
    user.refused("DELETE", f"{path}/vendor_name", status=403)
    operator.ask("DELETE", f"{path}/vendor_name", status=202)
    assert operator.ask("GET", path) == {"extra_specs": {"multiattach": "<is> True"}}


def test_a_type_that_is_not_public_is_for_projects_that_were_named(user: Account, operator: Account) -> None:
    made = new_type(operator, **{"os-volume-type-access:is_public": False})
    path = f"/types/{made['id']}"
    body = {"volume": {"size": 1, "volume_type": made["name"]}}
    user.refused("GET", path, status=404)
    user.refused("POST", "/volumes", body, status=404)
    operator.ask("POST", f"{path}/action", {"addProjectAccess": {"project": user.project_id}}, status=202)
    assert operator.ask("GET", f"{path}/os-volume-type-access") == {
        "volume_type_access": [{"volume_type_id": made["id"], "project_id": user.project_id}]
    }
    assert made["id"] in [one["id"] for one in user.ask("GET", "/types")["volume_types"]]
    user.volume(volume_type=made["name"])
    removal = {"removeProjectAccess": {"project": user.project_id}}
    operator.ask("POST", f"{path}/action", removal, status=202)
    operator.refused("POST", f"{path}/action", removal, status=404)
    user.refused("GET", path, status=404)


def test_administrators_list_public_private_or_all_types(operator: Account) -> None:
    private = new_type(operator, **{"os-volume-type-access:is_public": False})["id"]
    for text, there in (("none", True), ("None", True), ("false", True), ("true", False), ("", True)):
        listed = operator.ask("GET", f"/types?is_public={text}")["volume_types"]
        assert (private in [one["id"] for one in listed]) is there, text


# -- quotas


def test_a_quota_is_shown_set_counted_and_reset(user: Account, operator: Account) -> None:
    path = f"/os-quota-sets/{user.project_id}"
    found = user.ask("GET", path)["quota_set"]
    assert found["id"] == user.project_id and set(found) >= {"id", *SET}
    changed = operator.ask("PUT", path, {"quota_set": {"volumes": 1, "gigabytes": "7", "force": True}})["quota_set"]
    assert (changed["volumes"], changed["gigabytes"]) == (1, 7) and "id" not in changed
    user.volume(size=2)
    message = user.refused("POST", "/volumes", {"volume": {"size": 1}}, status=413)
    assert message == "Maximum number of volumes allowed (1) exceeded for quota 'volumes'."
    usage = user.ask("GET", f"{path}?usage=True")["quota_set"]
    assert usage["gigabytes"] == {"limit": 7, "in_use": 2, "reserved": 0}
    absolute = user.ask("GET", "/limits")["limits"]["absolute"]
    assert (absolute["maxTotalVolumes"], absolute["totalVolumesUsed"]) == (1, 1)
    assert (absolute["maxTotalVolumeGigabytes"], absolute["totalGigabytesUsed"]) == (7, 2)
    operator.ask("DELETE", path)
    assert user.ask("GET", path)["quota_set"]["volumes"] == found["volumes"]
    assert "usage" in user.refused("GET", f"{path}?usage=maybe", status=400)


def test_a_quota_below_what_is_in_use_is_refused_where_that_is_asked(user: Account, operator: Account) -> None:
    path = f"/os-quota-sets/{user.project_id}"
    user.volume(size=2)
    for asked, named in (({"gigabytes": 1}, "gigabytes"), ({"volumes___DEFAULT__": 0}, "volumes___DEFAULT__")):
        message = operator.refused("PUT", f"{path}?skip_validation=false", {"quota_set": asked}, status=400)
        assert named in message
    assert operator.ask("PUT", f"{path}?skip_validation=false", {"quota_set": {"gigabytes": 2, "volumes": -1}})
    assert operator.ask("PUT", f"{path}?skip_validation=true", {"quota_set": {"gigabytes": 1}})
    assert operator.ask("PUT", path, {"quota_set": {"gigabytes": 0}})["quota_set"]["gigabytes"] == 0
    assert "skip" in operator.refused("PUT", f"{path}?skip_validation=x", {"quota_set": {}}, status=400)


def test_quotas_of_others_are_for_administrators(user: Account, guest: Account) -> None:
    user.refused("GET", f"/os-quota-sets/{guest.project_id}", status=403)
    user.refused("PUT", f"/os-quota-sets/{user.project_id}", {"quota_set": {"volumes": 5}}, status=403)
    user.refused("GET", "/os-quota-class-sets/default", status=403)


def test_the_default_class_is_what_projects_have(user: Account, operator: Account) -> None:
    before = operator.ask("GET", "/os-quota-class-sets/default")["quota_class_set"]
    assert before["id"] == "default" and set(before) >= SET
    operator.ask("PUT", "/os-quota-class-sets/default", {"quota_class_set": {"groups": 77}})
    assert user.ask("GET", f"/os-quota-sets/{user.project_id}/defaults")["quota_set"]["groups"] == 77
    assert user.ask("GET", f"/os-quota-sets/{user.project_id}")["quota_set"]["groups"] == 77
    operator.ask("PUT", "/os-quota-class-sets/default", {"quota_class_set": {"groups": before["groups"]}})


# -- services and hosts


def test_a_disabled_service_gets_no_volumes(user: Account, operator: Account) -> None:
    which = {"binary": services.VOLUME_BINARY, "host": BACKEND}
    reason = {**which, "disabled_reason": "new disks"}
    answer = operator.ask("PUT", "/os-services/disable-log-reason", reason)
    assert answer["status"] == "disabled" and answer["disabled"] is True and answer["disabled_reason"] == "new disks"
    volume_id = user.ask("POST", "/volumes", {"volume": {"size": 1}}, status=202)["volume"]["id"]
    assert user.status(volume_id) == "error"
    (message,) = user.ask("GET", "/messages", version="3.3")["messages"]
    assert "disabled (new disks)" in message["user_message"]
    assert operator.ask("PUT", "/os-services/enable", which)["status"] == "enabled"
    user.volume()


def test_a_frozen_backend_gets_no_volumes(user: Account, operator: Account) -> None:
    operator.ask("PUT", "/os-services/freeze", {"host": BACKEND})
    volume_id = user.ask("POST", "/volumes", {"volume": {"size": 1}}, status=202)["volume"]["id"]
    assert user.status(volume_id) == "error"
    operator.ask("PUT", "/os-services/thaw", {"host": BACKEND})
    user.volume()


def test_services_that_are_not_there_are_named(user: Account, operator: Account) -> None:
    unknown = {"binary": services.VOLUME_BINARY, "host": "elsewhere@x"}
    for action in ("enable", "disable"):
        assert "elsewhere@x" in operator.refused("PUT", f"/os-services/{action}", unknown, status=404)
    for action in ("freeze", "thaw", "failover_host"):
        assert "elsewhere@x" in operator.refused("PUT", f"/os-services/{action}", {"host": "elsewhere@x"}, status=400)
        user.refused("PUT", f"/os-services/{action}", {"host": BACKEND}, status=403)


def test_hosts_tell_what_is_on_them(user: Account, operator: Account) -> None:
    user.snapshot(user.volume(size=3))
    listed = operator.ask("GET", "/os-hosts")["hosts"]
    assert {"host_name", "service", "zone", "service-status", "service-state", "last-update"} == set(listed[0])
    assert BACKEND in [one["host_name"] for one in listed]
    total, *each = [one["resource"] for one in operator.ask("GET", f"/os-hosts/{BACKEND}")["host"]]
    assert total["project"] == "(total)" and int(total["volume_count"]) >= 1
    (mine,) = [one for one in each if one["project"] == user.project_id]
    assert mine == {
        "project": user.project_id,
        "host": BACKEND,
        "volume_count": "1",
        "total_volume_gb": "3",
        "snapshot_count": "1",
        "total_snapshot_gb": "3",
    }
    operator.refused("GET", "/os-hosts/elsewhere", status=404)


def test_resource_filters_name_what_lists_take(user: Account) -> None:
    (volume,) = user.ask("GET", "/resource_filters?resource=volume", version="3.33")["resource_filters"]
    assert volume["resource"] == "volume" and "status" in volume["filters"]
    user.refused("GET", "/resource_filters", version="3.32", status=404)


# -- volumes


def test_a_read_only_volume_says_so_and_is_attached_so(user: Account, nova: Account) -> None:
    volume_id = user.volume()
    assert "readonly" not in shown(user, volume_id)["metadata"]
    act(user, volume_id, "os-update_readonly_flag", {"readonly": True})
    assert shown(user, volume_id)["metadata"]["readonly"] == "True"
    body = {"attachment": {"volume_uuid": volume_id, "instance_uuid": MISSING}}
    made = nova.ask("POST", "/attachments", body, version="3.54")["attachment"]
    assert made["attach_mode"] == "ro"
    nova.ask("DELETE", f"/attachments/{made['id']}", version="3.54")
    act(user, volume_id, "os-update_readonly_flag", {"readonly": False})
    assert shown(user, volume_id)["metadata"]["readonly"] == "False"


def test_image_metadata_of_a_volume(user: Account) -> None:
    volume_id = user.volume()
    assert act(user, volume_id, "os-show_image_metadata", status=200) == {"metadata": {}}
    sent = {"metadata": {"os_type": "linux", "hw_disk_bus": "scsi"}}
    assert act(user, volume_id, "os-set_image_metadata", sent, status=200) == sent
    assert shown(user, volume_id)["volume_image_metadata"] == sent["metadata"]
    act(user, volume_id, "os-unset_image_metadata", {"key": "os_type"}, status=200)
    assert act(user, volume_id, "os-show_image_metadata", status=200) == {"metadata": {"hw_disk_bus": "scsi"}}
    act(user, volume_id, "os-unset_image_metadata", {"key": "os_type"}, status=404)


def test_a_volume_becomes_of_another_type_where_its_pool_fits(user: Account, operator: Account) -> None:
    fitting = new_type(operator, extra_specs={"volume_backend_name": "memory"})["name"]
    foreign = new_type(operator, extra_specs={"volume_backend_name": "other"})["name"]
    volume_id = user.volume()
    act(user, volume_id, "os-retype", {"new_type": fitting, "migration_policy": "never"})
    assert shown(user, volume_id)["volume_type"] == fitting
    body = {"os-retype": {"new_type": foreign}}
    said = user.refused("POST", f"/volumes/{volume_id}/action", body, status=400)
    assert "its volume_backend_name is memory, the type asks for other" in said


@pytest.mark.parametrize("word", ["creating", "error", "maintenance", "attaching", "deleting"])
def test_force_delete_needs_no_word(user: Account, operator: Account, word: str) -> None:
    volume_id = user.volume()
    act(operator, volume_id, "os-reset_status", {"status": word})
    user.refused("POST", f"/volumes/{volume_id}/action", {"os-force_delete": {}}, status=403)
    act(operator, volume_id, "os-force_delete", {})
    user.wait_gone(f"/volumes/{volume_id}")


def test_what_has_no_data_is_not_used_whatever_is_marked(user: Account, operator: Account, served: ServedCloud) -> None:
    volume_id = user.ask("POST", "/volumes", {"volume": {"size": 900}}, status=202)["volume"]["id"]
    act(operator, volume_id, "os-reset_status", {"status": "available"})
    server_id = served.server(user)
    actions: tuple[tuple[str, Any], ...] = (
        ("os-attach", {"instance_uuid": server_id, "mountpoint": "/dev/sdb"}),
        ("os-initialize_connection", {"connector": CONNECTOR}),
        ("os-reserve", {}),
        ("os-extend", {"new_size": 901}),
        ("os-volume_upload_image", {"image_name": "x"}),
    )
    said = [user.refused("POST", f"/volumes/{volume_id}/action", {key: value}, status=400) for key, value in actions]
    for body in ({"volume": {"source_volid": volume_id}}, {"snapshot": {"volume_id": volume_id}}):
        said.append(user.refused("POST", f"/{next(iter(body))}s", body, status=400))
    body = {"attachment": {"volume_uuid": volume_id}}
    said.append(user.refused("POST", "/attachments", body, version="3.27", status=409))
    said.append(operator.refused("POST", f"/volumes/{volume_id}/action", {"os-unmanage": {}}, status=400))
    for message in said:
        assert "without data" in message and "100 GiB free of 900 GiB asked" in message
    user.ask("DELETE", f"/volumes/{volume_id}", status=202)
    user.wait_gone(f"/volumes/{volume_id}")


def test_a_detach_ends_what_was_marked(user: Account, operator: Account, served: ServedCloud) -> None:
    volume_id = user.volume()
    act(user, volume_id, "os-attach", {"instance_uuid": served.server(user), "mountpoint": "/dev/sdb"})
    user.wait_volume(volume_id, "in-use")
    marks = {"status": "error", "attach_status": "error_detaching", "migration_status": "error"}
    act(operator, volume_id, "os-reset_status", marks)
    path = f"/volumes?all_tenants=1&attach_status=error_detaching&id={volume_id}"
    assert user.status(volume_id) == "error" and operator.ask("GET", path)["volumes"]
    act(user, volume_id, "os-detach", {})
    user.wait_volume(volume_id, "available")
    assert operator.ask("GET", path) == {"volumes": []}
    assert operator.ask("GET", f"/volumes/{volume_id}")["volume"]["migration_status"] == "error"


def test_what_is_only_marked_as_deleting_is_not_said_to_be_deleted(user: Account, operator: Account) -> None:
    volume_id = user.volume()
    snapshot_id = user.snapshot(volume_id)
    for path in (f"/snapshots/{snapshot_id}", f"/volumes/{volume_id}"):
        operator.ask("POST", f"{path}/action", {"os-reset_status": {"status": "deleting"}}, status=202)
        assert "is deleting; delete needs available" in user.refused("DELETE", path, status=400)
        operator.ask("POST", f"{path}/action", {"os-force_delete": {}}, status=202)
        assert user.send("DELETE", path).status_code in (202, 404)
        user.wait_gone(path)


def test_what_is_attached_is_not_deleted_by_any_word(user: Account, operator: Account, served: ServedCloud) -> None:
    volume_id = user.volume()
    server_id = served.server(user)
    act(user, volume_id, "os-attach", {"instance_uuid": server_id, "mountpoint": "/dev/sdb"})
    user.wait_volume(volume_id, "in-use")
    act(operator, volume_id, "os-reset_status", {"status": "error"})
    assert server_id in user.refused("DELETE", f"/volumes/{volume_id}", status=400)
    user.refused("DELETE", f"/volumes/{volume_id}?force=true", version="3.23", status=403)
    assert "in-use" in operator.refused("POST", f"/volumes/{volume_id}/action", {"os-force_delete": {}}, status=400)
    act(operator, volume_id, "os-force_detach", {"attachment_id": None, "connector": None})
    user.wait_volume(volume_id, "available")
    operator.ask("DELETE", f"/volumes/{volume_id}?force=true", version="3.23", status=202)
    user.wait_gone(f"/volumes/{volume_id}")


def test_a_connection_is_made_and_ended_by_hand(user: Account) -> None:
    volume_id = user.volume()
    act(user, volume_id, "os-reserve", {})
    made = act(user, volume_id, "os-initialize_connection", {"connector": CONNECTOR}, status=200)
    assert made["connection_info"]["driver_volume_type"]
    assert act(user, volume_id, "os-initialize_connection", {"connector": CONNECTOR}, status=200) == made
    assert user.status(volume_id) == "attaching"
    act(user, volume_id, "os-terminate_connection", {"connector": CONNECTOR})
    assert user.status(volume_id) == "available"
    act(user, volume_id, "os-terminate_connection", {"connector": CONNECTOR})
    body = {"os-initialize_connection": {"connector": {"ip": "127.0.0.1"}}}
    assert "connector.host" in user.refused("POST", f"/volumes/{volume_id}/action", body, status=400)


def test_snapshots_are_marked_and_force_deleted(user: Account, operator: Account) -> None:
    snapshot_id = user.snapshot(user.volume())
    path = f"/snapshots/{snapshot_id}/action"
    sent = {"os-update_snapshot_status": {"status": "creating", "progress": "80%"}}
    operator.ask("POST", path, sent, status=202)
    found = user.ask("GET", f"/snapshots/{snapshot_id}")["snapshot"]
    assert (found["status"], found["os-extended-snapshot-attributes:progress"]) == ("creating", "80%")
    user.refused("POST", path, {"os-reset_status": {"status": "error"}}, status=403)
    operator.ask("POST", path, {"os-reset_status": {"status": "error_deleting"}}, status=202)
    assert "status" in operator.refused("POST", path, {"os-reset_status": {"status": "lost"}}, status=400)
    operator.ask("POST", path, {"os-force_delete": {}}, status=202)
    user.wait_gone(f"/snapshots/{snapshot_id}")


@pytest.mark.parametrize("in_use", [False, True])
def test_an_image_is_made_of_a_volume(user: Account, served: ServedCloud, in_use: bool) -> None:
    volume_id = user.volume()
    # Hashing a whole GiB takes long where other tests run beside.
    served.cloud.storage.shrink_back(volume_id, 1 << 20)
    served.cloud.storage.write(volume_id, 4096, b"told by the guest")
    if in_use:
        act(user, volume_id, "os-attach", {"instance_uuid": served.server(user), "mountpoint": "/dev/sdb"})
        user.wait_volume(volume_id, "in-use")
        body = {"os-volume_upload_image": {"image_name": "copy"}}
        assert "in-use" in user.refused("POST", f"/volumes/{volume_id}/action", body, status=400)
    wanted = {"image_name": "copy", "force": in_use, "disk_format": "raw", "container_format": "bare"}
    answer = act(user, volume_id, "os-volume_upload_image", wanted)["os-volume_upload_image"]
    assert (answer["id"], answer["status"], answer["size"]) == (volume_id, "uploading", 1)
    user.wait_volume(volume_id, "in-use" if in_use else "available")
    statement = select(images.c.status, images.c.project_id).where(images.c.id == answer["image_id"])
    found: Any = served.cloud.read(lambda tx: tx.execute(statement).one())
    assert tuple(found) == ("active", user.project_id)
    with served.cloud.images.path(answer["image_id"]).open("rb") as stored:
        stored.seek(4096)
        assert stored.read(17) == b"told by the guest"
    stored_for_it = {one.snapshot_id for one in served.cloud.storage.snapshots() if one.volume_id == volume_id}
    assert stored_for_it == set()


# -- log levels


def test_log_levels_are_set_in_the_processes_and_read_back(user: Account, operator: Account) -> None:
    database = operator.served.cloud.database
    processes = [LogLevels(database, AGENT, "node1"), LogLevels(database, API, "node1")]
    talkative = logging.getLogger(f"told.{secrets.token_hex(4)}.inner")
    name = talkative.name

    def look() -> dict[str, str]:
        for process in processes:
            process.look()
        answer = operator.ask("PUT", "/os-services/get-log", {"prefix": name}, version="3.32")["log_levels"]
        assert {one["host"] for one in answer} == {"node1"}
        return {one["binary"]: one["levels"][name] for one in answer}

    before = look()
    assert set(before) == {API, AGENT}
    body = {"binary": AGENT, "server": "node1@memory", "prefix": name.rpartition(".")[0] + ".", "level": "debug"}
    assert operator.ask("PUT", "/os-services/set-log", body, version="3.32", status=202) is None
    assert look() == {API: "DEBUG", AGENT: "DEBUG"}, "both are this process"
    assert talkative.isEnabledFor(logging.DEBUG) and not logging.getLogger("told").isEnabledFor(logging.DEBUG)
    body = {"binary": "*", "prefix": name, "level": "ERROR"}
    operator.ask("PUT", "/os-services/set-log", body, version="3.32", status=202)
    assert look() == {API: "ERROR", AGENT: "ERROR"} and not talkative.isEnabledFor(logging.WARNING)
    only = operator.ask("PUT", "/os-services/get-log", {"binary": API}, version="3.32")["log_levels"]
    assert [one["binary"] for one in only] == [API] and "root" in only[0]["levels"]
    for wrong, named in (({"level": "loud"}, "level"), ({}, "level"), ({"level": "INFO", "binary": "moon"}, "binary")):
        assert named in operator.refused("PUT", "/os-services/set-log", wrong, version="3.32", status=400)
    user.refused("PUT", "/os-services/get-log", {}, version="3.32", status=403)
    operator.refused("PUT", "/os-services/get-log", {}, version="3.31", status=404)


def test_a_backend_that_does_not_replicate_does_not_fail_over(operator: Account) -> None:
    for path, version in (("failover_host", "3.0"), ("failover", "3.26")):
        said = operator.refused("PUT", f"/os-services/{path}", {"host": BACKEND}, version=version, status=400)
        assert "does not replicate" in said
    operator.refused("PUT", "/os-services/failover", {"host": BACKEND}, version="3.25", status=404)
