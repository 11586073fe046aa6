"""What a server goes through, seen from inside its guest: after each action it has its disks and their old bytes.

One guest goes through everything that it can; what a guest costs is its boot (a few seconds without KVM).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from pumice.block import volumes
from pumice.caller import Caller
from pumice.compute import flavors, queries, rebuilding, resizing, server_images, servers, shelving
from pumice.compute.model import WantedDisk
from pumice.compute.volume_attachments import attach, set_delete_on_termination
from pumice.db.engine import Transaction
from pumice.errors import NotFound
from pumice.images import images
from tests.compute.real_cloud import BOOT_SECONDS, RealCloud
from tests.lab.guest import Inside, guest_pid
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

OF_IMAGE = b"bytes-of-the-image"
OFFSET = 1 << 20
"""Where guests write, beside what came from the image."""
IMAGE_BYTES = 2 << 20


@pytest.fixture
def cloud(real_cloud: RealCloud) -> RealCloud:
    return real_cloud


class Story:
    """One server, and what its guest must see: by serial, the bytes at each offset."""

    def __init__(self, cloud: RealCloud, server: str) -> None:
        self.cloud, self.server = cloud, server
        self.known: dict[str, dict[int, bytes]] = {}
        self._boots = 1
        cloud.wait_console(server, "GUEST-UP")

    @property
    def root(self) -> str:
        """The serial of its local root disk."""
        return f"{self.server[:8]}-root"

    def write(self, serial: str, text: str, offset: int = OFFSET) -> None:
        with self.inside() as inside:
            inside.command("write", f"serial:{serial}", offset, text)
        self.known.setdefault(serial, {})[offset] = text.encode()

    def does(self, action: Any, *arguments: Any, status: str = "ACTIVE", boots: bool = True, **named: Any) -> None:
        """Ask for it, let it end, and look into the guest, which has started anew or goes on."""
        self.cloud.report_host()
        self.cloud.write(action, self.cloud.member, self.server, *arguments, **named)
        self.cloud.settle()
        found = self.cloud.found(self.server)
        assert (found.status, found.task_state, found.fault) == (status, None, None)
        assert self.cloud.last_action(self.server)[1:] == (None, "Success")
        if boots:
            self._boots += 1
        if found.power == "on":
            self.cloud.wait_console(self.server, "GUEST-UP", self._boots)
            self.sees()

    def sees(self) -> None:
        """Exactly the known disks, with their bytes."""
        with self.inside() as inside:
            wait_until(lambda: set(disks(inside)) == set(self.known), BOOT_SECONDS, f"the guest has {self.known}")
            assert contents(inside, self.known) == self.known
        assert self.cloud.console(self.server).count("GUEST-UP") == self._boots

    def boots_counted_anew(self) -> None:
        """Its console log went with its definition."""
        self._boots = 0

    @contextmanager
    def inside(self) -> Iterator[Inside]:
        with self.cloud.inside(self.server) as found:
            yield found


def disks(inside: Inside) -> dict[str, dict[str, Any]]:
    """The disks that are no discs."""
    return {serial: disk for serial, disk in inside.disks().items() if not disk["name"].startswith("sr")}


def contents(inside: Inside, known: Mapping[str, Mapping[int, bytes]]) -> dict[str, dict[int, bytes]]:
    return {
        serial: {
            offset: bytes.fromhex(inside.command("read", f"serial:{serial}", offset, len(text)))
            for offset, text in at.items()
        }
        for serial, at in known.items()
    }


def image_of_bytes(cloud: RealCloud, text: bytes = OF_IMAGE) -> str:
    """An image with a disk, that is booted by the lab's kernel."""
    properties = cloud.read(images.readable, cloud.member, cloud.bootable).properties
    return cloud.image(text + bytes(IMAGE_BYTES - len(text)), properties=properties)


def on_volume(image: str, *more: WantedDisk, keep: bool = True) -> dict[str, Any]:
    root = WantedDisk(source_type="image", uuid=image, volume_size=1, boot_index=0, delete_on_termination=not keep)
    return {"disks": (root, *more)}


def root_volume(cloud: RealCloud, server: str) -> str:
    mappings = cloud.read(queries.mappings_of, [server])
    return next(str(one.volume_id) for one in mappings if one.boot_index == 0)


def power(tx: Transaction, caller: Caller, server: str, action: str) -> object:
    return servers.power(tx, caller, server, action)


def flavor(cloud: RealCloud, name: str, disk: int) -> str:
    return cloud.write(flavors.create, name, name, memory_mib=128, vcpus=1, disk=disk, ephemeral=0, swap=0).id


def memory(story: Story) -> int:
    """MiB that the guest's kernel has."""
    with story.inside() as inside:
        return int(inside.command("sh", "grep", "MemTotal", "/proc/meminfo").split()[2]) // 1024


def size(story: Story, serial: str) -> int:
    with story.inside() as inside:
        return int(inside.command("size", f"serial:{serial}"))


def pid(cloud: RealCloud, server: str) -> int | None:
    return guest_pid(cloud.root, server)


