"""Servers from their making to their end, with the hypervisor in memory, on both databases."""

import pytest

from pumice.block import queries as block_queries
from pumice.block import snapshots
from pumice.compute import flavors, servers
from pumice.compute.model import WantedDisk
from pumice.compute.operations.observe import observe_guests
from pumice.compute.volume_attachments import attach, detach
from pumice.db.schema import events
from pumice.errors import BadRequest, Conflict, NotFound
from pumice.hypervisors.contract import GuestState
from pumice.operations import store
from pumice.outcomes import Problem
from tests.compute.cloud import ComputeCloud

pytestmark = pytest.mark.real


def test_a_server_boots_by_the_kernel_of_its_image_and_keeps_its_own_copy(cloud: ComputeCloud) -> None:
    server = cloud.ask_server()
    assert cloud.found(server).status == "BUILD"
    cloud.settle()
    found = cloud.found(server)
    assert (found.status, found.vm_state, found.task_state, found.host) == ("ACTIVE", "active", None, "node1")
    guest = cloud.simulator._held.guests[server].guest
    assert guest.kernel_path is not None and guest.ramdisk_path is not None and guest.disks == ()
    assert cloud.world.servers is not None
    assert (cloud.world.servers / server / "kernel").read_bytes() == b"a kernel"


def test_a_server_of_a_disk_image_has_a_local_root_disk(cloud: ComputeCloud) -> None:
    server = cloud.server(image_id=cloud.image(b"x" * 700))
    disk = cloud.simulator._held.guests[server].guest.disks[0]
    assert (disk.serial, disk.boot_index) == (f"{server[:8]}-root", 1)
    assert cloud.world.servers is not None
    assert (cloud.world.servers / server / "root.raw").read_bytes() == b"x" * 700 + bytes(324)


def test_an_image_chooses_the_bus_of_all_disks(cloud: ComputeCloud) -> None:
    image = cloud.image(b"x" * 512, properties={"hw_disk_bus": "virtio"})
    server, volume = cloud.server(image_id=image), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    (root,) = cloud.simulator._held.guests[server].guest.disks
    assert (root.bus, root.device) == ("virtio", "/dev/vda")
    assert cloud.disks(server)[volume].device == "vdb"
    with pytest.raises(BadRequest, match="hw_disk_bus=ide"):
        cloud.ask_server(image_id=cloud.image(b"x" * 512, properties={"hw_disk_bus": "ide"}))


def test_a_server_boots_from_a_volume_made_of_an_image(cloud: ComputeCloud) -> None:
    root = WantedDisk(
        source_type="image", uuid=cloud.image(b"x" * 512), volume_size=1, boot_index=0, delete_on_termination=True
    )
    server = cloud.server(disks=(root,))
    (mapping,) = cloud.read(servers.show, cloud.member, server).mappings
    assert mapping.volume_id is not None
    assert cloud.status(mapping.volume_id) == "in-use"
    assert cloud.disks(server)[mapping.volume_id].live
    with pytest.raises(BadRequest, match="boots from"):
        cloud.write(detach, cloud.member, server, mapping.volume_id)

    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert cloud.status(mapping.volume_id) == "deleted"


def test_deleting_a_server_releases_its_volumes(cloud: ComputeCloud) -> None:
    server, kept, going = cloud.server(), cloud.volume(), cloud.volume()
    cloud.write(attach, cloud.member, server, kept)
    cloud.write(attach, cloud.member, server, going, delete_on_termination=True)
    cloud.settle()
    cloud.write(servers.delete, cloud.member, server)
    assert cloud.found(server).task_state == "deleting"
    cloud.settle()
    assert cloud.found(server).status == "DELETED"
    assert (cloud.status(kept), cloud.status(going)) == ("available", "deleted")
    assert cloud.exports() == set()
    assert cloud.hypervisor.state(server) is GuestState.ABSENT
    assert cloud.world.servers is not None and not (cloud.world.servers / server).exists()
    with pytest.raises(NotFound):
        cloud.read(servers.get, cloud.member, server)


def test_a_server_deleted_while_it_is_made_leaves_nothing(cloud: ComputeCloud) -> None:
    data = cloud.volume()
    disks = (
        WantedDisk(source_type="image", uuid=cloud.bootable, volume_size=1, boot_index=0, delete_on_termination=True),
        WantedDisk(source_type="volume", uuid=data),
    )
    server = cloud.ask_server(disks=disks)
    assert cloud.status(data) == "reserved"
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert cloud.found(server).status == "DELETED"
    assert cloud.status(data) == "available"
    assert cloud.hypervisor.guests() == {} and cloud.exports() == set()
    assert [one.volume_id for one in cloud.storage.volumes()] == [data]


def test_no_host_is_said_at_once_with_its_reasons(cloud: ComputeCloud) -> None:
    cloud.report_host(Problem("program-missing", "program qemu not found", "install qemu"))
    server = cloud.ask_server()
    found = cloud.found(server)
    assert found.status == "ERROR" and found.fault is not None
    assert found.fault["message"] == "no host can run this server: node1: program qemu not found (install qemu)"
    cloud.report_host(memory_mib=100)
    fault = cloud.found(cloud.ask_server()).fault
    assert fault is not None and "100 MiB of memory free of 128 MiB asked" in fault["message"]
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert cloud.found(server).status == "DELETED"


