"""What servers can be made of: every kind of disk, several at once, key pairs and config drives; what is refused."""

import json
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from pumice.block import snapshots, volume_creation, volume_types, volumes
from pumice.block.volume_creation import Wanted
from pumice.block.volume_sources import Source
from pumice.caller import new_id
from pumice.compute import flavors, keypairs, queries, quotas, server_creation, servers
from pumice.compute.listings import SERVERS
from pumice.compute.model import BlockDeviceMapping, WantedDisk, WantedServer
from pumice.compute.operations import local_disks
from pumice.compute.volume_attachments import attach, detach
from pumice.db.schema import volumes as volume_rows
from pumice.errors import BadRequest, Conflict, Forbidden, InvalidField, NotFound
from pumice.outcomes import Problem
from tests.compute.cloud import ComputeCloud

pytestmark = pytest.mark.real

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1G6Xv0Uoe1KZV6dVHrm4Mdu8pNJ1vR7eMaQvqGqzyF me@here"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n"
MISSING = "00000000-0000-4000-8000-000000000000"


def disk(source_type: str, uuid: str | None = None, **more: Any) -> WantedDisk:
    return WantedDisk(source_type=source_type, uuid=uuid, field="block_device_mapping_v2.0", **more)  # type: ignore[arg-type]


def mappings(cloud: ComputeCloud, server: str) -> list[BlockDeviceMapping]:
    return cloud.read(queries.mappings_of, [server])


def bootable_volume(cloud: ComputeCloud) -> str:
    source = Source(image_id=cloud.image(b"x" * 512))
    made = cloud.write(volume_creation.create, cloud.member, Wanted(size=1, source=source)).volume.id
    cloud.settle()
    return made


def snapshot(cloud: ComputeCloud, volume: str) -> str:
    taken = cloud.write(
        snapshots.create, cloud.member, volume, name=None, description=None, metadata={}, in_use_allowed=False
    )
    cloud.settle()
    return taken.id


def live_volumes(cloud: ComputeCloud) -> list[str]:
    with cloud.database.read() as tx:
        return list(tx.execute(select(volume_rows.c.id).where(volume_rows.c.deleted_at.is_(None))).scalars())


def test_a_server_has_disks_of_every_source(cloud: ComputeCloud) -> None:
    root, data = bootable_volume(cloud), cloud.volume()
    taken = snapshot(cloud, data)
    server = cloud.server(
        disks=(
            disk("volume", root, boot_index=0, device_name="vda"),
            disk("snapshot", taken, delete_on_termination=True, tag="copy"),
            disk("blank", volume_size=2, delete_on_termination=True, disk_bus="virtio"),
            disk("image", cloud.image(b"y" * 512), volume_size=1),
        )
    )
    found = mappings(cloud, server)
    assert [(one.source_type, one.boot_index, one.tag) for one in sorted(found, key=lambda one: one.source_type)] == [
        ("blank", None, None),
        ("image", None, None),
        ("snapshot", None, "copy"),
        ("volume", 0, None),
    ]
    assert {cloud.status(str(one.volume_id)) for one in found} == {"in-use"}
    assert set(cloud.disks(server)) == {one.volume_id for one in found}
    assert cloud.found(server).image_id is None
    assert {one.device_name for one in found if one.boot_index == 0} == {"/dev/vda"}
    (from_snapshot,) = (one.volume_id for one in found if one.source_type == "snapshot")
    assert cloud.read(volumes.get, cloud.member, str(from_snapshot)).volume.snapshot_id == taken

    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    after = {one.source_type: cloud.status(str(one.volume_id)) for one in found}
    assert after == {"volume": "available", "snapshot": "deleted", "blank": "deleted", "image": "available"}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"source_type": "blank", "boot_index": 0, "volume_size": 1}, "boot_index"),
        ({"source_type": "blank"}, "volume_size"),
        ({"source_type": "blank", "uuid": MISSING, "volume_size": 1}, "uuid"),
        ({"source_type": "snapshot"}, "uuid"),
        ({"source_type": "snapshot", "uuid": MISSING}, "uuid"),
        ({"source_type": "image", "uuid": MISSING, "volume_size": 1}, MISSING),
        ({"source_type": "image", "uuid": MISSING, "destination_type": "local"}, "destination_type"),
        ({"source_type": "blank", "volume_size": 1, "disk_bus": "ide"}, "disk_bus"),
        ({"source_type": "blank", "volume_size": 1, "guest_format": "swap"}, "guest_format"),
        ({"source_type": "blank", "volume_size": 1, "volume_type": "no-such"}, "volume_type"),
        ({"source_type": "blank", "volume_size": 1 << 30}, "volume_size"),
        ({"source_type": "blank", "volume_size": 1, "device_name": "!"}, "device_name"),
        ({"source_type": "blank", "volume_size": 1, "destination_type": "local"}, "ephemeral"),
        (
            {"source_type": "blank", "volume_size": 1, "destination_type": "local", "guest_format": "ntfs"},
            "guest_format",
        ),
        (
            {"source_type": "blank", "volume_size": 1, "destination_type": "local", "guest_format": "swap"},
            "swap",
        ),
    ],
)
def test_a_disk_that_cannot_be_is_refused_by_its_field(cloud: ComputeCloud, wrong: dict[str, Any], named: str) -> None:
    wanted = WantedDisk(field="block_device_mapping_v2.0", **wrong)
    with pytest.raises(BadRequest, match=named):
        cloud.ask_server(disks=(wanted,), image_id=cloud.bootable)
    assert live_volumes(cloud) == []


