"""The whole way with the stock clients and a real guest: one command starts the cloud, the last one reads the bill."""

import pytest

from tests.demo.first_volume import OLD, tell_old_bytes
from tests.demo.stage import Guest, Stage
from tests.demo.story_four import tell_refusal
from tests.demo.story_one import check_events, check_samples, next_second
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


def test_a_user_attaches_writes_snapshots_detaches_and_reads_the_bill(stage: Stage, guest: Guest) -> None:
    begin = next_second()
    volume = stage.volume("data")
    stage.attach(guest, "data", volume)
    stage.agree(guest, {volume})
    guest.write(volume, OLD)
    with stage.cloud.volume_file(volume).open("rb") as file:
        file.seek(4096)
        assert file.read(len(OLD)).decode() == OLD

    tell_old_bytes(stage, guest, volume)

    stage.detach(guest, "data", volume)
    stage.agree(guest, set())
    gone = stage.volume("gone", size=3)
    stage.demo.run("openstack volume delete gone")
    stage.eyes.wait_for_volume(gone, "gone")
    stage.demo.pumice(f"usage-audit --start_time '{begin}' --end_time '{next_second()}'")
    sizes = {volume: 1.0, gone: 3.0}
    check_events(stage, sizes)
    check_samples(stage, sizes)


def test_a_guest_and_its_volume_live_on_when_the_service_is_started_again(stage: Stage, guest: Guest) -> None:
    volume = stage.volume("kept")
    stage.attach(guest, "kept", volume)
    guest.write(volume, "before")
    process = stage.cloud.guest_process(guest.id)

    stage.cloud.stop()
    guest.write(volume, "while it was away", offset=8192)
    stage.cloud.start()

    assert stage.cloud.guest_process(guest.id) == process
    stage.agree(guest, {volume})
    assert guest.read(volume, 6) == "before"
    stage.detach(guest, "kept", volume)
    stage.agree(guest, set())


def test_a_killed_api_or_agent_is_started_again_and_the_work_goes_on(stage: Stage, guest: Guest) -> None:
    volume = stage.volume("through")
    killed = {name: stage.cloud.kill(name) for name in ("api", "agent")}
    wait_until(stage.cloud.healthy, 30, "the API answers again")
    stage.attach(guest, "through", volume)
    stage.agree(guest, {volume})
    stage.detach(guest, "through", volume)
    assert all(stage.cloud.wait_for_process(name) != pid for name, pid in killed.items())


def test_a_volume_that_qemu_refuses_is_available_again_and_the_reason_is_told(stage: Stage, guest: Guest) -> None:
    tell_refusal(stage, guest)
