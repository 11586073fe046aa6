"""Images in other formats and deleted ones, with the stock clients and real guests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.demo.shell import properties
from tests.demo.stage import Guest, Stage
from tests.end_to_end.table import World
from tests.end_to_end.terminal import fields, rows

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

MIB = 1 << 20
MARK = "on-the-root-disk"


@pytest.fixture(scope="module")
def world(stage: Stage) -> Iterator[World]:
    made = World(stage.cloud)
    made.keep("lab", "openstack image show lab", "demo")
    yield made
    made.close()


def disk(path: Path) -> Path:
    """A raw disk of 8 MiB with a mark."""
    with path.open("wb") as file:
        file.truncate(8 * MIB)
        file.seek(4096)
        file.write(MARK.encode())
    return path


def qcow2(folder: Path) -> Path:
    made = folder / "disk.qcow2"
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", str(disk(folder / "raw")), str(made)]
    subprocess.run(command, check=True)
    return made


def trap(folder: Path) -> Path:
    """A qcow2 whose backing file is a file of the host."""
    made = folder / "trap"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(disk(folder / "secret")), "-F", "raw", str(made)]
    subprocess.run(command, check=True)
    return made


def upload(world: World, stage: Stage, name: str, disk_format: str, path: Path) -> str:
    """An image that boots the lab's kernel; its id."""
    lab = stage.eyes.get("image", f"/v2/images/{world.ids['lab']}")
    assert lab is not None
    answer = world.type(
        f"glance image-create --name {name} --disk-format {disk_format} --container-format bare --file {path} "
        f"--property kernel_id={lab['kernel_id']} --property ramdisk_id={lab['ramdisk_id']}",
        "demo",
    )
    assert answer.status == 0, answer.errors
    return fields(answer.output)["id"]


def boot(stage: Stage, name: str, image: str, flavor: str = "m1.tiny") -> Guest:
    line = f"openstack server create --image {image} --flavor {flavor} --no-network {name}"
    guest = Guest(stage.cloud, properties(stage.demo.run(line, most=0))["id"], name)
    stage.eyes.wait_for_server(guest.id, "ACTIVE")
    guest.wait_up()
    return guest


def formats_in_libvirt(stage: Stage, guest: Guest) -> set[str | None]:
    """The formats by which QEMU was told to open the guest's disks."""
    found: set[str | None] = set()
    for path in stage.cloud.hypervisor.rglob("pumice-*.xml"):
        if guest.id in path.read_text():
            found |= {driver.get("type") for driver in ElementTree.parse(path).iter("driver") if driver.get("name")}
    return found


def root(guest: Guest, offset: int, length: int) -> bytes:
    """What the guest reads from its root disk."""
    return bytes.fromhex(guest.ask("read", f"serial:{guest.id[:8]}-root", offset, length))


def test_a_guest_boots_from_a_qcow2_image(stage: Stage, world: World, tmp_path: Path) -> None:
    image_id = upload(world, stage, "compressed", "qcow2", qcow2(tmp_path))
    shown = stage.eyes.get("image", f"/v2/images/{image_id}")
    assert shown is not None and (shown["status"], shown["virtual_size"]) == ("active", 8 * MIB)
    guest = boot(stage, "from-qcow2", image_id)
    assert root(guest, 4096, len(MARK)).decode() == MARK
    assert formats_in_libvirt(stage, guest) == {"raw"}
    volume = stage.volume("of-qcow2", source=f"--image {image_id}")
    stage.attach(guest, "of-qcow2", volume)
    assert guest.read(volume, len(MARK)) == MARK
    stage.demo.run(f"openstack server delete --wait {guest.id}", most=0)


def test_a_raw_image_that_looks_like_a_qcow2_is_the_guest_s_disk_byte_by_byte(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    path = trap(tmp_path)
    guest = boot(stage, "trapped", upload(world, stage, "trap", "raw", path))
    assert root(guest, 0, 4096) == path.read_bytes()[:4096]
    assert formats_in_libvirt(stage, guest) == {"raw"}
    stage.demo.run(f"openstack server delete --wait {guest.id}", most=0)


def test_a_hostile_image_is_refused_where_the_user_sees_it(stage: Stage, world: World, tmp_path: Path) -> None:
    path = trap(tmp_path)
    for line in (
        f"openstack image create --disk-format qcow2 --container-format bare --file {path} hostile",
        f"glance image-create --disk-format qcow2 --container-format bare --file {path} --name hostile",
    ):
        answer = world.type(line, "demo")
        assert answer.status != 0 and "it has a backing file" in answer.output + answer.errors, answer
    answer = world.type(f"openstack image create --import --disk-format raw --file {path} imported", "demo")
    assert answer.status != 0 and "import" in (answer.output + answer.errors).lower(), answer


def test_an_image_is_saved_and_shared(stage: Stage, world: World, tmp_path: Path) -> None:
    path, saved = qcow2(tmp_path), tmp_path / "saved"
    image_id = upload(world, stage, "shared", "qcow2", path)
    assert world.type(f"openstack image save --file {saved} {image_id}", "demo").status == 0
    assert saved.read_bytes() == path.read_bytes()
    world.keep("other", "openstack project create other", "admin")
    assert world.type(f"openstack image add project {image_id} {{other}}", "demo").status == 0
    (member,) = rows(world.type(f"openstack image member list {image_id}", "demo").output)
    assert (member["Member ID"], member["Status"]) == (world.ids["other"], "pending")
    assert world.type(f"glance member-update {image_id} {{other}} accepted", "admin").status == 0
    (member,) = rows(world.type(f"glance member-list --image-id {image_id}", "demo").output)
    assert member["Status"] == "accepted"
    assert world.type(f"openstack image remove project {image_id} {{other}}", "demo").status == 0
    assert rows(world.type(f"openstack image member list {image_id}", "demo").output) == []


def test_a_server_lives_on_without_its_image_and_flavor_and_both_come_back(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    image_id = upload(world, stage, "lost", "qcow2", qcow2(tmp_path))
    stage.admin.run("openstack flavor create --id lost-flavor --ram 128 --vcpus 1 --disk 0 lost-flavor", most=0)
    guest = boot(stage, "survivor", image_id, "lost-flavor")
    stage.demo.run(f"openstack image delete {image_id}")
    stage.admin.run("openstack flavor delete lost-flavor")
    shown = fields(world.type("openstack server show survivor", "demo").output)
    assert shown["status"] == "ACTIVE" and image_id in shown["image"]
    stage.demo.run("openstack server stop survivor")
    stage.eyes.wait_for_server(guest.id, "SHUTOFF")
    stage.demo.run("openstack server start survivor")
    stage.eyes.wait_for_server(guest.id, "ACTIVE")
    guest.wait_up(2)
    stage.demo.run("openstack server reboot --hard survivor")
    guest.wait_up(3)
    stage.eyes.wait_for_server(guest.id, "ACTIVE")
    volume = stage.volume("after")
    stage.attach(guest, "after", volume)
    assert root(guest, 4096, len(MARK)).decode() == MARK
    assert image_id in stage.demo.pumice("image list --deleted")
    stage.demo.pumice(f"image restore {image_id}")
    assert "lost-flavor" in stage.demo.pumice("flavor list --deleted")
    stage.demo.pumice("flavor restore lost-flavor")
    second = boot(stage, "second", image_id, "lost-flavor")
    assert root(second, 4096, len(MARK)).decode() == MARK