def test_disks_that_contradict_each_other_are_refused(cloud: ComputeCloud) -> None:
    volume, blank = cloud.volume(), disk("blank", volume_size=1)
    same = msgspec.structs.replace
    for disks, why in (
        ((disk("volume", volume), disk("volume", volume)), "more than one entry"),
        ((same(blank, device_name="sdb"), same(blank, device_name="/dev/sdb")), "device_name /dev/sdb"),
        ((same(blank, tag="a"), same(blank, tag="a")), "tag a"),
        ((same(blank, boot_index=1), same(blank, boot_index=1)), "boot indexes"),
        ((same(blank, boot_index=1), same(blank, boot_index=3)), "boot indexes"),
    ):
        with pytest.raises(BadRequest, match=why):
            cloud.ask_server(disks=disks, image_id=cloud.bootable)
    assert cloud.status(volume) == "available"


def test_a_volume_that_cannot_be_had_refuses_the_server_and_stays_as_it_is(cloud: ComputeCloud) -> None:
    used, server = cloud.volume(), cloud.server()
    cloud.write(attach, cloud.member, server, used)
    cloud.settle()
    for uuid, why in ((used, "in-use"), (MISSING, "could not be found")):
        with pytest.raises(BadRequest, match=why):
            cloud.ask_server(disks=(disk("volume", uuid),), image_id=cloud.bootable)
    foreign = cloud.volume()
    stranger = msgspec.structs.replace(cloud.member, project_id=new_id())
    wanted = WantedServer(name="g", flavor_id="1", image_id=cloud.bootable, disks=(disk("volume", foreign),))
    with pytest.raises(BadRequest, match="could not be found"):
        cloud.write(server_creation.create, stranger, wanted)
    with pytest.raises(BadRequest, match="not bootable"):
        cloud.ask_server(disks=(disk("volume", foreign, boot_index=0),))
    assert (cloud.status(used), cloud.status(foreign)) == ("in-use", "available")


def test_volumes_made_for_a_server_that_fails_go_with_it(cloud: ComputeCloud) -> None:
    kept = cloud.volume()
    image = cloud.image(b"x" * 512)
    server = cloud.ask_server(disks=(disk("image", image, volume_size=1, boot_index=0), disk("volume", kept)))
    cloud.images.path(image).unlink()
    cloud.settle()
    assert cloud.found(server).status == "ERROR"
    assert cloud.status(kept) == "available"
    assert [one.volume_id for one in cloud.storage.volumes()] == [kept]
    assert live_volumes(cloud) == [kept]


def test_an_image_that_is_a_list_of_snapshots_is_booted_from_them(cloud: ComputeCloud) -> None:
    root = bootable_volume(cloud)
    taken = snapshot(cloud, root)
    entry = {
        "source_type": "snapshot",
        "snapshot_id": taken,
        "destination_type": "volume",
        "boot_index": 0,
        "volume_size": 1,
        "delete_on_termination": True,
        "device_name": "/dev/vda",
        "no_device": None,
    }
    image = cloud.image(b"", properties={"block_device_mapping": json.dumps([entry])})
    (mapping,) = mappings(cloud, cloud.server(image_id=image))
    assert (mapping.snapshot_id, mapping.boot_index) == (taken, 0)
    assert cloud.read(volumes.get, cloud.member, str(mapping.volume_id)).volume.snapshot_id == taken
    other = cloud.server(image_id=image, disks=(disk("image", cloud.image(b"z" * 512), volume_size=1, boot_index=0),))
    assert [one.snapshot_id for one in mappings(cloud, other)] == [None]
    of_image = cloud.write(volume_creation.create, cloud.member, Wanted(size=1, source=Source(image_id=image))).volume
    assert of_image.snapshot_id == taken
    cloud.settle()
    assert cloud.status(of_image.id) == "available"
    broken = cloud.image(b"", properties={"block_device_mapping": "[{"})
    with pytest.raises(BadRequest, match="malformed"):
        cloud.ask_server(image_id=broken)
    foreign = cloud.image(b"", properties={"block_device_mapping": json.dumps([{**entry, "source_type": "tape"}])})
    with pytest.raises(BadRequest, match="a disk from tape to volume"):
        cloud.write(volume_creation.create, cloud.member, Wanted(size=1, source=Source(image_id=foreign)))


