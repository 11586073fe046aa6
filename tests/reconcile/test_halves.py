"""What is there by half: a disk in one of a guest's two definitions, an export that went, a guest that stands still."""

from typing import Any

import pytest
from sqlalchemy import select, update

from pumice.compute import instance_actions
from pumice.compute import servers as server_functions
from pumice.compute.operations.observe import observe_guests
from pumice.compute.volume_attachments import detach
from pumice.db.schema import attachments, block_device_mappings, operations, servers
from pumice.hypervisors.contract import Disk, GuestState
from pumice.hypervisors.memory import Behaviour
from pumice.reconcile.model import Options
from pumice.reconcile.repairs import repair
from tests.reconcile.cloud import COMMAND, Cloud

pytestmark = pytest.mark.real


@pytest.fixture
def running(cloud: Cloud) -> str:
    """A server that is ACTIVE, with its guest."""
    server_id = cloud.server(power="on", status="ACTIVE", vm_state="active")
    cloud.hypervisor.start_guest(server_id)
    return server_id


def names(cloud: Cloud) -> list[str]:
    return [finding.name for finding in cloud.look()]


def halves(cloud: Cloud, server_id: str) -> dict[str, tuple[bool, bool]]:
    """(live, stored) of each disk."""
    return {disk.serial: (disk.live, disk.stored) for disk in cloud.hypervisor.disks(server_id)}


def the_attachment(cloud: Cloud) -> Any:
    with cloud.database.read() as tx:
        return tx.execute(select(attachments).where(attachments.c.deleted_at.is_(None))).one()


def last_error(cloud: Cloud) -> str | None:
    with cloud.database.read() as tx:
        statement = select(operations.c.error).where(operations.c.kind == "reconcile.mend")
        error: str | None = tx.execute(statement.order_by(operations.c.created_at.desc()).limit(1)).scalar_one()
        return error


def found(cloud: Cloud, server_id: str) -> Any:
    with cloud.database.read() as tx:
        return tx.execute(select(servers).where(servers.c.id == server_id)).one()


# ---- disks


@pytest.mark.parametrize(("live", "stored"), [(True, False), (False, True)], ids=["live only", "stored only"])
def test_a_disk_in_one_definition_is_put_into_both(cloud: Cloud, running: str, live: bool, stored: bool) -> None:
    volume_id = cloud.attached(running)
    cloud.hypervisor.halve(running, volume_id, live=live, stored=stored)
    (finding,) = cloud.look()
    assert (finding.name, finding.resource_id) == ("disk-half-there", the_attachment(cloud).id)
    assert (finding.evidence["live"], finding.evidence["stored"]) == (live, stored)
    assert finding.evidence["server_id"] == running and volume_id in finding.sentence

    (outcome,) = cloud.heal()
    assert outcome.state == "queued"
    assert halves(cloud, running) == {volume_id: (True, True)}
    assert cloud.status(volume_id) == "in-use" and cloud.look() == []
    cloud.assert_derived()


def test_of_a_guest_that_is_off_the_stored_definition_is_enough(cloud: Cloud) -> None:
    server_id = cloud.server()
    volume_id = cloud.attached(server_id)
    assert halves(cloud, server_id) == {volume_id: (False, True)}
    assert cloud.look() == []


def test_a_disk_that_cannot_be_completed_is_not_taken_away(cloud: Cloud, running: str) -> None:
    """The guest may be writing to it."""
    volume_id = cloud.attached(running)
    cloud.hypervisor.halve(running, volume_id, live=True, stored=False)
    cloud.hypervisor.behave(Behaviour(refuse_attach="no room for it"))
    cloud.heal()
    assert halves(cloud, running) == {volume_id: (True, False)}
    assert "no room for it" in str(last_error(cloud))
    assert cloud.status(volume_id) == "in-use" and names(cloud) == ["disk-half-there"]


