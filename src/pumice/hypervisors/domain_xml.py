"""libvirt's domain XML: written from a Guest, read back as a Definition. Text only, no libvirt call.

    domain_xml(guest, place)        the whole definition
    disk_xml(disk, slot)            one <disk>, for the definition and for hot-plug
    Definition.parse(xml)           the disks of a live or stored definition

Disks on virtio-scsi have explicit addresses: slot N is target N of the one controller and is named sda, sdb, ...
Disks on virtio-blk take one of the spare PCI Express root ports each; libvirt picks it.
Called by `libvirt.py`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import msgspec

from pumice.hypervisors.contract import Disk, Guest, HypervisorError
from pumice.hypervisors.disk_sources import disk_source

SPARE_PORTS = 8
"""Root ports that virtio-blk disks can be plugged into; q35 cannot get more while it runs."""
PORTS_IN_USE = 2
"""Root ports that the SCSI controller and the command channel's controller take."""
SLOTS = {"scsi": 256, "virtio": 26}
"""Most disks on each bus (targets of a virtio-scsi controller; names vda to vdz)."""
LETTERS = {"scsi": "sd", "virtio": "vd"}
KERNEL_ARGUMENTS = "console=ttyS0 quiet panic=-1"
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition takes from its host."""

    type: str
    """"kvm" or "qemu"."""
    console: Path
    command: Path | None
    """Socket of the command channel, None: no channel."""


class DefinedDisk(msgspec.Struct, frozen=True, kw_only=True):
    """One disk of one definition."""

    serial: str
    bus: str
    device: str
    """Target name, e.g. "sdb"."""
    source: str
    """File, device or network name."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What we look at in a domain's XML."""

    memory_mib: int
    vcpus: int
    disks: dict[str, DefinedDisk]
    """By serial."""

    @classmethod
    def parse(cls, xml: str) -> "Definition":
        """Read a domain's XML; disks without a serial are not ours and are left out."""
        root = ElementTree.fromstring(xml)
        found = (read_disk(element) for element in root.iterfind("devices/disk"))
        return cls(
            memory_mib=int(root.findtext("memory", "0")) // 1024,
            vcpus=int(root.findtext("vcpu", "0")),
            disks={disk.serial: disk for disk in found if disk.serial},
        )


def read_disk(element: Element) -> DefinedDisk:
    """A <disk> element, read."""
    target, source = element.find("target"), element.find("source")
    place = {} if source is None else source.attrib
    return DefinedDisk(
        serial=element.findtext("serial", ""),
        bus="" if target is None else target.get("bus", ""),
        device="" if target is None else target.get("dev", ""),
        source=place.get("file") or place.get("dev") or place.get("name") or "",
    )


def device_name(bus: str, slot: int) -> str:
    """The target name of a slot: sda is 0, sdz 25, sdaa 26."""
    letters, number = "", slot
    while number >= 0:
        letters = chr(ord("a") + number % 26) + letters
        number = number // 26 - 1
    return LETTERS[bus] + letters


def slot_of(device: str) -> int:
    """The slot of a target name; the inverse of device_name."""
    number = 0
    for letter in device[2:]:
        number = number * 26 + ord(letter) - ord("a") + 1
    return number - 1


def free_slot(disk: Disk, taken: Iterable[str]) -> int:
    """The slot that the wished device name stands for, if it is free, else the first free one."""
    if disk.bus not in LETTERS:
        raise HypervisorError(f"a disk cannot be on the bus {disk.bus!r}; known are: {', '.join(LETTERS)}")
    used = {slot_of(name) for name in taken if name.startswith(LETTERS[disk.bus])}
    wished = re.fullmatch(rf"/dev/{LETTERS[disk.bus]}([a-z]{{1,2}})", disk.device or "")
    if wished and (slot := slot_of(f"  {wished[1]}")) not in used and slot < SLOTS[disk.bus]:
        return slot
    for slot in range(SLOTS[disk.bus]):
        if slot not in used:
            return slot
    raise HypervisorError(f"the guest has {SLOTS[disk.bus]} disks on the bus {disk.bus}: there is no room for another")


def alias_of(serial: str) -> str:
    """The name by which libvirt's calls and events mean this disk."""
    return f"ua-{serial}"