def test_several_servers_of_one_request(cloud: ComputeCloud) -> None:
    first = cloud.ask_server(name="web", hostname="web", min_count=2, max_count=3, disks=(), image_id=cloud.bootable)
    cloud.settle()
    reservation = cloud.found(first).reservation_id
    page = cloud.read(servers.page, cloud.member, servers_of(str(reservation)), all_projects=False).items
    found = sorted((one.server for one in page), key=lambda one: one.launch_index or 0)
    assert [(one.name, one.hostname, one.launch_index, one.status) for one in found] == [
        ("web-1", "web-1", 0, "ACTIVE"),
        ("web-2", "web-2", 1, "ACTIVE"),
        ("web-3", "web-3", 2, "ACTIVE"),
    ]
    with pytest.raises(InvalidField, match="several servers"):
        cloud.ask_server(max_count=2, disks=(disk("volume", cloud.volume()),), image_id=cloud.bootable)
    with pytest.raises(InvalidField, match="min_count"):
        cloud.ask_server(min_count=3, max_count=2)


def servers_of(reservation: str) -> Any:
    return SERVERS.parse({"reservation_id": reservation})


def test_limits_are_counted_from_the_rows(cloud: ComputeCloud) -> None:
    project = str(cloud.member.project_id)
    cloud.write(quotas.set_limits, project, {"instances": 2, "metadata_items": 1})
    cloud.ask_server(min_count=1, max_count=5)
    assert cloud.read(quotas.totals, project) == quotas.Totals(2, 2, 256)
    with pytest.raises(Forbidden, match="instances: requested 1, used 2 of 2"):
        cloud.ask_server()
    with pytest.raises(Forbidden, match="metadata items"):
        cloud.ask_server(metadata={"a": "1", "b": "2"})
    with pytest.raises(BadRequest, match="what is used, 2"):
        cloud.write(quotas.set_limits, project, {"instances": 1})
    cloud.write(quotas.forget_limits, project)
    cloud.ask_server()
    cloud.settle()


def test_a_key_pair_is_checked_and_its_private_half_is_kept_nowhere(cloud: ComputeCloud) -> None:
    imported = cloud.write(keypairs.create, cloud.member, "mine", kind="ssh", public_key=PUBLIC_KEY).keypair
    assert (imported.public_key, imported.type) == (PUBLIC_KEY, "ssh")
    assert len(imported.fingerprint.split(":")) == 16
    with pytest.raises(Conflict, match="mine"):
        cloud.write(keypairs.create, cloud.member, "mine", kind="ssh", public_key=PUBLIC_KEY)
    certificate = cloud.write(keypairs.create, cloud.member, "cert", kind="x509", public_key=CERTIFICATE).keypair
    assert len(certificate.fingerprint.split(":")) == 20
    for kind, text in (("ssh", ""), ("ssh", "ssh-rsa JUNK me"), ("ssh", "ssh-rsa AAAA"), ("x509", PUBLIC_KEY)):
        with pytest.raises(InvalidField, match="public_key"):
            cloud.write(keypairs.create, cloud.member, "bad", kind=kind, public_key=text)
    made = cloud.write(keypairs.create, cloud.member, "made", kind="ssh", public_key=None)
    assert made.private_key is not None and made.private_key.startswith("-----BEGIN OPENSSH ")
    assert made.keypair.public_key.startswith("ssh-ed25519 ")
    cloud.write(keypairs.delete, cloud.member, "made")
    with pytest.raises(NotFound):
        cloud.read(keypairs.get, cloud.member, "made")
    with pytest.raises(Forbidden):
        cloud.read(keypairs.get, cloud.member, "mine", user_id=new_id())


def test_a_private_key_opens_what_its_public_key_closed(cloud: ComputeCloud, tmp_path: Path) -> None:
    made = cloud.write(keypairs.create, cloud.member, "made", kind="ssh", public_key=None)
    private = tmp_path / "private"
    private.write_text(str(made.private_key))
    private.chmod(0o600)
    told = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True).stdout
    assert told.split()[:2] == made.keypair.public_key.split()[:2]


def test_a_certificate_is_of_its_private_key(cloud: ComputeCloud, tmp_path: Path) -> None:
    made = cloud.write(keypairs.create, cloud.member, "made " * 20 + "_", kind="x509", public_key=None)
    assert len(made.keypair.fingerprint.split(":")) == 20
    private, public = tmp_path / "private", tmp_path / "public"
    private.write_text(str(made.private_key))
    public.write_text(made.keypair.public_key)
    commands = (("pkey", "-pubout", "-in", private), ("x509", "-pubkey", "-noout", "-in", public))
    told = [subprocess.run(["openssl", *words], capture_output=True, check=True).stdout for words in commands]
    assert told[0] == told[1] and told[0].startswith(b"-----BEGIN PUBLIC KEY")


