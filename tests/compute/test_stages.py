"""Resize, shelve, createImage: what is done, what is refused, what is left when something fails."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pumice.block import queries as block_queries
from pumice.block import volume_creation
from pumice.block.volume_creation import Wanted
from pumice.block.volume_sources import Source
from pumice.clock import SECOND
from pumice.compute import flavors, queries, rebuilding, resizing, server_images, servers, shelving, states
from pumice.compute.expiry import end_stages
from pumice.compute.model import WantedDisk
from pumice.compute.operations.observe import observe_guests
from pumice.compute.volume_attachments import attach, detach
from pumice.db.schema import images as image_rows
from pumice.db.schema import servers as rows
from pumice.errors import BadRequest, Conflict, InvalidField
from pumice.faults import Plan, planned
from pumice.hypervisors.contract import GuestState, HypervisorError
from pumice.images import images
from pumice.images.model import Image
from pumice.operations.model import StepFailed
from tests.compute.cloud import ComputeCloud

pytestmark = pytest.mark.real

DATA = b"root disk" * 1000


def with_root(cloud: ComputeCloud, flavor: str = "2") -> str:
    """A server with a local root disk, made from an image with these bytes."""
    return cloud.server(image_id=cloud.image(DATA), flavor_id=flavor)


def root(cloud: ComputeCloud, server: str) -> Path:
    assert cloud.world.servers is not None
    return cloud.world.servers / server / "root.raw"


def beside(cloud: ComputeCloud) -> list[str]:
    assert cloud.world.servers is not None
    return sorted(path.name for path in cloud.world.servers.iterdir())


def the_image(cloud: ComputeCloud, image_id: str) -> Image:
    found = cloud.read(images.find, image_id)
    assert found is not None
    return found


def guest(cloud: ComputeCloud, server: str) -> Any:
    return cloud.simulator._held.guests[server].guest


def test_a_resize_grows_memory_and_disk_and_keeps_the_volume(cloud: ComputeCloud) -> None:
    server, volume = with_root(cloud), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    small = root(cloud, server).stat().st_size
    cloud.write(resizing.resize, cloud.member, server, "3")
    assert (cloud.found(server).status, cloud.found(server).task_state) == ("RESIZE", "resize_prep")
    cloud.settle()
    found = cloud.found(server)
    assert (found.status, found.vm_state, found.flavor_id) == ("VERIFY_RESIZE", "resized", "3")
    assert cloud.disks(server)[volume].live and cloud.status(volume) == "in-use"
    assert guest(cloud, server).memory_mib == found.flavor["ram"]
    assert root(cloud, server).stat().st_size == int(found.flavor["disk"]) << 30 > small
    assert root(cloud, server).read_bytes()[: len(DATA)] == DATA
    with pytest.raises(Conflict, match=r"Cannot 'stop' instance .* while it is in vm_state resized"):
        cloud.write(servers.power, cloud.member, server, "stop")

    cloud.write(resizing.confirm, cloud.member, server)
    cloud.settle()
    assert (cloud.found(server).status, cloud.found(server).old_flavor) == ("ACTIVE", None)
    assert beside(cloud) == [server]
    assert cloud.last_action(server) == ("confirmResize", None, "Success")


def test_a_revert_brings_size_and_disk_back(cloud: ComputeCloud) -> None:
    server = with_root(cloud)
    small = root(cloud, server).stat().st_size
    cloud.write(resizing.resize, cloud.member, server, "3")
    cloud.settle()
    with root(cloud, server).open("r+b") as disk:
        disk.write(b"written since")
    cloud.write(resizing.revert, cloud.member, server)
    assert (cloud.found(server).status, cloud.found(server).task_state) == ("REVERT_RESIZE", "resize_reverting")
    cloud.settle()
    found = cloud.found(server)
    assert (found.status, found.flavor_id, found.flavor["id"]) == ("ACTIVE", "2", "2")
    assert guest(cloud, server).memory_mib == found.flavor["ram"]
    assert root(cloud, server).stat().st_size == small
    assert root(cloud, server).read_bytes()[: len(DATA)] == DATA
    assert beside(cloud) == [server]


def test_a_resize_is_refused_where_it_cannot_be(cloud: ComputeCloud) -> None:
    server = with_root(cloud, flavor="3")
    cloud.write(flavors.create, "larger", "larger", memory_mib=4096, vcpus=1, disk=1)
    for flavor, said in (("3", "must change"), ("2", "disks do not shrink"), ("none", "could not be found")):
        with pytest.raises(BadRequest, match=said):
            cloud.write(resizing.resize, cloud.member, server, flavor)
    cloud.report_host(memory_mib=1024)
    with pytest.raises(BadRequest, match="No valid host was found: host node1 has 512 MiB of memory free"):
        cloud.write(resizing.resize, cloud.member, server, "larger")
    cloud.write(servers.lock, cloud.admin, server, locked=True, reason="mine")
    for act in (resizing.confirm, resizing.revert, shelving.offload):
        with pytest.raises(Conflict, match="locked"):
            cloud.write(act, cloud.member, server)
    with pytest.raises(Conflict, match="locked"):
        cloud.write(servers.lock, cloud.member, server, locked=False)
    assert cloud.found(server).status == "ACTIVE"


def test_a_resize_whose_guest_does_not_start_leaves_it_as_it_was(cloud: ComputeCloud) -> None:
    server = with_root(cloud)
    small = root(cloud, server).stat().st_size
    plan = Plan()
    plan.fail("hypervisor.start_guest:before", HypervisorError("no memory left"))
    cloud.write(resizing.resize, cloud.member, server, "3")
    with planned(plan):
        cloud.settle()
    found = cloud.found(server)
    assert (found.status, found.task_state, found.flavor_id) == ("ACTIVE", None, "2")
    assert root(cloud, server).stat().st_size == small and beside(cloud) == [server]
    assert cloud.hypervisor.state(server) is GuestState.RUNNING
    assert cloud.last_action(server) == ("resize", "no memory left", "Error")


def test_a_resize_is_confirmed_and_a_shelved_server_offloaded_by_themselves(cloud: ComputeCloud) -> None:
    resized, shelved = with_root(cloud), with_root(cloud)
    cloud.write(resizing.resize, cloud.member, resized, "3")
    cloud.write(shelving.shelve, cloud.member, shelved, 3600)
    cloud.settle()
    assert (cloud.found(resized).status, cloud.found(shelved).status) == ("VERIFY_RESIZE", "SHELVED")
    assert end_stages(cloud.database, 0, -1) == end_stages(cloud.database, 3600, 3600) == []
    with cloud.database.write() as tx:
        tx.execute(rows.update().values(stage_since=tx.now - 2 * SECOND))
    assert end_stages(cloud.database, 1, 1) == [resized, shelved]
    cloud.settle()
    assert (cloud.found(resized).status, cloud.found(shelved).status) == ("ACTIVE", "SHELVED_OFFLOADED")


def test_two_actions_at_once_the_second_is_refused_and_a_delete_ends_the_first(cloud: ComputeCloud) -> None:
    server = with_root(cloud)
    cloud.write(resizing.resize, cloud.member, server, "3")
    with pytest.raises(Conflict, match=r"Cannot 'shelve' instance .* while it is in task_state resize_prep"):
        cloud.write(shelving.shelve, cloud.member, server, 0)
    with pytest.raises(Conflict, match="task_state resize_prep"):
        cloud.write(server_images.create, cloud.member, server, "image", {})
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert cloud.found(server).status == "DELETED" and beside(cloud) == []


def test_a_shelved_server_keeps_its_data_and_volumes_and_comes_back_with_both(cloud: ComputeCloud) -> None:
    server, first, second = with_root(cloud), cloud.volume(), cloud.volume()
    cloud.write(attach, cloud.member, server, first)
    cloud.settle()
    with root(cloud, server).open("r+b") as disk:
        disk.write(b"of the guest")
    cloud.write(shelving.shelve, cloud.member, server, 0)
    assert cloud.found(server).task_state == "shelving"
    cloud.settle()
    found = cloud.found(server)
    assert (found.status, found.vm_state, found.host) == ("SHELVED_OFFLOADED", "shelved_offloaded", None)
    assert found.shelved_image_id is not None and the_image(cloud, found.shelved_image_id).status == "active"
    assert cloud.hypervisor.guests() == {} and cloud.exports() == set() and beside(cloud) == []
    kept = cloud.attachment(first)
    assert cloud.status(first) == "in-use"
    assert kept is not None and (kept.stage, kept.host, kept.connector) == ("attached", None, None)

    cloud.write(attach, cloud.member, server, second)
    cloud.settle()
    assert cloud.status(second) == "in-use" and cloud.exports() == set()
    third = cloud.volume()
    cloud.write(attach, cloud.member, server, third)
    cloud.write(detach, cloud.member, server, third)
    cloud.settle()
    assert cloud.status(third) == "available"

    with pytest.raises(InvalidField, match="zones are nova"):
        cloud.write(shelving.unshelve, cloud.member, server, availability_zone="elsewhere")
    cloud.write(shelving.unshelve, cloud.member, server)
    assert cloud.found(server).task_state == "unshelving"
    cloud.settle()
    found = cloud.found(server)
    assert (found.status, found.shelved_image_id, found.stage) == ("ACTIVE", None, None)
    assert root(cloud, server).read_bytes().startswith(b"of the guest")
    assert set(cloud.disks(server)) == {first, second, f"{server[:8]}-root"}
    assert cloud.exports() == {first, second}
    detached = cloud.write(detach, cloud.member, server, second)
    cloud.settle()
    assert detached and cloud.status(second) == "available"


def test_a_server_that_cannot_be_unshelved_stays_shelved_with_the_reason(cloud: ComputeCloud) -> None:
    server, volume = with_root(cloud), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    cloud.write(shelving.shelve, cloud.member, server, 0)
    cloud.settle()
    plan = Plan()
    plan.fail("hypervisor.define:before", HypervisorError("libvirt refuses"))
    cloud.write(shelving.unshelve, cloud.member, server)
    with planned(plan):
        cloud.settle()
    found = cloud.found(server)
    assert (found.status, found.task_state, found.host) == ("SHELVED_OFFLOADED", None, None)
    assert cloud.last_action(server) == ("unshelve", "libvirt refuses", "Error")
    assert cloud.exports() == set() and cloud.status(volume) == "in-use" and beside(cloud) == []
    cloud.report_host(memory_mib=1)
    with pytest.raises(BadRequest, match=r"cannot be unshelved: no host can run this server: .* MiB of memory free"):
        cloud.write(shelving.unshelve, cloud.member, server)
    image_id = str(found.shelved_image_id)
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert cloud.status(volume) == "available" and cloud.found(server).status == "DELETED"
    assert cloud.read(images.find, image_id) is None


def test_a_shelved_server_that_kept_its_host_is_started_again(cloud: ComputeCloud) -> None:
    server = cloud.server()
    cloud.write(shelving.shelve, cloud.member, server, -1)
    cloud.settle()
    assert cloud.found(server).status == "SHELVED" and cloud.found(server).shelved_image_id is None
    with pytest.raises(Conflict, match="a zone or host is for SHELVED_OFFLOADED"):
        cloud.write(shelving.unshelve, cloud.member, server, host="node1")
    cloud.write(shelving.unshelve, cloud.member, server)
    cloud.settle()
    assert cloud.found(server).status == "ACTIVE"


@pytest.mark.parametrize("power", ["", "pause", "stop", "suspend"])
def test_an_image_of_a_server_has_its_bytes_and_the_guest_goes_on_as_it_was(cloud: ComputeCloud, power: str) -> None:
    server = with_root(cloud)
    if power:
        cloud.write(servers.power, cloud.member, server, power)
        cloud.settle()
    before = cloud.found(server).status
    made = cloud.write(server_images.create, cloud.member, server, "golden", {"of": "a test"})
    assert (cloud.found(server).status, cloud.found(server).task_state) == (before, "image_snapshot_pending")
    assert the_image(cloud, made.id).status == "saving"
    cloud.settle()
    image = the_image(cloud, made.id)
    assert (image.status, image.project_id, image.name) == ("active", cloud.member.project_id, "golden")
    assert image.properties["instance_uuid"] == server and image.properties["of"] == "a test"
    assert cloud.images.path(made.id).read_bytes()[: len(DATA)] == DATA
    assert cloud.found(server).status == before
    assert [path.name for path in root(cloud, server).parent.iterdir()] == ["root.raw"]
    again = cloud.server(image_id=made.id, flavor_id="2")
    assert root(cloud, again).read_bytes()[: len(DATA)] == DATA


def test_an_image_of_a_server_on_volumes_names_snapshots_that_a_new_server_starts_from(cloud: ComputeCloud) -> None:
    source = Source(image_id=cloud.image(DATA))
    system = cloud.write(volume_creation.create, cloud.member, Wanted(size=1, source=source)).volume.id
    cloud.settle()
    disks = (
        WantedDisk(source_type="volume", uuid=system, boot_index=0),
        WantedDisk(source_type="blank", volume_size=2, boot_index=None),
    )
    server = cloud.server(disks=disks)
    made = cloud.write(server_images.create, cloud.member, server, "golden", {})
    assert cloud.found(server).task_state == "image_snapshot"
    with pytest.raises(Conflict, match="task_state image_snapshot"):
        cloud.write(servers.power, cloud.member, server, "stop")
    cloud.settle()
    image = the_image(cloud, made.id)
    entries = msgspec.json.decode(image.properties["block_device_mapping"])
    assert (image.status, image.size, cloud.found(server).status) == ("active", 0, "ACTIVE")
    assert [(one["source_type"], one["boot_index"], one["volume_size"]) for one in entries] == [
        ("snapshot", 0, 1),
        ("snapshot", None, 2),
    ]
    again = cloud.server(image_id=made.id)
    made_of = [one.snapshot_id for one in cloud.read(queries.mappings_of, [again])]
    assert made_of == [one["snapshot_id"] for one in entries]


def test_an_image_that_cannot_be_made_leaves_no_snapshot_and_says_why(cloud: ComputeCloud) -> None:
    disks = (WantedDisk(source_type="image", uuid=cloud.image(DATA), volume_size=1, boot_index=0),)
    server = cloud.server(disks=disks)
    plan = Plan()
    plan.fail("operation:server.snapshot_volumes/upload:before", StepFailed("the image store is full"))
    made = cloud.write(server_images.create, cloud.member, server, "golden", {})
    with planned(plan):
        cloud.settle()
    assert cloud.read(images.find, made.id) is None
    volume = cloud.read(queries.mappings_of, [server])[0].volume_id
    assert list(cloud.storage.snapshots()) == [] and volume is not None
    assert cloud.read(block_queries.volume, volume) is not None
    assert cloud.last_action(server) == ("createImage", "the image store is full", "Error")
    assert cloud.found(server).task_state is None


def test_an_operator_shows_a_server_as_error_until_something_is_done_to_it(cloud: ComputeCloud) -> None:
    server = cloud.server()
    cloud.write(states.reset, cloud.admin, server, "error")
    assert (cloud.found(server).status, cloud.found(server).vm_state) == ("ERROR", "error")
    cloud.write(states.reset, cloud.admin, server, "active")
    assert cloud.found(server).status == "ACTIVE"
    cloud.write(states.reset, cloud.admin, server, "error")
    with pytest.raises(Conflict, match="Cannot 'pause'"):
        cloud.write(servers.power, cloud.member, server, "pause")
    cloud.write(servers.power, cloud.member, server, "hard reboot")
    with pytest.raises(Conflict, match="operation is live"):
        cloud.write(states.reset, cloud.admin, server, "error")
    cloud.settle()
    assert cloud.found(server).status == "ACTIVE"
    with pytest.raises(Conflict, match="restore needs soft-delete"):
        cloud.write(states.restore, cloud.member, server)


def test_a_suspended_guest_that_lost_its_memory_is_not_resumed_but_started(cloud: ComputeCloud) -> None:
    server = cloud.server()
    cloud.write(servers.power, cloud.member, server, "suspend")
    cloud.settle()
    cloud.hypervisor.stop_guest(server)
    cloud.write(servers.power, cloud.member, server, "resume")
    cloud.settle()
    assert cloud.last_action(server)[1:] == (
        "the memory of the guest is not there any more; start the server instead",
        "Error",
    )
    assert observe_guests(cloud.database, cloud.world) == [server]
    assert cloud.found(server).status == "SHUTOFF"


def test_a_rebuild_makes_the_root_disk_anew_and_keeps_the_volumes(cloud: ComputeCloud) -> None:
    server, volume = with_root(cloud), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    other = cloud.image(b"another system")
    changes = {"name": "new", "metadata": {"a": "b"}, "description": "told"}
    shown = cloud.write(rebuilding.rebuild, cloud.member, server, other, changes, reimage=False).server
    assert (shown.status, shown.task_state, shown.image_id, shown.name) == ("REBUILD", "rebuilding", other, "new")
    cloud.settle()
    found = cloud.found(server)
    assert (found.status, found.image_id, found.metadata, found.description) == ("ACTIVE", other, {"a": "b"}, "told")
    assert root(cloud, server).read_bytes() == b"another system".ljust(512, b"\0")
    assert cloud.disks(server)[volume].live and beside(cloud) == [server]
    assert cloud.last_action(server) == ("rebuild", None, "Success")


def test_a_failed_rebuild_leaves_everything_as_it_was(cloud: ComputeCloud) -> None:
    server = with_root(cloud)
    image = cloud.found(server).image_id
    missing = cloud.image(b"another")
    cloud.images.path(missing).unlink()
    cloud.write(rebuilding.rebuild, cloud.member, server, missing, {"name": "new"}, reimage=False)
    cloud.settle()
    found = cloud.found(server)
    assert (found.status, found.image_id, found.name) == ("ACTIVE", image, "guest")
    assert root(cloud, server).read_bytes()[: len(DATA)] == DATA and beside(cloud) == [server]
    message = cloud.last_action(server)[1]
    assert message is not None and "missing in the image store" in message
    with pytest.raises(BadRequest, match="could not be found"):
        cloud.write(rebuilding.rebuild, cloud.member, server, server, {}, reimage=False)


def test_a_root_volume_is_reimaged_from_2_93_on(cloud: ComputeCloud) -> None:
    first = cloud.image(DATA)
    disks = (WantedDisk(source_type="image", uuid=first, volume_size=1, boot_index=0),)
    server = cloud.server(disks=disks)
    system = str(cloud.read(queries.mappings_of, [server])[0].volume_id)
    other = cloud.image(b"another system", properties={"told": "too"})
    with pytest.raises(BadRequest, match=r"different image for a volume-backed server: .* 2\.93"):
        cloud.write(rebuilding.rebuild, cloud.member, server, other, {}, reimage=False)
    cloud.write(rebuilding.rebuild, cloud.member, server, first, {}, reimage=False)
    cloud.settle()
    cloud.write(rebuilding.rebuild, cloud.member, server, other, {}, reimage=True)
    cloud.settle()
    volume = cloud.read(block_queries.volume, system)
    assert volume is not None and volume.image_metadata is not None
    assert (volume.status, volume.image_metadata["image_id"], volume.image_metadata["told"]) == ("in-use", other, "too")
    assert (cloud.found(server).status, cloud.found(server).image_id) == ("ACTIVE", None)
    assert [one.volume_id for one in cloud.storage.volumes()] == [system]
    assert list(cloud.storage.snapshots()) == []
    larger = cloud.image(b"x" * (1 << 20))
    with cloud.database.write() as tx:
        tx.execute(image_rows.update().where(image_rows.c.id == larger).values(min_disk=2))
    with pytest.raises(BadRequest, match=r"has 1 GiB; image .* needs 2 GiB"):
        cloud.write(rebuilding.rebuild, cloud.member, server, larger, {}, reimage=True)
