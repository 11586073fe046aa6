"""What every hypervisor must do, asked of the simulator and of real QEMU guests under embedded libvirt.

Guests here have nothing to boot: a virtio-scsi disk comes and goes without their help. What a guest's operating
system sees of it is in `test_libvirt_guests.py`.
"""

import threading
import uuid
from collections.abc import Iterator

import msgspec
import pytest

from pumice import faults
from pumice.hypervisors.contract import (
    DetachRefused,
    Disk,
    Guest,
    GuestMissing,
    GuestState,
    Hypervisor,
    HypervisorDown,
    HypervisorError,
)
from pumice.hypervisors.memory import Behaviour, MemoryHypervisor
from pumice.hypervisors.registry import HypervisorConfig, make
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


class Bench:
    """A started hypervisor with a place for disks; what a test defined on it is removed with the test."""

    def __init__(self, hypervisor: Hypervisor, config: HypervisorConfig) -> None:
        self.hypervisor = hypervisor
        self.config = config
        self.made: list[str] = []

    def guest(self, *, started: bool = True, disks: tuple[Disk, ...] = ()) -> str:
        server_id = str(uuid.uuid4())
        self.made.append(server_id)
        self.hypervisor.define(
            Guest(server_id=server_id, name='a "name" <&> 😀\x01', memory_mib=64, vcpus=1, disks=disks)
        )
        if started:
            self.hypervisor.start_guest(server_id)
        return server_id

    def disk(self, bus: str = "scsi") -> Disk:
        volume_id = str(uuid.uuid4())
        path = self.config.directory / "volumes" / f"volume-{volume_id}"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.truncate(1 << 20)
        data = {"device_path": str(path)}
        return Disk(serial=volume_id, connection_info={"driver_volume_type": "local", "data": data}, bus=bus)

    def seen(self, server_id: str) -> dict[str, tuple[bool, bool]]:
        """(live, stored) of each disk by serial."""
        return {disk.serial: (disk.live, disk.stored) for disk in self.hypervisor.disks(server_id)}


@pytest.fixture(scope="module", params=["memory", "libvirt"])
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    if request.param == "libvirt":
        return Bench(request.getfixturevalue("libvirt_hypervisor"), request.getfixturevalue("libvirt_config"))
    config = HypervisorConfig(host="node1", directory=tmp_path_factory.mktemp("memory"), driver="memory")
    hypervisor = make(config)
    hypervisor.start()
    return Bench(hypervisor, config)


@pytest.fixture
def bench(started: Bench) -> Iterator[Bench]:
    yield started
    started.hypervisor.start()
    if isinstance(started.hypervisor, MemoryHypervisor):
        started.hypervisor.behave(Behaviour())
    for server_id in started.made:
        started.hypervisor.undefine(server_id)
    started.made.clear()


def test_it_can_start_guests_and_says_what_the_host_is(bench: Bench) -> None:
    assert bench.hypervisor.check() == []
    info = bench.hypervisor.host_info()
    assert info.host == info.connector["host"] == "node1"
    assert info.memory_mib > 0 and info.vcpus > 0 and info.hypervisor_version[0].isdigit()
    assert info.connector["initiator"].startswith("iqn.") and info.connector["ip"] == "127.0.0.1"
    assert info.connector["multipath"] is False
    assert info.connector["supported"] == {"driver_volume_types": ["local"], "rbd_features": 0}
    assert bench.hypervisor.host_info() == info


def test_a_guest_lives_through_all_its_states_and_each_verb_may_be_repeated(bench: Bench) -> None:
    hypervisor, server = bench.hypervisor, bench.guest(started=False)
    assert hypervisor.state(server) is GuestState.SHUTOFF
    for verb, state in [
        (hypervisor.start_guest, GuestState.RUNNING),
        (hypervisor.pause, GuestState.PAUSED),
        (hypervisor.resume, GuestState.RUNNING),
        (hypervisor.reset, GuestState.RUNNING),
        (hypervisor.stop_guest, GuestState.SHUTOFF),
        (hypervisor.undefine, GuestState.ABSENT),
    ]:
        for _time in range(2):
            verb(server)
            assert hypervisor.state(server) is state
            assert hypervisor.guests().get(server, GuestState.ABSENT) is state


def test_a_suspended_guest_keeps_its_disks_until_it_is_resumed_or_stopped(bench: Bench) -> None:
    hypervisor, disk = bench.hypervisor, bench.disk()
    server_id = bench.guest(disks=(disk,))
    guest = Guest(server_id=server_id, name="again", memory_mib=128, vcpus=1, disks=(disk,))
    for _ in range(2):
        hypervisor.suspend(server_id)
        assert hypervisor.state(server_id) is hypervisor.guests()[server_id] is GuestState.SUSPENDED
    with pytest.raises(HypervisorError, match="suspended"):
        hypervisor.define(guest)
    with pytest.raises(HypervisorError, match="suspended"):
        hypervisor.attach(server_id, bench.disk())
    with pytest.raises(DetachRefused, match="suspended"):
        hypervisor.detach(server_id, disk.serial)
    hypervisor.start_guest(server_id)
    assert hypervisor.state(server_id) is GuestState.RUNNING
    assert bench.seen(server_id) == {disk.serial: (True, True)}

    hypervisor.suspend(server_id)
    hypervisor.stop_guest(server_id)
    assert hypervisor.state(server_id) is GuestState.SHUTOFF
    with pytest.raises(HypervisorError):
        hypervisor.suspend(server_id)
    hypervisor.define(guest)
    hypervisor.detach(server_id, disk.serial)
    assert bench.seen(server_id) == {}


