"""Attach and detach seen from inside real guests: QEMU under embedded libvirt, the file pool, the local target.

The guest is the tiny one of `tests/lab`, booted by kernel and ramdisk; it prints what its kernel sees.
"""

import json
import os
import secrets
import signal
from base64 import b64encode
from pathlib import Path

import pytest

from pumice.block import volume_creation, volume_types, volumes
from pumice.block.volume_creation import Wanted
from pumice.compute import flavors, keypairs, servers
from pumice.compute.operations.observe import observe_guests
from pumice.compute.volume_attachments import attach, detach
from pumice.errors import BadRequest
from tests.compute.real_cloud import BOOT_SECONDS, RealCloud
from tests.lab.guest import guest_pid
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1G6Xv0Uoe1KZV6dVHrm4Mdu8pNJ1vR7eMaQvqGqzyF me@here"
"""Of a key pair whose private half is nowhere."""


@pytest.fixture
def cloud(real_cloud: RealCloud) -> RealCloud:
    return real_cloud


def test_a_guest_reads_and_writes_its_volume_also_when_it_was_attached_while_stopped(cloud: RealCloud) -> None:
    server, volume = cloud.booted(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use"
    cloud.wait_console(server, f"serial={volume}")
    with cloud.inside(server) as inside:
        assert volume in inside.disks()
        inside.command("write", f"serial:{volume}", 4096, "old-bytes")

    cloud.write(detach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "available"
    cloud.wait_console(server, "BLOCK remove")
    assert b"old-bytes" in Path(cloud.pool.locate(volume).path).read_bytes()[4096:8192]

    cloud.write(servers.power, cloud.member, server, "stop")
    cloud.settle()
    assert cloud.found(server).status == "SHUTOFF"
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use"
    cloud.write(servers.power, cloud.member, server, "start")
    cloud.settle()
    cloud.wait_console(server, "GUEST-UP", 2)
    with cloud.inside(server) as inside:
        wait_until(lambda: volume in inside.disks(), BOOT_SECONDS, "the guest sees the volume")
        assert bytes.fromhex(inside.command("read", f"serial:{volume}", 4096, 9)) == b"old-bytes"
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert (cloud.found(server).status, cloud.status(volume)) == ("DELETED", "available")
    assert guest_pid(cloud.root, server) is None


def test_a_storm_of_attach_and_detach_leaves_nothing_in_the_guest(cloud: RealCloud) -> None:
    server, volumes = cloud.booted(), [cloud.volume() for _ in range(2)]
    with cloud.working():
        for round_ in range(20):
            volume = volumes[round_ % 2]

            def asked(volume: str = volume) -> bool:
                try:
                    cloud.write(attach, cloud.member, server, volume)
                except BadRequest:
                    return False  # the detach before is still under way: refused at once, nothing taken
                return True

            wait_until(asked, BOOT_SECONDS, "the volume is free again")
            cloud.write(detach, cloud.member, server, volume)
        cloud.wait_idle()
    assert [cloud.status(volume) for volume in volumes] == ["available", "available"]
    assert cloud.disks(server) == {} and cloud.exports() == set()
    with cloud.inside(server) as inside:
        assert not set(volumes) & set(inside.disks())


def test_user_data_key_pair_and_metadata_reach_the_guest_by_its_config_drive(cloud: RealCloud) -> None:
    user_data, password = "#cloud-config\nhostname: guest\n", secrets.token_urlsafe(9)
    cloud.write(keypairs.create, cloud.member, "mine", kind="ssh", public_key=PUBLIC_KEY)
    server = cloud.server(
        name="Web 1",
        key_name="mine",
        user_data=b64encode(user_data.encode()).decode(),
        metadata={"role": "web"},
        admin_password=password,
    )
    cloud.wait_console(server, "GUEST-UP")
    assert cloud.found(server).admin_password is None
    with cloud.inside(server) as inside:
        disc = "sr0"
        assert inside.command("label", disc) == "config-2"
        assert bytes.fromhex(inside.command("disc", disc, "openstack/latest/user_data")).decode() == user_data
        found = json.loads(bytes.fromhex(inside.command("disc", disc, "openstack/latest/meta_data.json")))
    assert found["uuid"] == server
    assert (found["name"], found["hostname"], found["meta"]) == ("Web 1", "web-1", {"role": "web"})
    assert found["public_keys"] == {"mine": PUBLIC_KEY}
    assert found["admin_pass"] == password


def test_two_guests_of_one_volume_see_what_the_other_writes(cloud: RealCloud) -> None:
    kind = volume_types.NewType(name="shared", extra_specs={"multiattach": "<is> True"})
    shared = cloud.write(volume_types.create, kind).id
    volume = cloud.write(volume_creation.create, cloud.member, Wanted(size=1, volume_type=shared)).volume.id
    cloud.settle()
    servers_ = [cloud.booted(), cloud.booted()]
    for server in servers_:
        cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use"
    with cloud.inside(servers_[0]) as first, cloud.inside(servers_[1]) as second:
        wait_until(lambda: volume in first.disks() and volume in second.disks(), BOOT_SECONDS, "both guests see it")
        first.command("write", f"serial:{volume}", 8192, "from-the-first")
        assert bytes.fromhex(second.command("read", f"serial:{volume}", 8192, 14)) == b"from-the-first"
        second.command("write", f"serial:{volume}", 8192, "and-the-second")
        assert bytes.fromhex(first.command("read", f"serial:{volume}", 8192, 14)) == b"and-the-second"

        cloud.write(detach, cloud.member, servers_[0], volume)
        cloud.settle()
        assert cloud.status(volume) == "in-use"
        assert volume not in first.disks() and volume in second.disks()
        second.command("write", f"serial:{volume}", 0, "still-here")
    with pytest.raises(BadRequest, match="in-use"):
        cloud.write(volumes.delete, cloud.member, volume)
    cloud.write(detach, cloud.member, servers_[1], volume)
    cloud.settle()
    assert cloud.status(volume) == "available"


def test_ephemeral_disks_and_swap_of_the_flavor_are_there(cloud: RealCloud) -> None:
    made = cloud.write(flavors.create, "roomy", "roomy", memory_mib=128, vcpus=1, disk=0, ephemeral=1, swap=64)
    server = cloud.server(flavor_id=made.id)
    cloud.wait_console(server, "GUEST-UP")
    with cloud.inside(server) as inside:
        sizes = sorted(disk["size"] for disk in inside.disks().values())
        assert sizes == [64 << 20, 1 << 30]
        names = {disk["size"]: disk["name"] for disk in inside.disks().values()}
        swap = bytes.fromhex(inside.command("read", names[64 << 20], 4086, 10))
        assert swap == b"SWAPSPACE2"
        magic = bytes.fromhex(inside.command("read", names[1 << 30], 1080, 2))
        assert magic == b"\x53\xef"


def test_a_guest_whose_process_died_is_shutoff_and_keeps_its_volume(cloud: RealCloud) -> None:
    server, volume = cloud.booted(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    process = guest_pid(cloud.root, server)
    assert process is not None
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: observe_guests(cloud.database, cloud.world), BOOT_SECONDS, "the end is observed")
    assert (cloud.found(server).status, cloud.status(volume)) == ("SHUTOFF", "in-use")
    cloud.write(detach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "available"