def disk_element(disk: Disk, slot: int) -> Element:
    """The <disk>. Raises HypervisorError when its source cannot be used on this host."""
    source = disk_source(disk.connection_info)
    element = Element("disk", type=source.type, device="cdrom" if disk.cdrom else "disk")
    driver = SubElement(element, "driver", name="qemu", type=source.format, cache=source.cache, io=source.io)
    if not disk.cdrom:
        driver.set("discard", "unmap")
    SubElement(element, "source", {key: path_text(value) for key, value in source.attributes.items()})
    SubElement(element, "target", dev=device_name(disk.bus, slot), bus=disk.bus)
    SubElement(element, "serial").text = disk.serial
    SubElement(element, "alias", name=alias_of(disk.serial))
    if disk.read_only or disk.cdrom:
        SubElement(element, "readonly")
    if disk.shareable:
        SubElement(element, "shareable")
    if disk.boot_index is not None:
        SubElement(element, "boot", order=str(disk.boot_index))
    if disk.bus == "scsi":
        SubElement(element, "address", type="drive", controller="0", bus="0", target=str(slot), unit="0")
    return element


def disk_xml(disk: Disk, slot: int) -> str:
    """The <disk> as text, for hot-plug."""
    return ElementTree.tostring(disk_element(disk, slot), encoding="unicode")


def domain_name(server_id: str) -> str:
    """libvirt's name of our guest."""
    return f"pumice-{server_id}"


def domain_xml(guest: Guest, place: Place) -> str:
    """The whole definition of a guest. Raises HypervisorError when a disk cannot be used on this host."""
    domain = Element("domain", type=place.type)
    SubElement(domain, "name").text = domain_name(guest.server_id)
    SubElement(domain, "uuid").text = guest.server_id
    SubElement(domain, "title").text = NOT_XML.sub("", " ".join(guest.name.split())) or guest.server_id
    SubElement(domain, "memory", unit="MiB").text = str(guest.memory_mib)
    SubElement(domain, "vcpu").text = str(guest.vcpus)
    add_boot(domain, guest)
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    SubElement(domain, "cpu", mode="maximum")
    SubElement(domain, "on_poweroff").text = "destroy"
    SubElement(domain, "on_reboot").text = "restart"
    SubElement(domain, "on_crash").text = "destroy"
    devices = SubElement(domain, "devices")
    add_controllers(devices)
    taken: list[str] = []
    for disk in guest.disks:
        slot = free_slot(disk, taken)
        taken.append(device_name(disk.bus, slot))
        devices.append(disk_element(disk, slot))
    add_channels(devices, place)
    SubElement(devices, "memballoon", model="none")
    return ElementTree.tostring(domain, encoding="unicode")


def add_boot(domain: Element, guest: Guest) -> None:
    """What is started: a kernel given by name, or the disks that have a boot_index in that order."""
    system = SubElement(domain, "os")
    SubElement(system, "type", arch="x86_64", machine="q35").text = "hvm"
    if guest.kernel_path is None:
        return
    SubElement(system, "kernel").text = path_text(guest.kernel_path)
    if guest.ramdisk_path is not None:
        SubElement(system, "initrd").text = path_text(guest.ramdisk_path)
    arguments = KERNEL_ARGUMENTS if guest.kernel_arguments is None else guest.kernel_arguments
    SubElement(system, "cmdline").text = NOT_XML.sub("", arguments)


def add_controllers(devices: Element) -> None:
    """One virtio-scsi controller, no USB, and as many PCI Express root ports as a guest will ever have."""
    SubElement(devices, "controller", type="usb", model="none")
    SubElement(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
    for index in range(1, SPARE_PORTS + PORTS_IN_USE + 1):
        SubElement(devices, "controller", type="pci", index=str(index), model="pcie-root-port")


def add_channels(devices: Element, place: Place) -> None:
    """The serial console into its log and, where asked for, the channel by which a test guest takes commands."""
    serial = SubElement(devices, "serial", type="file")
    SubElement(serial, "source", path=path_text(str(place.console)), append="on")
    SubElement(serial, "target", port="0")
    if place.command is not None:
        channel = SubElement(devices, "channel", type="unix")
        SubElement(channel, "source", mode="bind", path=path_text(str(place.command)))
        SubElement(channel, "target", type="virtio", name="lab.cmd")


def path_text(path: str) -> str:
    """The path itself. Raises HypervisorError when XML cannot hold it."""
    if NOT_XML.search(path):
        raise HypervisorError(f"the path {path!r} has characters that a domain definition cannot hold")
    return path
