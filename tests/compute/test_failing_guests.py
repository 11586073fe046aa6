"""Real guests whose QEMU is killed while a disk comes or goes, and definitions that libvirt rejects: a reason, nothing
stuck, and everything can be used again or deleted afterwards."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pumice import faults
from pumice.compute import flavors, servers
from pumice.compute.operations.observe import observe_guests
from pumice.compute.volume_attachments import attach, detach
from pumice.faults import Plan
from tests.compute.real_cloud import BOOT_SECONDS, RealCloud
from tests.lab.guest import guest_pid
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

POINTS = ("hypervisor.attach:before", "hypervisor.attach:done", "hypervisor.detach:before", "hypervisor.detach:live")
MORE_POINTS = (
    "operation:server.attach_volume/plug:before",
    "operation:server.attach_volume/plug:recorded",
    "operation:server.detach_volume/unplug:before",
    "operation:server.detach_volume/unplug:inside",
)


def kill(cloud: RealCloud, server_id: str) -> None:
    """kill -9 of the guest's QEMU, and it is gone when this returns."""
    pid = guest_pid(cloud.root, server_id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: guest_pid(cloud.root, server_id) is None, BOOT_SECONDS, "the process is gone")


def observed(cloud: RealCloud, server_id: str) -> None:
    """The agent's job has seen that the guest is off."""

    def off() -> bool:
        observe_guests(cloud.database, cloud.world)
        return cloud.found(server_id).status == "SHUTOFF"

    wait_until(off, BOOT_SECONDS, "the end is observed")


def used_again(cloud: RealCloud, server_id: str, volume_id: str) -> None:
    """Started, with the volume in it, taken off, and both deleted: nothing of what happened is left."""
    if cloud.status(volume_id) == "available":
        cloud.write(attach, cloud.member, server_id, volume_id)
        cloud.settle()
    assert cloud.status(volume_id) == "in-use"
    boots = cloud.console(server_id).count("GUEST-UP")
    cloud.write(servers.power, cloud.member, server_id, "start")
    cloud.settle()
    assert cloud.found(server_id).status == "ACTIVE"
    cloud.wait_console(server_id, "GUEST-UP", boots + 1)
    with cloud.inside(server_id) as inside:
        wait_until(lambda: volume_id in inside.disks(), BOOT_SECONDS, "the guest sees the volume")
    cloud.write(detach, cloud.member, server_id, volume_id)
    cloud.settle()
    assert cloud.status(volume_id) == "available"
    assert cloud.disks(server_id) == {} and cloud.exports() == set()


@pytest.mark.parametrize("points", [POINTS, pytest.param(MORE_POINTS, marks=pytest.mark.campaign)], ids=["", "more"])
def test_a_guest_killed_while_a_disk_comes_or_goes_leaves_nothing_stuck(
    real_cloud: RealCloud, points: tuple[str, ...]
) -> None:
    cloud = real_cloud
    server, volume = cloud.booted(), cloud.volume()
    for point in points:
        attaching = "attach" in point
        if not attaching:
            cloud.write(attach, cloud.member, server, volume)
            cloud.settle()
        plan = Plan()
        plan.call(point, lambda: kill(cloud, server))
        with faults.planned(plan):
            cloud.write(attach if attaching else detach, cloud.member, server, volume)
            cloud.settle()
        assert guest_pid(cloud.root, server) is None, f"{point} was not reached"
        status, (action, message, _) = cloud.status(volume), cloud.last_action(server)
        assert status in ("available", "in-use"), (point, action, message)
        failed = status == ("available" if attaching else "in-use")
        assert not failed or message, f"{point}: no reason is told"
        observed(cloud, server)
        used_again(cloud, server, volume)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("verb", [attach, detach], ids=["attach", "detach"])
def test_a_guest_that_is_killed_while_libvirt_waits_for_it(real_cloud: RealCloud, verb: Callable[..., object]) -> None:
    """QEMU hangs, libvirt asks it for the disk, and there is no answer but its end."""
    cloud = real_cloud
    server, volume = cloud.booted(), cloud.volume()
    if verb is detach:
        cloud.write(attach, cloud.member, server, volume)
        cloud.settle()
    pid = guest_pid(cloud.root, server)
    assert pid is not None
    plan = Plan()
    with faults.planned(plan), stopped(pid), cloud.working():
        cloud.write(attach if verb is attach else detach, cloud.member, server, volume)
        name = "attach" if verb is attach else "detach"
        wait_until(lambda: f"hypervisor.{name}:before" in plan.reached, BOOT_SECONDS, "libvirt is asked")
        os.kill(pid, signal.SIGKILL)
        cloud.wait_idle()
    assert cloud.status(volume) in ("available", "in-use")
    observed(cloud, server)
    used_again(cloud, server, volume)


def test_what_libvirt_refuses_to_define_is_an_error_with_its_reason(real_cloud: RealCloud) -> None:
    """More processors than the machine can have; the volume beside it is free again."""
    cloud = real_cloud
    huge = cloud.write(flavors.create, "huge", "huge", memory_mib=128, vcpus=4096, disk=0)
    server = cloud.ask_server(flavor_id=huge.id)
    cloud.settle()
    found = cloud.found(server)
    assert found.status == "ERROR"
    action, message, result = cloud.last_action(server)
    assert (action, result) == ("create", "Error") and message is not None
    assert "CPU" in message or "cpu" in message, message
    assert guest_pid(cloud.root, server) is None
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert cloud.found(server).status == "DELETED"


def test_a_volume_whose_file_is_gone_or_something_else_is_refused_with_the_reason(real_cloud: RealCloud) -> None:
    """The guest lives on without it; with the file back the same call works."""
    cloud = real_cloud
    server, volume = cloud.booted(), cloud.volume()
    path = Path(cloud.pool.locate(volume).path)
    hidden = path.with_name("hidden")
    path.rename(hidden)
    for told, in_its_place in enumerate((False, True), 1):
        if in_its_place:
            path.mkdir()
        cloud.write(attach, cloud.member, server, volume)
        cloud.settle()
        assert (cloud.status(volume), cloud.exports()) == ("available", set())
        assert len(cloud.messages(volume)) == told
        assert cloud.last_action(server)[2] == "Error"
    assert any("is not in pool" in message for message in cloud.messages(volume)), cloud.messages(volume)
    assert any("not a regular file" in message for message in cloud.messages(volume)), cloud.messages(volume)
    path.rmdir()
    hidden.rename(path)
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use"
    with cloud.inside(server) as inside:
        wait_until(lambda: volume in inside.disks(), BOOT_SECONDS, "the guest sees the volume")
