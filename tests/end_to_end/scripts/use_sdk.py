"""What programs do with openstacksdk: each story makes, finds, changes and deletes things of one kind.

use_sdk.py STORY CLOUDS_YAML     runs with the Python of the clients' environment; an AssertionError ends it
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

import openstack
from openstack import exceptions

SOON = {"interval": 0.2, "wait": 60}
FIRST, SECOND = "pumice@file#file", "pumice@second#second"
CONNECTOR = {"initiator": "iqn.2026-11.example:sdk", "host": "pumice", "ip": "127.0.0.1", "platform": "x86_64"}


def made(cloud, name, **wanted):
    """A volume that is available."""
    volume = cloud.block_storage.create_volume(name=name, **{"size": 1, **wanted})
    return cloud.block_storage.wait_for_status(volume, "available", **SOON)


def gone(cloud, *things):
    for thing in things:
        cloud.block_storage.wait_for_delete(thing, **SOON)


def server(cloud, name, **wanted):
    """A server that is active."""
    flavor = cloud.compute.find_flavor("m1.tiny")
    asked = cloud.compute.create_server(name=name, flavor_id=flavor.id, networks="none", **wanted)
    return cloud.compute.wait_for_server(asked, **SOON)


def soon(held):
    """Wait until it holds."""
    deadline = time.monotonic() + SOON["wait"]
    while not held():
        assert time.monotonic() < deadline, "it does not come to hold"
        threading.Event().wait(SOON["interval"])


def refused(call, *arguments, kind=exceptions.BadRequestException, **options):
    """What the refusal says."""
    try:
        call(*arguments, **options)
    except kind as error:
        return str(error)
    raise AssertionError(f"{call} was not refused")


def volumes(demo, admin):
    block = demo.block_storage
    one = made(demo, "sdk-one", metadata={"colour": "red"}, description="first")
    two = made(demo, "sdk-two", source_volume_id=one.id, size=2)
    assert (one.metadata, one.description, one.is_bootable, two.size) == ({"colour": "red"}, "first", False, 2)
    assert block.find_volume("sdk-one").id == block.find_volume(one.id).id == one.id
    assert block.find_volume("sdk-none") is None
    refused(block.find_volume, "sdk-none", ignore_missing=False, kind=exceptions.NotFoundException)
    refused(block.get_volume, "sdk-none", kind=exceptions.NotFoundException)
    assert [found.id for found in block.volumes(name="sdk-two", status="available")] == [two.id]
    assert [found.id for found in block.volumes(properties="{'colour': 'red'}")] == [one.id]
    assert {found.id for found in block.volumes(limit=1)} >= {one.id, two.id}
    assert {found.id for found in block.volumes(details=False, limit=1)} >= {one.id, two.id}
    assert one.id in {found.id for found in admin.block_storage.volumes(all_projects=True, project_id=one.project_id)}

    assert block.update_volume(one, name="sdk-first", description="new").name == "sdk-first"
    assert block.set_volume_metadata(one, size="big").metadata["size"] == "big"
    block.delete_volume_metadata(block.get_volume(one), ["colour"])
    assert block.get_volume_metadata(one).metadata == {"size": "big"}
    block.set_volume_bootable_status(one, True)
    block.set_volume_readonly(one, True)
    block.set_volume_image_metadata(one, os_distro="tiny", other="x")
    block.delete_volume_image_metadata(one, ["other"])
    shown = block.get_volume(one)
    assert shown.is_bootable and shown.volume_image_metadata == {"os_distro": "tiny"}
    block.set_volume_readonly(one, False)
    assert "2" in refused(block.extend_volume, two, 1)
    block.extend_volume(two, 3)
    soon(lambda: block.get_volume(two).size == 3)
    assert block.summary(all_projects=False).total_size >= 4

    block.reserve_volume(one)
    assert "is attaching; delete needs" in refused(block.delete_volume, one)
    block.unreserve_volume(one)
    refused(block.begin_volume_detaching, one)
    admin.block_storage.reset_volume_status(one, "error", "detached")
    assert block.get_volume(one).status == "error"
    admin.block_storage.reset_volume_status(one, "available")
    block.delete_volume(one)
    assert demo.delete_volume(two.id, wait=True)
    gone(demo, one, two)
    block.delete_volume(one)
    refused(block.delete_volume, one, ignore_missing=False, kind=exceptions.NotFoundException)


def snapshots(demo, admin):
    block = demo.block_storage
    volume = made(demo, "sdk-source")
    early = block.create_snapshot(volume_id=volume.id, name="sdk-early", metadata={"a": "b"})
    block.wait_for_status(early, "available", **SOON)
    late = demo.create_volume_snapshot(volume.id, name="sdk-late", wait=True)
    assert block.find_snapshot("sdk-early").id == early.id
    assert [found.id for found in block.snapshots(volume_id=volume.id, name="sdk-late")] == [late.id]
    assert {found.id for found in block.snapshots(limit=1, details=False)} >= {early.id, late.id}
    block.set_snapshot_metadata(early, c="d")
    assert block.get_snapshot_metadata(early).metadata == {"a": "b", "c": "d"}
    block.delete_snapshot_metadata(early, ["a"])
    assert block.get_snapshot_metadata(early).metadata == {"c": "d"}
    assert block.update_snapshot(early, description="new").description == "new"
    admin.block_storage.reset_snapshot_status(early, "error")
    assert block.get_snapshot(early).status == "error"
    admin.block_storage.set_snapshot_status(early, "available", "100%")
    assert block.get_snapshot(early).status == "available"
    block.revert_volume_to_snapshot(volume, late)
    block.wait_for_status(volume, "available", **SOON)
    made(demo, "sdk-of-snapshot", snapshot_id=early.id)
    refused(block.delete_volume, volume)
    block.delete_snapshot(early)
    gone(demo, early)
    block.delete_volume(volume, cascade=True)
    gone(demo, late, volume)
    assert demo.delete_volume("sdk-of-snapshot", wait=True)


def attachments(demo, admin):
    block = demo.block_storage
    guest = server(demo, "sdk-guest", image_id=demo.image.find_image("lab").id)
    volume = made(demo, "sdk-data")
    demo.attach_volume(guest, volume, wait=True)
    volume = block.get_volume(volume)
    assert volume.status == "in-use" and [one["server_id"] for one in volume.attachments] == [guest.id]
    assert [one.volume_id for one in demo.compute.volume_attachments(guest)] == [volume.id]
    (attachment,) = block.attachments(volume_id=volume.id)
    assert (attachment.status, block.get_attachment(attachment.id).instance) == ("attached", guest.id)
    held = refused(block.delete_attachment, attachment.id, kind=exceptions.ConflictException)
    assert f"is held by server {guest.id}" in held
    block.extend_volume(volume, 2)
    soon(lambda: block.get_volume(volume).size == 2)
    demo.detach_volume(guest, volume, wait=True)
    assert block.get_volume(volume).status == "available"

    own = block.create_attachment(volume.id, instance=guest.id, connector=None)
    assert block.get_volume(volume).status == "reserved"
    block.update_attachment(own, connector=CONNECTOR)
    block.complete_attachment(own)
    assert block.get_volume(volume).status == "in-use"
    block.delete_attachment(own)
    block.wait_for_status(volume, "available", **SOON)
    assert list(block.attachments(volume_id=volume.id)) == []
    assert demo.delete_server(guest.id, wait=True)
    assert demo.delete_volume(volume.id, wait=True)


def types(demo, admin):
    block = admin.block_storage
    project = demo.current_project_id
    kind = block.create_type(name="sdk-fast", extra_specs={"volume_backend_name": "file"}, is_public=False)
    assert block.find_type("sdk-fast").id == kind.id and demo.block_storage.find_type("sdk-fast") is None
    block.add_type_access(kind, project)
    assert [one["project_id"] for one in block.get_type_access(kind)] == [project]
    assert demo.block_storage.find_type("sdk-fast").id == kind.id
    block.set_default_type(project, kind)
    assert demo.get_volume_type("sdk-fast") and block.show_default_type(project).volume_type_id == kind.id
    volume = made(demo, "sdk-typed")
    assert volume.volume_type == "sdk-fast"
    block.unset_default_type(project)
    block.update_type(kind, name="sdk-faster", description="x")
    assert block.update_type_extra_specs(kind, cache="yes").extra_specs == {"cache": "yes"}
    block.delete_type_extra_specs(kind, ["cache"])
    assert block.get_type(kind).extra_specs == {"volume_backend_name": "file"}
    refused(block.delete_type, kind)
    demo.block_storage.retype_volume(volume, "__DEFAULT__")
    assert demo.block_storage.get_volume(volume).volume_type == "__DEFAULT__"
    block.remove_type_access(kind, project)
    assert demo.delete_volume(volume.id, wait=True)
    block.delete_type(kind)
    assert block.find_type("sdk-faster") is None


def quotas(demo, admin):
    block = admin.block_storage
    project = demo.current_project_id
    block.update_quota_set(project, volumes=1, gigabytes=5)
    assert (block.get_quota_set(project).volumes, block.get_quota_set_defaults(project).volumes) == (1, 10)
    volume = made(demo, "sdk-counted")
    assert block.get_quota_set(project, usage=True).usage["gigabytes"] == 1
    absolute = demo.block_storage.get_limits().absolute
    assert (absolute.max_total_volumes, absolute.total_volumes_used) == (1, 1)
    too_much = refused(demo.block_storage.create_volume, size=1, kind=exceptions.HttpException)
    assert "413" in too_much and "exceed" in too_much
    block.revert_quota_set(project)
    assert block.get_quota_set(project).volumes == 10
    block.update_quota_class_set("default", snapshots=11)
    assert block.get_quota_class_set("default").snapshots == 11
    block.update_quota_class_set("default", snapshots=10)
    assert demo.delete_volume(volume.id, wait=True)


def services(demo, admin):
    block = admin.block_storage
    service = next(one for one in block.services() if one.host == "pumice@file")
    assert block.find_service("cinder-volume", host="pumice@file").host == service.host
    block.disable_service(service, reason="repair")
    (found,) = block.services(host=service.host, binary="cinder-volume")
    assert (found.status, found.disabled_reason, found.state) == ("disabled", "repair", "up")
    block.enable_service(service)
    block.freeze_service(service)
    block.thaw_service(service)
    block.set_service_log_levels(level="ERROR", binary="cinder-api", prefix="pumice.api")
    soon(lambda: "ERROR" in {level for one in block.get_service_log_levels() for level in one.levels.values()})
    assert {one.name for one in block.backend_pools()} == {FIRST, SECOND}
    assert block.get_capabilities("pumice@file").volume_backend_name == "file"
    assert [one.name for one in block.availability_zones()] == ["nova"]
    assert {"volume", "snapshot"} <= {one.resource for one in block.resource_filters()}
    assert "os-volume-actions" in {one.alias for one in block.extensions()}
    assert (
        block.cleanup_service_workers(binary="cinder-volume", host="pumice@file", cluster_name=None)["cleaning"] == []
    )
    kind = block.create_type(name="sdk-impossible", extra_specs={"volume_backend_name": "nowhere"})
    lost = demo.block_storage.create_volume(size=1, volume_type="sdk-impossible", name="sdk-lost")
    demo.block_storage.wait_for_status(lost, "error", failures=[], **SOON)
    (message,) = [one for one in demo.block_storage.messages() if one.resource_uuid == lost.id]
    assert "the type asks for nowhere" in message.user_message
    demo.block_storage.delete_message(message)
    assert demo.delete_volume(lost.id, wait=True)
    block.delete_type(kind)


def places(demo, admin):
    block = admin.block_storage
    volume = made(admin, "sdk-mover")
    assert block.get_volume(volume).host == FIRST
    block.migrate_volume(volume, host=SECOND, lock_volume=True)
    soon(lambda: block.get_volume(volume).migration_status == "success")
    assert block.get_volume(volume).host == SECOND
    kind = block.create_type(name="sdk-here", extra_specs={"volume_backend_name": "file"})
    block.retype_volume(volume, kind.id, "on-demand")
    soon(lambda: block.get_volume(volume).volume_type == "sdk-here")
    assert block.get_volume(volume).host == FIRST
    block.unmanage_volume(volume)
    gone(admin, volume)
    name = f"volume-{volume.id}"
    assert name in {one.reference["source-name"] for one in block.manageable_volumes(host=FIRST)}
    back = block.manage_volume(host=FIRST, ref={"source-name": name}, name="sdk-back", volume_type="sdk-here")
    block.wait_for_status(back, "available", **SOON)
    snapshot = block.create_snapshot(volume_id=back.id, name="sdk-aside")
    block.wait_for_status(snapshot, "available", **SOON)
    block.unmanage_snapshot(snapshot)
    gone(admin, snapshot)
    name = f"_snapshot-{snapshot.id}"
    again = block.manage_snapshot(volume_id=back.id, ref={"source-name": name}, name="sdk-again")
    block.wait_for_status(again, "available", **SOON)
    block.delete_volume(back, cascade=True)
    gone(admin, again, back)
    block.delete_type(kind)


def images(demo, admin):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "image.raw")
        path.write_bytes(b"of the sdk".ljust(1 << 20, b"\0"))
        options = {"disk_format": "raw", "container_format": "bare", "os_distro": "tiny"}
        image = demo.create_image("sdk-image", filename=str(path), wait=True, tags=["red"], **options)
        assert (image.status, image.size, image.tags, image.os_distro) == ("active", 1 << 20, ["red"], "tiny")
        copy = Path(directory, "copy.raw")
        demo.download_image("sdk-image", output_path=str(copy))
        assert copy.read_bytes() == path.read_bytes()
    volume = demo.create_volume(size=1, image="sdk-image", name="sdk-of-image", wait=True)
    assert volume.is_bootable and volume.volume_image_metadata["image_name"] == "sdk-image"
    uploaded = demo.block_storage.upload_volume_to_image(volume, "sdk-uploaded", disk_format="qcow2")
    demo.image.wait_for_status(demo.image.get_image(uploaded["image_id"]), "active", **SOON)
    demo.block_storage.wait_for_status(volume, "available", **SOON)
    taken = demo.create_image("sdk-taken", volume=volume, wait=True, disk_format="raw")
    assert taken.status == "active"
    assert demo.image.find_image("sdk-uploaded").disk_format == "qcow2"
    demo.image.deactivate_image(image)
    refused(demo.block_storage.create_volume, size=1, image_id=image.id)
    demo.image.reactivate_image(image)
    root = {"boot_index": 0, "uuid": demo.image.find_image("lab").id, "source_type": "image", "volume_size": 1}
    root |= {"destination_type": "volume", "delete_on_termination": True}
    booted = server(demo, "sdk-booted", block_device_mapping=[root])
    (root_volume,) = booted.attached_volumes
    assert demo.delete_server("sdk-booted", wait=True)
    soon(lambda: demo.block_storage.find_volume(root_volume.id) is None)
    for name in ("sdk-image", "sdk-uploaded", "sdk-taken"):
        assert demo.delete_image(name, wait=True)
    assert demo.delete_volume(volume.id, wait=True)


STORIES = {
    story.__name__: story for story in (volumes, snapshots, attachments, types, quotas, services, places, images)
}


def main(story, clouds_yaml):
    config = openstack.config.OpenStackConfig(config_files=[clouds_yaml], load_envvars=False)
    # Unless it is told another the SDK asks with the lowest microversion for these lists, which begin with a later one.
    told = {"block_storage_default_microversion": "3.71"} if story in ("places", "services") else {}
    clouds = [config.get_one(name, **told) for name in ("demo", "admin")]
    connections = [openstack.connection.Connection(config=cloud) for cloud in clouds]
    STORIES[story](*connections)
    left = [one.name for cloud in connections for one in cloud.block_storage.volumes() if one.name[:4] == "sdk-"]
    assert left == [], f"left over: {left}"


if __name__ == "__main__":
    main(*sys.argv[1:])
