"""Attaching and detaching volumes: stories 2, 3 and 4 with the hypervisor in memory, on both databases."""

import pytest

from pumice.block import attachments
from pumice.compute import servers
from pumice.compute.volume_attachments import (
    attach,
    attach_by_volume_action,
    detach,
    detach_by_volume_action,
    listed,
)
from pumice.errors import BadRequest, Conflict, NotFound
from pumice.hypervisors.memory import Behaviour
from pumice.operations import store
from tests.compute.cloud import ComputeCloud

pytestmark = pytest.mark.real


def test_an_attached_volume_is_in_the_guest_and_a_detached_one_is_not(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()

    asked = cloud.write(attach, cloud.member, server, volume)
    assert asked.mapping.device_name == "/dev/sdb"
    assert cloud.status(volume) == "attaching"
    cloud.settle()

    assert cloud.status(volume) == "in-use"
    seen = cloud.disks(server)[volume]
    assert (seen.live, seen.stored) == (True, True)
    found = cloud.attachment(volume)
    assert found is not None
    assert found.connection_info is not None and found.host == "node1" and found.device == "/dev/sdb"
    assert cloud.last_action(server) == ("attach_volume", None, "Success")

    cloud.write(detach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "available"
    assert volume not in cloud.disks(server)
    assert cloud.exports() == set()
    assert cloud.read(listed, cloud.member, server) == []
    assert cloud.last_action(server) == ("detach_volume", None, "Success")


def test_the_connection_info_is_kept_with_the_attachment_only(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    asked = cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    row = cloud.read(store.get, asked.operation.id)
    assert row is not None and row.results["export"] == {"host": "node1"}


def test_a_storm_without_any_pause_leaves_nothing_stuck(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    refused = 0
    with cloud.working():
        for _ in range(20):
            try:
                cloud.write(attach, cloud.member, server, volume)
            except BadRequest:
                refused += 1  # the detach before is still under way: said at once, nothing taken
                cloud.wait_idle()
                cloud.write(attach, cloud.member, server, volume)
            cloud.write(detach, cloud.member, server, volume)
        cloud.wait_idle()
    assert cloud.status(volume) == "available"
    assert volume not in cloud.disks(server)
    assert cloud.exports() == set()
    assert cloud.messages(volume) == []


def test_a_detach_asked_before_the_attach_has_begun_undoes_it(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.write(detach, cloud.member, server, volume)
    with pytest.raises(Conflict, match="is being detached"):
        cloud.write(detach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "available"
    assert cloud.disks(server) == {} and cloud.exports() == set()


def test_a_refused_attach_says_why_where_the_user_looks(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.simulator.behave(Behaviour(refuse_attach="error reading header"))
    asked = cloud.write(attach, cloud.member, server, volume)
    cloud.settle()

    assert cloud.status(volume) == "available"
    assert cloud.exports() == set() and cloud.disks(server) == {}
    action, message, result = cloud.last_action(server)
    assert (action, result) == ("attach_volume", "Error")
    assert message is not None and message.endswith("error reading header")
    assert cloud.messages(volume) == [f"attach volume: {message}"]
    assert asked.operation.kind == "server.attach_volume"
    assert cloud.read(listed, cloud.member, server) == []

    cloud.simulator.behave(Behaviour())
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use"


def test_a_guest_that_does_not_let_go_keeps_its_volume(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    cloud.simulator.behave(Behaviour(refuse_detach="mounted"))
    cloud.write(detach, cloud.member, server, volume)
    cloud.settle()

    assert cloud.status(volume) == "in-use"
    assert cloud.disks(server)[volume].live
    assert cloud.exports() == {volume}
    assert cloud.last_action(server)[2] == "Error"
    assert any("mounted" in message for message in cloud.messages(volume))

    cloud.simulator.behave(Behaviour())
    cloud.write(detach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "available"


def test_a_guest_that_does_not_let_go_cannot_keep_its_server_from_being_deleted(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    cloud.simulator.behave(Behaviour(refuse_detach="mounted"))
    cloud.write(detach, cloud.member, server, volume)
    cloud.write(servers.delete, cloud.member, server)
    cloud.settle()
    assert (cloud.found(server).status, cloud.status(volume)) == ("DELETED", "available")
    assert cloud.exports() == set() and cloud.hypervisor.guests() == {}


def test_a_stopped_server_has_the_volume_at_its_next_start(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(servers.power, cloud.member, server, "stop")
    cloud.settle()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "in-use"
    seen = cloud.disks(server)[volume]
    assert (seen.live, seen.stored) == (False, True)

    cloud.write(servers.power, cloud.member, server, "start")
    cloud.settle()
    assert cloud.disks(server)[volume].live


def test_what_cannot_be_attached_is_refused_at_once(cloud: ComputeCloud) -> None:
    server, other, volume = cloud.server(), cloud.server(), cloud.volume()
    stranger = cloud.caller()
    missing = "00000000-0000-4000-8000-000000000000"
    for who, where, what, error, words in (
        (cloud.member, server, missing, NotFound, "Volume"),
        (cloud.member, missing, volume, NotFound, "Server"),
        (stranger, server, volume, NotFound, "Server"),
    ):
        with pytest.raises(error, match=words):
            cloud.write(attach, who, where, what)
    cloud.write(attach, cloud.member, server, volume, device="/dev/vdq")
    cloud.settle()
    with pytest.raises(BadRequest, match="already"):
        cloud.write(attach, cloud.member, server, volume)
    with pytest.raises(BadRequest, match="in-use"):
        cloud.write(attach, cloud.member, other, volume)
    with pytest.raises(Conflict, match="/dev/vdq is taken"):
        cloud.write(attach, cloud.member, server, cloud.volume(), device="/dev/vdq")
    with pytest.raises(NotFound):
        cloud.write(detach, cloud.member, other, volume)


def test_a_server_that_is_being_deleted_takes_no_volume(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(servers.delete, cloud.member, server)
    with pytest.raises(Conflict, match="deleting"):
        cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    assert cloud.status(volume) == "available"


def test_the_volume_action_attaches_really_or_not_at_all(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    unknown = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(NotFound, match=unknown):
        cloud.write(attach_by_volume_action, cloud.member, volume, unknown, "/dev/vdx", None)
    assert cloud.status(volume) == "available"

    cloud.write(attach_by_volume_action, cloud.member, volume, server, "/dev/vdx", "rw")
    cloud.settle()
    found = cloud.attachment(volume)
    assert found is not None and (found.origin, found.device) == ("os-attach", "/dev/vdx")
    assert cloud.disks(server)[volume].live

    cloud.write(detach_by_volume_action, cloud.member, volume)
    cloud.settle()
    assert cloud.status(volume) == "available"
    assert volume not in cloud.disks(server)


def test_another_compute_service_records_its_own_server(cloud: ComputeCloud) -> None:
    volume, unknown = cloud.volume(), "00000000-0000-4000-8000-000000000000"
    assert cloud.write(attach_by_volume_action, cloud.service, volume, unknown, "/dev/vdx", None) is None
    assert cloud.status(volume) == "in-use"
    assert cloud.write(detach_by_volume_action, cloud.service, volume) is None
    assert cloud.status(volume) == "available"


def test_what_compute_attached_is_not_taken_by_a_volume_action(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(attach, cloud.member, server, volume)
    cloud.settle()
    with pytest.raises(Conflict, match=server):
        cloud.write(detach_by_volume_action, cloud.member, volume)
    found = cloud.attachment(volume)
    assert found is not None
    with pytest.raises(Conflict, match="detach it from the server"):
        cloud.write(attachments.disconnect, cloud.member, found.id)
    assert cloud.status(volume) == "in-use"


def test_a_read_only_attachment_is_read_only_in_the_guest(cloud: ComputeCloud) -> None:
    server, volume = cloud.server(), cloud.volume()
    cloud.write(attach_by_volume_action, cloud.member, volume, server, None, "ro")
    cloud.settle()
    assert cloud.simulator._held.guests[server].disks[volume].disk.read_only