def test_a_config_drive_is_made_where_something_needs_it(cloud: ComputeCloud) -> None:
    cloud.write(keypairs.create, cloud.member, "mine", kind="ssh", public_key=PUBLIC_KEY)
    plain, asked = cloud.server(metadata={"a": "b"}), cloud.server(config_drive=True)
    keyed = cloud.server(key_name="mine", user_data=b64encode(b"hello").decode())
    assert cloud.world.servers is not None
    there = [(cloud.world.servers / one / local_disks.CONFIG_DRIVE).exists() for one in (plain, asked, keyed)]
    assert there == [False, True, True]
    assert [cloud.found(one).config_drive for one in (plain, asked, keyed)] == [False, True, True]
    guest = cloud.simulator._held.guests[keyed].guest
    (config,) = (one for one in guest.disks if one.cdrom)
    assert config.read_only and config.serial == f"{keyed[:8]}-config"
    cloud.write(keypairs.delete, cloud.member, "mine")
    assert cloud.found(keyed).public_key == PUBLIC_KEY
    with pytest.raises(InvalidField, match="key_name"):
        cloud.ask_server(key_name="mine")


def test_a_config_drive_that_cannot_be_made_is_the_servers_fault(
    cloud: ComputeCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("setpriv", "prlimit"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(programs))
    server = cloud.ask_server(config_drive=True)
    cloud.settle()
    fault = cloud.found(server).fault
    assert fault is not None and "xorrisofs" in fault["message"]
    assert cloud.world.servers is not None and not (cloud.world.servers / server).exists()


def test_ephemeral_disks_and_swap_come_with_the_flavor(cloud: ComputeCloud) -> None:
    cloud.write(flavors.create, "roomy", "roomy", memory_mib=128, vcpus=1, disk=0, ephemeral=2, swap=64)
    server = cloud.server(
        flavor_id="roomy",
        image_id=cloud.bootable,
        disks=tuple(
            disk("blank", destination_type="local", volume_size=1, guest_format=one) for one in ("xfs", "ext4")
        ),
    )
    assert cloud.world.servers is not None
    folder = cloud.world.servers / server
    assert (folder / "swap.raw").read_bytes()[4086:4096] == b"SWAPSPACE2"
    assert (folder / "ephemeral0.raw").read_bytes()[:4] == b"XFSB"
    assert (folder / "ephemeral1.raw").stat().st_size == 1 << 30
    assert len(cloud.disks(server)) == 3


def test_shared_volumes_go_to_several_servers(cloud: ComputeCloud) -> None:
    kind = cloud.write(
        volume_types.create, volume_types.NewType(name="shared", extra_specs={"multiattach": "<is> True"})
    )
    volume = cloud.write(volume_creation.create, cloud.member, Wanted(size=1, volume_type=kind.id)).volume.id
    cloud.settle()
    one, two = cloud.server(), cloud.server()
    with pytest.raises(BadRequest, match=r"2\.60"):
        cloud.write(attach, cloud.member, one, volume, multiattach=False)
    for server in (one, two):
        cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use"
    assert all(volume in cloud.disks(server) for server in (one, two))
    with pytest.raises(BadRequest, match="already"):
        cloud.write(attach, cloud.member, one, volume)
    cloud.write(detach, cloud.member, one, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use" and volume in cloud.disks(two) and volume not in cloud.disks(one)
    cloud.write(servers.delete, cloud.member, two)
    cloud.settle()
    assert cloud.status(volume) == "available"


def test_two_servers_boot_from_one_shared_volume(cloud: ComputeCloud) -> None:
    kind = cloud.write(
        volume_types.create, volume_types.NewType(name="shared", extra_specs={"multiattach": "<is> True"})
    )
    source = Source(image_id=cloud.image(b"x" * 512))
    wanted = Wanted(size=1, volume_type=kind.id, source=source)
    volume = cloud.write(volume_creation.create, cloud.member, wanted).volume.id
    cloud.settle()
    found = [cloud.server(disks=(disk("volume", volume, boot_index=0),)) for _ in range(2)]
    assert [set(cloud.disks(server)) for server in found] == [{volume}, {volume}]


def test_no_zone_of_that_name_is_refused_and_no_host_is_the_servers_fault(cloud: ComputeCloud) -> None:
    with pytest.raises(InvalidField, match="availability_zone"):
        cloud.ask_server(availability_zone="moon")
    cloud.report_host(Problem("program-missing", "program qemu not found", "install qemu"))
    server = cloud.ask_server(availability_zone="nova")
    assert cloud.found(server).status == "ERROR"
