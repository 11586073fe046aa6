"""The parts of the hypervisor drivers that need no guest: XML, console files, short names, the watch over calls."""

import os
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from pumice.hypervisors import consoles, libvirt_root
from pumice.hypervisors.contract import Disk, Guest, GuestState, HypervisorDown, HypervisorError
from pumice.hypervisors.domain_xml import Definition, Place, device_name, domain_xml, free_slot, slot_of
from pumice.hypervisors.libvirt_connection import sentence
from pumice.hypervisors.memory import Behaviour, MemoryHypervisor
from pumice.hypervisors.registry import HypervisorConfig, make

pytestmark = pytest.mark.fast

SERVER = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a \"b\" <c> & 'd' ü.raw"
    path.write_bytes(bytes(512))
    return path


def disk(path: Path, serial: str = "volume-1", bus: str = "scsi") -> Disk:
    connection_info = {"driver_volume_type": "local", "data": {"device_path": str(path)}}
    return Disk(serial=serial, connection_info=connection_info, bus=bus)


@pytest.mark.parametrize(("slot", "name"), [(0, "sda"), (25, "sdz"), (26, "sdaa"), (255, "sdiv")])
def test_slots_have_the_names_that_the_kernel_would_give(slot: int, name: str) -> None:
    assert device_name("scsi", slot) == name
    assert slot_of(name) == slot


def test_a_full_bus_is_told() -> None:
    full = [device_name("virtio", slot) for slot in range(26)]
    with pytest.raises(HypervisorError, match="26 disks on the bus virtio"):
        free_slot(Disk(serial="x", connection_info={}, bus="virtio"), full)
    with pytest.raises(HypervisorError, match="'ide'"):
        free_slot(Disk(serial="x", connection_info={}, bus="ide"), [])


def test_a_definition_holds_hostile_text_as_text_and_is_read_back(path: Path) -> None:
    guest = Guest(
        server_id=SERVER,
        name="</title><evil/>\x00\x1b😀\ud800",
        memory_mib=128,
        vcpus=3,
        disks=(disk(path), disk(path, "volume-2", "virtio")),
        kernel_path="/k<&>",
        kernel_arguments="a=<b> & \x02c",
    )
    xml = domain_xml(guest, Place(type="qemu", console=path.with_suffix(".log"), command=None))
    root = ElementTree.fromstring(xml)
    assert root.findtext("title") == "</title><evil/>😀"
    assert root.find("evil") is None
    assert root.findtext("os/cmdline") == "a=<b> & c"
    read = Definition.parse(xml)
    assert {serial: (found.device, found.source) for serial, found in read.disks.items()} == {
        "volume-1": ("sda", str(path)),
        "volume-2": ("vda", str(path)),
    }
    assert read.vcpus == 3


def test_a_disk_is_always_raw_and_has_its_volume_as_serial_and_alias(path: Path) -> None:
    guest = Guest(
        server_id=SERVER,
        name="x",
        memory_mib=1,
        vcpus=1,
        disks=(msgspec.structs.replace(disk(path), read_only=True, shareable=True, boot_index=1),),
    )
    root = ElementTree.fromstring(domain_xml(guest, Place(type="qemu", console=path, command=None)))
    element = root.find("devices/disk")
    assert element is not None and element.get("type") == "file"
    driver, alias, boot = element.find("driver"), element.find("alias"), element.find("boot")
    assert driver is not None and (driver.get("type"), driver.get("discard")) == ("raw", "unmap")
    assert alias is not None and alias.get("name") == "ua-volume-1"
    assert boot is not None and boot.get("order") == "1"
    assert element.find("readonly") is not None and element.find("shareable") is not None


def test_a_path_that_xml_cannot_hold_is_refused(path: Path) -> None:
    guest = Guest(server_id=SERVER, name="x", memory_mib=1, vcpus=1, kernel_path="/k\x01")
    with pytest.raises(HypervisorError, match="characters"):
        domain_xml(guest, Place(type="qemu", console=path, command=None))


def test_a_long_directory_gets_a_short_name_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / ("x" * 100)
    short = libvirt_root.prepare_root(root)
    try:
        assert len(os.fsencode(short)) <= libvirt_root.LONGEST_ROOT
        assert short.resolve() == root.resolve()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        assert libvirt_root.prepare_root(root) == short
        short.unlink()
        assert libvirt_root.prepare_root(root) == short, "made again after a clean-up"
        short.unlink()
        short.symlink_to(tmp_path)
        with pytest.raises(HypervisorDown, match="shorter state directory"):
            libvirt_root.prepare_root(root)
    finally:
        short.unlink()


def test_the_initiator_is_made_once(tmp_path: Path) -> None:
    assert (
        libvirt_root.initiator(tmp_path) == libvirt_root.initiator(tmp_path) != libvirt_root.initiator(tmp_path / "b")
    )


def test_a_console_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert consoles.tail(log) == ""
    log.write_bytes(b"one\ntwo\n\xff\n")
    assert consoles.tail(log, 2) == "two\n\ufffd\n"
    assert consoles.tail(log, 0) == ""
    consoles.trim(log)
    assert log.read_bytes() == b"one\ntwo\n\xff\n"
    log.write_bytes(b"x" * consoles.LONGEST_LOG + b"end")
    consoles.trim(log)
    assert log.stat().st_size == 0 and consoles.tail(log).endswith("xend")
    log.write_bytes(b" and on")
    assert consoles.tail(log).endswith("xend and on")
    assert len(consoles.tail(log)) == consoles.LONGEST_ANSWER
    consoles.forget(log)
    assert list(tmp_path.iterdir()) == []


def test_a_message_of_qemu_becomes_one_line() -> None:
    noisy = RuntimeError("internal error: 2026-11-21T10:00:00.123456Z qemu: failed\nIs it in use?")
    assert sentence(noisy) == "internal error: qemu: failed Is it in use?"


def test_the_simulator_misbehaves_as_told_also_from_another_process(tmp_path: Path, path: Path) -> None:
    config = HypervisorConfig(host="node1", directory=tmp_path, driver="memory")
    agent, test = make(config), MemoryHypervisor(path=tmp_path / "memory.json")
    agent.start()
    agent.define(Guest(server_id=SERVER, name="x", memory_mib=1, vcpus=1))
    agent.start_guest(SERVER)

    test.behave(Behaviour(refuse_attach="Device could not be initialized"))
    with pytest.raises(HypervisorError, match="Device could not be initialized"):
        agent.attach(SERVER, disk(path))
    assert agent.disks(SERVER) == []

    test.behave(Behaviour(lie_on_attach=True))
    assert agent.attach(SERVER, disk(path)).live
    assert agent.disks(SERVER) == []

    test.behave(Behaviour(grow_fails="no"))
    agent.attach(SERVER, disk(path))
    with pytest.raises(HypervisorError, match="could not grow"):
        agent.disk_grew(SERVER, "volume-1", 1024)
    test.crash(SERVER)
    test.print_console(SERVER, "Kernel panic\n")
    assert agent.state(SERVER) is GuestState.CRASHED
    assert agent.console_log(SERVER, lines=1) == "Kernel panic\n"


def test_an_unknown_driver_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'xen'.*libvirt, memory"):
        make(HypervisorConfig(host="x", directory=tmp_path, driver="xen"))