def test_a_stopped_guest_is_started_by_reset_and_can_not_be_paused(bench: Bench) -> None:
    server = bench.guest(started=False)
    with pytest.raises(HypervisorError):
        bench.hypervisor.pause(server)
    with pytest.raises(HypervisorError):
        bench.hypervisor.resume(server)
    bench.hypervisor.reset(server)
    assert bench.hypervisor.state(server) is GuestState.RUNNING


def test_an_absent_guest_is_missing_to_some_verbs_and_done_to_others(bench: Bench) -> None:
    hypervisor, nobody = bench.hypervisor, str(uuid.uuid4())
    for verb in (hypervisor.start_guest, hypervisor.pause, hypervisor.resume, hypervisor.reset, hypervisor.disks):
        with pytest.raises(GuestMissing, match=nobody):
            verb(nobody)
    with pytest.raises(GuestMissing, match=nobody):
        hypervisor.attach(nobody, bench.disk())
    hypervisor.stop_guest(nobody)
    hypervisor.undefine(nobody)
    hypervisor.detach(nobody, str(uuid.uuid4()))
    hypervisor.disk_grew(nobody, str(uuid.uuid4()), 1 << 21)
    assert hypervisor.console_log(nobody) == ""
    assert hypervisor.state(nobody) is GuestState.ABSENT


def test_a_running_guest_is_defined_anew_only_as_it_is(bench: Bench) -> None:
    disk = bench.disk()
    server = bench.guest(disks=(disk,))
    same = Guest(server_id=server, name="other name", memory_mib=64, vcpus=1, disks=(disk,))
    bench.hypervisor.define(same)
    with pytest.raises(HypervisorError, match="running"):
        bench.hypervisor.define(msgspec.structs.replace(same, vcpus=2))
    bench.hypervisor.stop_guest(server)
    bench.hypervisor.define(msgspec.structs.replace(same, vcpus=2, disks=()))
    assert bench.hypervisor.disks(server) == []


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_a_disk_is_attached_and_detached_while_the_guest_is(bench: Bench, paused: bool) -> None:
    hypervisor, server, disk = bench.hypervisor, bench.guest(), bench.disk()
    if paused:
        hypervisor.pause(server)
    for _time in range(2):
        seen = hypervisor.attach(server, disk)
        assert (seen.serial, seen.live, seen.stored) == (disk.serial, True, True)
        assert hypervisor.disks(server) == [seen]
    for _time in range(2):
        hypervisor.detach(server, disk.serial)
        assert hypervisor.disks(server) == []


def test_a_disk_attached_to_a_stopped_guest_is_live_at_the_next_start(bench: Bench) -> None:
    hypervisor, server, disk, other = bench.hypervisor, bench.guest(started=False), bench.disk(), bench.disk()
    for _time in range(2):
        hypervisor.attach(server, disk)
        hypervisor.attach(server, other)
    assert bench.seen(server) == {disk.serial: (False, True), other.serial: (False, True)}
    hypervisor.detach(server, other.serial)
    hypervisor.start_guest(server)
    assert bench.seen(server) == {disk.serial: (True, True)}


def test_a_disk_survives_stop_and_start(bench: Bench) -> None:
    server, disk = bench.guest(), bench.disk()
    bench.hypervisor.attach(server, disk)
    bench.hypervisor.stop_guest(server)
    assert bench.seen(server) == {disk.serial: (False, True)}
    bench.hypervisor.start_guest(server)
    assert bench.seen(server) == {disk.serial: (True, True)}


@pytest.mark.parametrize("finish", ["attach", "complete", "detach"])
def test_a_disk_in_one_definition_only_is_finished_by_each_verb(bench: Bench, finish: str) -> None:
    server, disk = bench.guest(), bench.disk()
    bench.hypervisor.attach(server, disk)
    plan = faults.Plan()
    plan.fail("hypervisor.detach:live", OSError("the process ends here"))
    with faults.planned(plan), pytest.raises(HypervisorError):
        bench.hypervisor.detach(server, disk.serial)
    assert bench.seen(server) == {disk.serial: (False, True)}
    if finish == "detach":
        bench.hypervisor.detach(server, disk.serial)
        assert bench.seen(server) == {}
        return
    for _time in range(2):
        seen = getattr(bench.hypervisor, finish)(server, disk)
        assert (seen.serial, seen.live, seen.stored) == (disk.serial, True, True)
        assert bench.seen(server) == {disk.serial: (True, True)}