def test_a_volume_that_cannot_be_made_is_the_servers_fault(cloud: ComputeCloud) -> None:
    cloud.report(problems=[Problem("program-missing", "program tgtadm not found", "install tgt")])
    root = WantedDisk(source_type="image", uuid=cloud.bootable, volume_size=1, boot_index=0)
    server = cloud.ask_server(disks=(root,))
    cloud.settle()
    found = cloud.found(server)
    assert found.status == "ERROR" and found.fault is not None
    assert "program tgtadm not found" in found.fault["message"]


def test_a_failed_start_of_a_new_server_is_undone(cloud: ComputeCloud) -> None:
    data = cloud.volume()
    lost = cloud.image(b"kernel", disk_format="aki")
    server = cloud.ask_server(image_id=lost, disks=(WantedDisk(source_type="volume", uuid=data),))
    cloud.images.path(lost).unlink()
    cloud.settle()
    found = cloud.found(server)
    assert (
        found.status == "ERROR" and found.fault is not None and "missing in the image store" in found.fault["message"]
    )
    assert cloud.status(data) == "available"
    assert cloud.hypervisor.guests() == {} and cloud.exports() == set()


def test_power(cloud: ComputeCloud) -> None:
    server = cloud.server()
    with pytest.raises(Conflict, match="ACTIVE; start needs SHUTOFF"):
        cloud.write(servers.power, cloud.member, server, "start")
    for action, during, after in (
        ("pause", "pausing", "PAUSED"),
        ("unpause", "unpausing", "ACTIVE"),
        ("reboot", "rebooting", "ACTIVE"),
        ("suspend", "suspending", "SUSPENDED"),
        ("resume", "resuming", "ACTIVE"),
        ("hard reboot", "rebooting_hard", "ACTIVE"),
        ("stop", "powering-off", "SHUTOFF"),
        ("start", "powering-on", "ACTIVE"),
    ):
        cloud.write(servers.power, cloud.member, server, action)
        assert cloud.found(server).task_state == during
        cloud.settle()
        assert (cloud.found(server).status, cloud.found(server).task_state) == (after, None)
        assert cloud.last_action(server) == (action.removeprefix("hard "), None, "Success")


def test_a_stop_waits_for_the_attach_before_it(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.write(servers.power, cloud.member, server, "stop")
    cloud.settle()
    assert (cloud.found(server).status, cloud.status(volume)) == ("SHUTOFF", "in-use")
    assert cloud.disks(server)[volume].stored


def test_a_guest_that_died_is_seen(cloud: ComputeCloud) -> None:
    server = cloud.server()
    assert observe_guests(cloud.database, cloud.world) == []
    cloud.simulator.crash(server)
    assert observe_guests(cloud.database, cloud.world) == [server]
    assert cloud.found(server).status == "SHUTOFF"
    cloud.write(servers.power, cloud.member, server, "start")
    cloud.settle()
    assert cloud.hypervisor.state(server) is GuestState.RUNNING


def test_a_guest_that_an_operation_pauses_is_left_to_it(cloud: ComputeCloud) -> None:
    """Also one that shares the server with others: an attach here, elsewhere a snapshot that has to pause the guest."""
    server, volume = cloud.server(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.simulator.pause(server)
    assert observe_guests(cloud.database, cloud.world) == []
    assert cloud.found(server).status == "ACTIVE"
    cloud.settle()
    assert observe_guests(cloud.database, cloud.world) == [server]
    assert cloud.found(server).status == "PAUSED"


def test_the_console_is_read_on_the_host(cloud: ComputeCloud) -> None:
    server = cloud.server()
    cloud.simulator.print_console(server, "hello\n")
    row = cloud.write(servers.read_console, cloud.member, server, 1)
    cloud.settle()
    done = cloud.read(store.get, row.id)
    assert done is not None and done.results == {"read": "hello\n"}


def test_a_locked_server_is_left_alone_by_all_but_administrators(cloud: ComputeCloud) -> None:
    server = cloud.server()
    cloud.write(servers.lock, cloud.member, server, locked=True, reason="mine")
    with pytest.raises(Conflict, match="mine"):
        cloud.write(servers.delete, cloud.member, server)
    cloud.write(servers.lock, cloud.member, server, locked=False)
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()


def test_a_deleted_flavor_stays_with_its_servers(cloud: ComputeCloud) -> None:
    made = cloud.write(flavors.create, "tiny2", "tiny2", memory_mib=64, vcpus=1, disk=0)
    server = cloud.server(flavor_id=made.id)
    cloud.write(flavors.delete, made.id)
    with pytest.raises(BadRequest, match="tiny2"):
        cloud.ask_server(flavor_id=made.id)
    assert cloud.found(server).flavor["original_name"] == "tiny2"


def test_snapshots_keep_a_volume_that_was_to_go_with_its_server(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume, delete_on_termination=True)
    cloud.settle()
    cloud.write(
        snapshots.create,
        cloud.member,
        volume,
        name=None,
        description=None,
        metadata={},
        in_use_allowed=True,
    )
    cloud.settle()
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert cloud.status(volume) == "available"
    assert any("1 snapshot" in message for message in cloud.messages(volume))


def test_every_change_is_announced(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    with cloud.database.read() as tx:
        found = {row.event_type for row in tx.execute(events.select()) if row.resource_id == server}
    assert found >= {
        "compute.instance.create.start",
        "compute.instance.create.end",
        "compute.instance.volume.attach",
        "compute.instance.delete.start",
        "compute.instance.delete.end",
    }
    assert cloud.read(block_queries.attachments_of, [volume]) == []
