"""What every story gets: the cloud, two users at their terminals, eyes, and guests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.demo.cloud import Cloud
from tests.demo.eyes import Eyes
from tests.demo.narration import Narrator
from tests.demo.shell import Shell, properties
from tests.lab.guest import Image, Inside, guest_image
from tests.support.waiting import wait_until

BOOT_SECONDS = 60
ROOT_BYTES = 1 << 20


class Guest:
    """One server that runs the lab image."""

    def __init__(self, cloud: Cloud, server_id: str, name: str) -> None:
        self.cloud = cloud
        self.id = server_id
        self.name = name

    @contextmanager
    def inside(self) -> Iterator[Inside]:
        """Talk to it by its command channel."""
        note = self.cloud.hypervisor / "short_name"
        root = Path(note.read_text()) if note.exists() else self.cloud.hypervisor
        with Inside(root / "command" / f"{self.id}.sock") as channel:
            yield channel

    def ask(self, *words: object) -> str:
        """One command inside; what it answered."""
        with self.inside() as channel:
            return channel.command(*words)

    def volumes(self) -> set[str]:
        """Serials of the volumes that its kernel sees; those of its own disks begin like its id: "1234abcd-root"."""
        with self.inside() as channel:
            return {serial for serial in channel.disks() if not serial.startswith(f"{self.id[:8]}-")}

    def write(self, volume_id: str, text: str, offset: int = 4096) -> None:
        """Write a text (ASCII, single blanks) to a volume and flush it."""
        self.ask("write", f"serial:{volume_id}", offset, text)

    def read(self, volume_id: str, length: int, offset: int = 4096) -> str:
        """Read from a volume, not from a cache."""
        return bytes.fromhex(self.ask("read", f"serial:{volume_id}", offset, length)).decode(errors="replace")

    def wait_up(self, boots: int = 1) -> None:
        """Until it has said so many times on its console that it is up."""
        console = self.cloud.hypervisor / "console" / f"{self.id}.log"

        def up() -> bool:
            return console.exists() and console.read_text(errors="replace").count("GUEST-UP") >= boots

        wait_until(up, BOOT_SECONDS, f"server {self.name} says on its console that it is up")

    def wait_sees(self, volume_ids: set[str]) -> None:
        """Until its kernel sees exactly these volumes."""
        wait_until(lambda: self.volumes() == volume_ids, 20, f"the guest {self.name} sees {sorted(volume_ids)}")


class Stage:
    """See the head of the file. Built once `cloud` runs."""

    def __init__(self, tell: Narrator, cloud: Cloud) -> None:
        self.tell = tell
        self.cloud = cloud
        self.demo = Shell(tell, cloud.user("demo"), cloud.state)
        self.admin = Shell(tell, cloud.user("admin"), cloud.state)
        self.eyes = Eyes(cloud.user("demo"))
        self.image: Image = guest_image()

    def upload_image(self) -> None:
        """Kernel and ramdisk as images, and a third that names the two: what servers boot from."""
        root = self.cloud.directory / "root.img"
        root.write_bytes(b"\0" * ROOT_BYTES)
        ids = {}
        for name, kind, path in (("lab-kernel", "aki", self.image.kernel), ("lab-ramdisk", "ari", self.image.ramdisk)):
            line = f"glance image-create --name {name} --disk-format {kind} --container-format {kind} --file "
            output = self.demo.run(f"{line}{path}", shown=f"{line}{path.name}", most=0)
            ids[name] = properties(output)["id"]
        line = (
            f"openstack image create --disk-format raw --container-format bare --property kernel_id={ids['lab-kernel']}"
            f" --property ramdisk_id={ids['lab-ramdisk']} --file "
        )
        self.demo.run(f"{line}{root} lab", shown=f"{line}root.img lab", most=0)

    def boot(self, name: str) -> Guest:
        """Boot a server and wait until its guest is up."""
        guest = self.start_boot(name)
        guest.wait_up()
        return guest

    def start_boot(self, name: str) -> Guest:
        """Boot a server and wait until it is ACTIVE; its guest needs some seconds more."""
        output = self.demo.run(f"openstack server create --image lab --flavor m1.tiny --no-network {name}", most=0)
        guest = Guest(self.cloud, properties(output)["id"], name)
        self.eyes.wait_for_server(guest.id, "ACTIVE")
        return guest

    def volume(self, name: str, *, size: int = 1, source: str = "") -> str:
        """Create a volume and wait until it is available; its id."""
        output = self.demo.run(f"openstack volume create --size {size} {source}{' ' if source else ''}{name}", most=0)
        identifier = properties(output)["id"]
        self.eyes.wait_for_volume(identifier)
        return identifier

    def attach(self, guest: Guest, name: str, volume_id: str) -> None:
        """Attach a volume and wait until both the API and the guest say that it is there."""
        self.demo.run(f"openstack server add volume {guest.name} {name}", most=0)
        self.eyes.wait_for_volume(volume_id, "in-use")
        wait_until(lambda: volume_id in guest.volumes(), 20, f"the guest {guest.name} sees {name}")

    def detach(self, guest: Guest, name: str, volume_id: str) -> None:
        """The mirror."""
        self.demo.run(f"openstack server remove volume {guest.name} {name}", most=0)
        self.eyes.wait_for_volume(volume_id)
        wait_until(lambda: volume_id not in guest.volumes(), 20, f"the guest {guest.name} has let {name} go")

    def agree(self, guest: Guest, volume_ids: set[str]) -> None:
        """Check that the guest, libvirt's files, compute and block storage all say the same."""
        listed = {
            volume["id"]
            for volume in self.eyes.volumes()
            if any(one["server_id"] == guest.id for one in volume["attachments"])
        }
        beneath = {one for one in self.cloud.disks().get(guest.id, set()) if not one.endswith("-root")}
        said = {
            "guest": guest.volumes(),
            "libvirt": beneath,
            "compute": self.eyes.server_volumes(guest.id),
            "block storage": listed,
        }
        what = f"the guest, libvirt, compute and block storage agree: {len(volume_ids)} volume(s) attached"
        self.tell.check(all(one == volume_ids for one in said.values()), what, said)