def test_completing_a_disk_adds_no_other_and_takes_none_away(bench: Bench) -> None:
    hypervisor, server, disk, other = bench.hypervisor, bench.guest(), bench.disk(), bench.disk()
    hypervisor.attach(server, disk)
    with pytest.raises(HypervisorError, match="already"):
        hypervisor.complete(server, msgspec.structs.replace(disk, connection_info=other.connection_info))
    assert hypervisor.complete(server, other) is None
    assert bench.seen(server) == {disk.serial: (True, True)}
    with pytest.raises(GuestMissing):
        hypervisor.complete(str(uuid.uuid4()), disk)


def test_a_paused_guest_says_why(bench: Bench) -> None:
    hypervisor, server = bench.hypervisor, bench.guest()
    assert hypervisor.pause_reason(server) is None
    hypervisor.pause(server)
    assert hypervisor.pause_reason(server) == "asked"
    hypervisor.resume(server)
    assert hypervisor.pause_reason(server) is None
    assert hypervisor.pause_reason(str(uuid.uuid4())) is None


def test_thirty_disks_fit_each_under_a_name_of_its_own(bench: Bench) -> None:
    hypervisor, server = bench.hypervisor, bench.guest()
    disks = [bench.disk() for _number in range(30)]
    names = {hypervisor.attach(server, disk).device for disk in disks}
    assert len(names) == 30
    assert bench.seen(server) == {disk.serial: (True, True) for disk in disks}
    hypervisor.stop_guest(server)
    hypervisor.start_guest(server)
    assert bench.seen(server) == {disk.serial: (True, True) for disk in disks}
    for disk in disks:
        hypervisor.detach(server, disk.serial)
    assert bench.seen(server) == {}


def test_disks_attached_at_the_same_time_do_not_meet(bench: Bench) -> None:
    server, disks = bench.guest(), [bench.disk() for _number in range(8)]
    threads = [threading.Thread(target=bench.hypervisor.attach, args=(server, disk)) for disk in disks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert bench.seen(server) == {disk.serial: (True, True) for disk in disks}
    assert len({disk.device for disk in bench.hypervisor.disks(server)}) == 8


def test_the_wished_device_name_is_kept_when_it_is_free(bench: Bench) -> None:
    server = bench.guest()
    first = msgspec.structs.replace(bench.disk(), device="/dev/sdf")
    second = msgspec.structs.replace(bench.disk(), device="/dev/sdf")
    assert bench.hypervisor.attach(server, first).device == "sdf"
    assert bench.hypervisor.attach(server, second).device == "sda"


def test_a_disk_of_an_unknown_kind_is_refused_naming_what_would_do(bench: Bench) -> None:
    server = bench.guest()
    disk = msgspec.structs.replace(bench.disk(), connection_info={"driver_volume_type": "carrier-pigeon", "data": {}})
    with pytest.raises(HypervisorError, match=r"carrier-pigeon.*local"):
        bench.hypervisor.attach(server, disk)
    assert bench.seen(server) == {}


def test_a_guest_that_keeps_the_disk_leaves_it_in_both_definitions(bench: Bench) -> None:
    hypervisor, server, disk = bench.hypervisor, bench.guest(), bench.disk(bus="virtio")
    hypervisor.attach(server, disk)
    if isinstance(hypervisor, MemoryHypervisor):
        hypervisor.behave(Behaviour(refuse_detach="the guest has not let go of it"))
    hypervisor.pause(server)  # a virtio-blk disk needs the guest's answer
    with pytest.raises(DetachRefused, match="still attached"):
        hypervisor.detach(server, disk.serial, deadline=0.5)
    assert bench.seen(server) == {disk.serial: (True, True)}
    hypervisor.stop_guest(server)
    hypervisor.detach(server, disk.serial)
    assert bench.seen(server) == {}


def test_guests_are_found_again_by_the_next_start(bench: Bench) -> None:
    hypervisor, server, disk = bench.hypervisor, bench.guest(), bench.disk()
    hypervisor.attach(server, disk)
    hypervisor.close()
    with pytest.raises(HypervisorDown):
        hypervisor.state(server)
    assert [problem.name for problem in hypervisor.check()] != []
    hypervisor.start()
    assert hypervisor.state(server) is GuestState.RUNNING
    hypervisor.detach(server, disk.serial)
    assert bench.seen(server) == {}


def test_a_failure_on_the_way_in_comes_as_a_hypervisor_error_and_the_same_again_succeeds(bench: Bench) -> None:
    server, disk = bench.guest(), bench.disk()
    for moment in ("before", "done"):
        plan = faults.Plan()
        plan.fail(f"hypervisor.attach:{moment}", OSError("injected"))
        with faults.planned(plan), pytest.raises(HypervisorError, match="injected"):
            bench.hypervisor.attach(server, disk)
    bench.hypervisor.attach(server, disk)
    assert bench.seen(server) == {disk.serial: (True, True)}


def test_no_call_is_stuck_when_none_is_under_way(bench: Bench) -> None:
    wait_until(lambda: bench.hypervisor.stuck_since() is None, 5, "no stuck call")