def test_a_server_on_a_volume_keeps_its_disks_through_everything(cloud: RealCloud) -> None:
    image, data = image_of_bytes(cloud), cloud.volume()
    server = cloud.server(**on_volume(image))
    story, root = Story(cloud, server), root_volume(cloud, server)
    story.known = {root: {0: OF_IMAGE}, data: {0: bytes(8)}}
    story.does(attach, data, boots=False)
    story.write(root, "old-on-root")
    story.write(data, "old-on-data")

    first = pid(cloud, server)
    story.does(power, "reboot")
    asked = cloud.console(server).count("POWER-BUTTON")
    second = pid(cloud, server)
    story.does(power, "hard reboot")
    assert asked >= 1 and cloud.console(server).count("POWER-BUTTON") == asked
    assert len({first, second, pid(cloud, server), None}) == 4

    story.does(power, "suspend", status="SUSPENDED", boots=False)
    assert pid(cloud, server) is None
    story.does(power, "resume", boots=False)
    story.does(power, "pause", status="PAUSED", boots=False)
    story.does(power, "unpause", boots=False)

    with story.inside() as inside:
        inside.command("mkfs", f"serial:{data}")
        inside.command("mount", f"serial:{data}")
        assert inside.command("sh", "echo", "-n", "unsynced", ">/mnt/late").startswith("0")
    del story.known[data][OFFSET]
    story.does(power, "stop", status="SHUTOFF", boots=False)
    story.does(power, "start")
    with story.inside() as inside:
        inside.command("mount", f"serial:{data}")
        assert inside.command("get", "late") == "unsynced"
        inside.command("umount")

    assert memory(story) < 128
    story.does(resizing.resize, "2", status="VERIFY_RESIZE")
    assert memory(story) > 180
    story.does(resizing.revert)
    assert memory(story) < 128
    story.does(resizing.resize, "2", status="VERIFY_RESIZE")
    story.does(resizing.confirm, boots=False)

    story.does(shelving.shelve, 0, status="SHELVED_OFFLOADED", boots=False)
    assert (cloud.status(root), cloud.status(data), cloud.exports()) == ("in-use", "in-use", set())
    story.boots_counted_anew()
    story.does(shelving.unshelve)

    other = image_of_bytes(cloud, b"bytes-of-another")
    story.known[root] = {0: b"bytes-of-another", OFFSET: bytes(11)}
    story.does(rebuilding.rebuild, other, {}, reimage=True)

    cloud.write(set_delete_on_termination, cloud.member, server, data, True)
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert cloud.status(root) == "available"
    with pytest.raises(NotFound):
        cloud.read(volumes.get, cloud.member, data)


def test_a_server_of_an_image_keeps_its_root_disk_and_volume_through_everything(cloud: RealCloud) -> None:
    image, data = image_of_bytes(cloud), cloud.volume()
    small = flavor(cloud, "small", 0)
    server = cloud.server(image_id=image, flavor_id=small)
    story = Story(cloud, server)
    story.known = {story.root: {0: OF_IMAGE}, data: {0: bytes(8)}}
    story.does(attach, data, boots=False)
    story.write(story.root, "old-on-root")
    story.write(data, "old-on-data")

    story.does(resizing.resize, flavor(cloud, "large", 1), status="VERIFY_RESIZE")
    assert size(story, story.root) == 1 << 30
    with story.inside() as inside:
        inside.command("write", f"serial:{story.root}", OFFSET, "new-on-root")
    story.does(resizing.revert)
    assert size(story, story.root) == IMAGE_BYTES

    pictured = cloud.write(server_images.create, cloud.member, server, "pictured", {}).id
    cloud.settle()
    story.sees()
    copy = Story(cloud, cloud.server(image_id=pictured, flavor_id=small))
    copy.known = {copy.root: story.known[story.root]}
    copy.sees()
    cloud.write(servers.delete, cloud.member, copy.server)

    story.does(shelving.shelve, 3600, status="SHELVED", boots=False)
    story.does(shelving.offload, status="SHELVED_OFFLOADED", boots=False)
    assert (cloud.status(data), cloud.exports()) == ("in-use", set())
    story.boots_counted_anew()
    story.does(shelving.unshelve)

    story.known[story.root] = {0: b"bytes-of-another", OFFSET: bytes(11)}
    story.does(rebuilding.rebuild, image_of_bytes(cloud, b"bytes-of-another"), {}, reimage=False)


def test_an_image_of_a_server_on_volumes_starts_one_with_the_same_bytes(cloud: RealCloud) -> None:
    data = cloud.volume()
    first = cloud.server(**on_volume(image_of_bytes(cloud)))
    story, root = Story(cloud, first), root_volume(cloud, first)
    story.known = {root: {0: OF_IMAGE}, data: {0: bytes(8)}}
    story.does(attach, data, boots=False)
    story.write(root, "old-on-root")
    story.write(data, "old-on-data")
    pictured = cloud.write(server_images.create, cloud.member, first, "pictured", {}).id
    cloud.settle()
    story.write(data, "newer")
    story.sees()

    copy = Story(cloud, cloud.server(image_id=pictured))
    mappings = cloud.read(queries.mappings_of, [copy.server])
    copied = {one.device_name: str(one.volume_id) for one in mappings}
    copy.known = {
        copied["/dev/sda"]: {0: OF_IMAGE, OFFSET: b"old-on-root"},
        copied["/dev/sdb"]: {OFFSET: b"old-on-data"},
    }
    copy.sees()


def test_a_guest_that_is_just_booting_hears_that_it_is_to_shut_down(cloud: RealCloud) -> None:
    server = cloud.server()
    cloud.write(servers.power, cloud.member, server, "stop")
    cloud.settle()
    assert cloud.found(server).status == "SHUTOFF"
    assert "POWER-BUTTON" in cloud.console(server)