def test_a_disk_being_detached_is_left_to_its_detach(cloud: Cloud, running: str) -> None:
    volume_id = cloud.attached(running)
    cloud.write(detach, cloud.member, running, volume_id)
    cloud.hypervisor.halve(running, volume_id, live=False, stored=True)
    assert cloud.look() == []
    cloud.drain()
    assert (cloud.status(volume_id), halves(cloud, running)) == ("available", {})


def test_an_unlisted_half_disk_is_listed_and_then_completed(cloud: Cloud, running: str) -> None:
    volume_id = cloud.attached(running)
    with cloud.database.write() as tx:
        tx.execute(update(block_device_mappings).values(deleted_at=tx.now))
    cloud.hypervisor.halve(running, volume_id, live=True, stored=False)
    assert sorted(names(cloud)) == ["attachment-without-mapping", "disk-half-there"]
    cloud.heal()
    assert cloud.look() == [] and halves(cloud, running) == {volume_id: (True, True)}


def test_a_leaked_disk_in_the_stored_definition_only_is_taken_out(cloud: Cloud, running: str) -> None:
    volume_id = cloud.volume()
    info = {"driver_volume_type": "local", "data": {"device_path": "/dev/null"}}
    cloud.hypervisor.attach(running, Disk(serial=volume_id, connection_info=info))
    cloud.hypervisor.halve(running, volume_id, live=False, stored=True)
    assert names(cloud) == ["disk-left-over"]
    cloud.heal()
    assert halves(cloud, running) == {} and cloud.look() == []


# ---- exports


def test_an_export_that_went_is_there_again(cloud: Cloud, running: str) -> None:
    volume_id = cloud.attached(running)
    before, (export,) = the_attachment(cloud), cloud.target.exports()
    cloud.target.disconnect(volume_id, before.id)
    (finding,) = cloud.look()
    assert (finding.name, finding.resource_id) == ("export-missing", before.id)
    assert volume_id in finding.sentence and finding.evidence["server_id"] == running

    cloud.heal()
    assert cloud.target.exports() == [export]
    assert the_attachment(cloud).connection_info == before.connection_info
    assert cloud.look() == []


def test_what_would_be_exported_in_another_way_is_only_reported(cloud: Cloud, running: str) -> None:
    volume_id = cloud.attached(running)
    attachment = the_attachment(cloud)
    cloud.target.disconnect(volume_id, attachment.id)
    other = {**attachment.connection_info, "data": {**attachment.connection_info["data"], "device_path": "/dev/old"}}
    with cloud.database.write() as tx:
        tx.execute(update(attachments).values(connection_info=other))
    cloud.heal()
    assert cloud.target.exports() == []
    assert "in another way: detach the volume and attach it again" in str(last_error(cloud))
    assert the_attachment(cloud).connection_info == other
    assert (names(cloud), cloud.status(volume_id)) == (["export-missing"], "in-use")


def test_without_a_recorded_connector_nothing_is_exported(cloud: Cloud, running: str) -> None:
    volume_id = cloud.attached(running)
    cloud.target.disconnect(volume_id, the_attachment(cloud).id)
    with cloud.database.write() as tx:
        tx.execute(update(attachments).values(connector=None))
    cloud.heal()
    assert cloud.target.exports() == [] and names(cloud) == ["export-missing"]
    assert "connector" in str(last_error(cloud))


def test_an_export_that_is_being_taken_away_is_left_to_that(cloud: Cloud, running: str) -> None:
    volume_id = cloud.attached(running)
    cloud.write(detach, cloud.member, running, volume_id)
    cloud.target.disconnect(volume_id, the_attachment(cloud).id)
    assert cloud.look() == []


def test_of_two_repairs_of_one_attachment_the_second_comes_next_time(cloud: Cloud, running: str) -> None:
    volume_id = cloud.attached(running)
    cloud.hypervisor.halve(running, volume_id, live=True, stored=False)
    cloud.target.disconnect(volume_id, the_attachment(cloud).id)
    assert [one.state for one in cloud.heal()] == ["queued", "failed"]
    assert [one.state for one in cloud.heal()] == ["queued"]
    assert cloud.look() == []


# ---- guests that stand still


@pytest.mark.parametrize("observed", [False, True], ids=["still ACTIVE", "observed to be PAUSED"])
def test_a_guest_that_an_io_error_stopped_goes_on_by_command(cloud: Cloud, running: str, observed: bool) -> None:
    cloud.hypervisor.stall(running, "io-error")
    if observed:
        assert observe_guests(cloud.database, cloud.world) == [running]
    (finding,) = cloud.look()
    assert (finding.name, finding.resource_id) == ("guest-paused", running)
    assert finding.evidence["reason"] == "io-error" and "io-error" in finding.sentence

    (outcome,) = cloud.heal(Options())  # the periodic job only reports it
    assert outcome.state == "found" and "make room" in outcome.note
    assert cloud.hypervisor.state(running) is GuestState.PAUSED

    cloud.heal()
    assert cloud.hypervisor.state(running) is GuestState.RUNNING
    assert found(cloud, running).status == "ACTIVE" and cloud.look() == []


def test_a_pause_that_somebody_left_behind_ends(cloud: Cloud, running: str) -> None:
    """It looks like a user's pause, and was soon observed to be one; the server's actions know of none."""
    with cloud.database.write() as tx:
        instance_actions.record_done(tx, running, "create", "compute__do_build", caller=cloud.member)
    cloud.hypervisor.pause(running)
    assert names(cloud) == ["guest-paused"]
    observe_guests(cloud.database, cloud.world)
    assert found(cloud, running).status == "PAUSED"
    assert names(cloud) == ["guest-paused"]
    cloud.heal()
    assert found(cloud, running).status == "ACTIVE" and cloud.look() == []
    assert cloud.hypervisor.state(running) is GuestState.RUNNING


def test_what_a_user_paused_or_suspended_stays_so(cloud: Cloud, running: str) -> None:
    for action, state in (("pause", GuestState.PAUSED), ("unpause", None), ("suspend", GuestState.SUSPENDED)):
        cloud.write(server_functions.power, cloud.member, running, action)
        assert cloud.look() == []
        cloud.drain()
        assert cloud.heal() == []
        assert cloud.hypervisor.state(running) is (state or GuestState.RUNNING)


def test_an_old_pause_whose_action_is_forgotten_stays_so(cloud: Cloud) -> None:
    server_id = cloud.server(power="paused", status="PAUSED", vm_state="paused")
    cloud.hypervisor.start_guest(server_id)
    cloud.hypervisor.pause(server_id)
    assert cloud.heal() == []
    assert cloud.hypervisor.state(server_id) is GuestState.PAUSED


def test_a_guest_that_its_user_pauses_before_the_repair_stays_so(cloud: Cloud, running: str) -> None:
    cloud.hypervisor.pause(running)
    (finding,) = cloud.look()
    cloud.write(server_functions.power, cloud.member, running, "pause")
    cloud.drain()
    assert repair(cloud.database, finding, COMMAND).state == "queued"
    cloud.drain()
    assert cloud.hypervisor.state(running) is GuestState.PAUSED
    assert found(cloud, running).status == "PAUSED"


def test_a_guest_that_sleeps_by_itself_is_none(cloud: Cloud, running: str) -> None:
    cloud.hypervisor.stall(running, "asleep")
    assert cloud.look() == []


def test_a_guest_that_an_operation_is_about_is_left_alone(cloud: Cloud, running: str) -> None:
    cloud.write(server_functions.power, cloud.member, running, "stop")
    cloud.hypervisor.pause(running)
    assert cloud.look() == []
    cloud.drain()
    assert cloud.hypervisor.state(running) is GuestState.SHUTOFF and cloud.look() == []
