"""The reconciler: each difference between rows, guests, exports and pools is found, mended, and not found again."""

from typing import Any

import pytest
from sqlalchemy import delete, select, update

from pumice.block import holds, messages
from pumice.block.holds import KEPT
from pumice.caller import new_id
from pumice.clock import HOUR
from pumice.compute import servers as server_functions
from pumice.compute import volume_attachments
from pumice.db.schema import (
    attachments,
    block_device_mappings,
    events,
    operation_resources,
    operations,
    servers,
    snapshots,
    volume_holds,
)
from pumice.db.schema import volumes as volume_rows
from pumice.hypervisors.contract import Disk, Guest, GuestState
from pumice.reconcile.model import CHECKS, Options
from pumice.reconcile.repairs import REPAIRS
from pumice.storage.contract import Location
from pumice.targets.contract import Connector
from tests.block.cloud import BACKEND, HOST
from tests.reconcile.cloud import COMMAND, Cloud

pytestmark = pytest.mark.real


def names(cloud: Cloud) -> list[str]:
    return [finding.name for finding in cloud.look()]


def test_every_finding_has_a_repair_or_is_for_a_person() -> None:
    assert set(REPAIRS) == {name for name, check in CHECKS.items() if check.who != "nobody"} | {
        "attachment-server-unknown"
    }


def test_a_healthy_cloud_has_no_findings(cloud: Cloud) -> None:
    server_id = cloud.server()
    cloud.attached(server_id)
    cloud.volume()
    assert cloud.look() == []


# ---- story 2


def test_story_2_rows_are_healed_by_one_command(cloud: Cloud) -> None:
    """In-use by a server that never was; in-use with no attachment; attaching and detaching for ever."""
    phantom, lonely, attaching, detaching = (cloud.volume() for _ in range(4))
    ghost = new_id()
    cloud.seed_attachment(phantom, ghost)
    cloud.sql(lonely, status="in-use", attach_status="attached")
    cloud.sql(attaching, status="attaching", attach_status="attaching")
    cloud.sql(detaching, status="detaching")
    assert sorted(names(cloud)) == ["attachment-server-gone", *["status-stale"] * 3]

    cloud.heal()

    assert [cloud.status(one) for one in (phantom, lonely, attaching, detaching)] == ["available"] * 4
    assert cloud.look() == []
    cloud.assert_derived()


def test_the_release_is_an_event_and_a_message(cloud: Cloud) -> None:
    volume_id, ghost = cloud.volume(), new_id()
    attachment_id = cloud.seed_attachment(volume_id, ghost)
    cloud.heal()
    with cloud.database.read() as tx:
        types = set(tx.execute(select(events.c.event_type).where(events.c.resource_id == attachment_id)).scalars())
        ended = set(tx.execute(select(events.c.event_type).where(events.c.resource_id == volume_id)).scalars())
    assert types == {"attachment.reconcile"}
    assert "volume.detach.end" in ended
    (message,) = cloud.read(messages.page, cloud.member, {}).items
    assert ghost in message.user_message
    assert "does not exist" in message.user_message


def test_an_exported_volume_of_a_deleted_server_goes_through_the_disconnect_path(cloud: Cloud) -> None:
    server_id = cloud.server()
    volume_id = cloud.attached(server_id)
    assert len(cloud.target.exports()) == 1
    with cloud.database.write() as tx:
        gone = {"life": "gone", "power": "none", "deleted_at": tx.now}
        gone |= {"status": "DELETED", "vm_state": "deleted", "task_state": None}
        tx.execute(update(servers).where(servers.c.id == server_id).values(**gone))
    outcomes = {one.finding.name: one.state for one in cloud.heal()}
    assert outcomes["attachment-server-gone"] == "queued"
    assert cloud.status(volume_id) == "available"
    assert cloud.target.exports() == []
    cloud.heal()
    assert cloud.hypervisor.state(server_id) is GuestState.ABSENT
    assert cloud.look() == []


def test_nothing_is_changed_by_looking(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    cloud.seed_attachment(volume_id, new_id())
    cloud.heal(Options(dry_run=True, by_command=True))
    assert cloud.status(volume_id) == "in-use"
    assert names(cloud) == ["attachment-server-gone"]


def test_what_an_outside_caller_has_just_reserved_is_left_alone(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    now = cloud.database.clock.now()
    attachment_id = cloud.seed_attachment(volume_id, new_id(), origin="external", created_at=now)
    assert names(cloud) == []
    with cloud.database.write() as tx:
        tx.execute(update(attachments).where(attachments.c.id == attachment_id).values(created_at=now - HOUR))
    assert names(cloud) == ["attachment-server-gone"]


def test_a_connected_outside_host_is_only_reported(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    connected = {"origin": "external", "host": HOST, "connection_info": {"driver_volume_type": "local", "data": {}}}
    attachment_id = cloud.seed_attachment(volume_id, new_id(), **connected)
    cloud.target.connect(volume_id, attachment_id, cloud.storage.locate(volume_id), Connector(host=HOST), False)
    (outcome,) = cloud.heal()
    assert (outcome.finding.name, outcome.state) == ("attachment-server-unknown", "found")
    assert cloud.status(volume_id) == "in-use"
    cloud.heal(Options(by_command=True, release_unknown=True))
    assert cloud.status(volume_id) == "available"


def test_live_operations_are_left_alone(cloud: Cloud) -> None:
    """The deletion of a server is under way: its attachment is the operation's, not the reconciler's."""
    server_id = cloud.server()
    cloud.attached(server_id)
    cloud.write(server_functions.delete, cloud.member, server_id)
    assert cloud.look() == []
    cloud.drain()
    assert cloud.look() == []


# ---- rows


def test_a_half_made_volume_nobody_makes_turns_to_error(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    cloud.sql(volume_id, life="making", status="creating")
    assert names(cloud) == ["volume-unfinished"]
    cloud.heal()
    assert cloud.status(volume_id) == "error"
    assert cloud.look() == []


def test_a_deletion_nobody_does_is_done(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    cloud.sql(volume_id, life="going", status="deleting")
    assert names(cloud) == ["volume-unfinished"]
    cloud.heal()
    assert cloud.status(volume_id) == "deleted"
    assert list(cloud.storage.volumes()) == []


def test_a_half_made_server_and_its_deletion(cloud: Cloud) -> None:
    server_id = cloud.server(life="going", task_state="deleting")
    assert names(cloud) == ["server-unfinished"]
    cloud.heal()
    assert cloud.hypervisor.state(server_id) is GuestState.ABSENT
    assert cloud.look() == []


def test_a_half_made_snapshot_turns_to_error(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    row: dict[str, Any] = {
        "id": new_id(),
        "volume_id": volume_id,
        "project_id": cloud.member.project_id,
        "user_id": cloud.member.user_id,
        "size": 1,
        "backend": BACKEND,
        "metadata": {},
        "consumes_quota": True,
        "life": "making",
        "status": "creating",
        "created_at": 1,
    }
    cloud.insert(snapshots, row)
    assert names(cloud) == ["snapshot-unfinished"]
    cloud.heal()
    assert cloud.look() == []


def test_an_attach_that_lost_its_operation_is_released(cloud: Cloud) -> None:
    volume_id, server_id = cloud.volume(), cloud.server()
    cloud.seed_attachment(volume_id, server_id, stage="reserved", attach_status="reserved", origin="compute")
    assert "attachment-unfinished" in names(cloud)
    cloud.heal()
    assert cloud.status(volume_id) == "available"
    assert cloud.look() == []


def test_a_list_of_disks_gets_what_is_attached_and_loses_what_is_not(cloud: Cloud) -> None:
    server_id = cloud.server()
    volume_id = cloud.attached(server_id)
    with cloud.database.write() as tx:
        tx.execute(delete(block_device_mappings))
    assert names(cloud) == ["attachment-without-mapping"]
    cloud.heal()
    assert cloud.mappings(server_id) == [volume_id]
    assert cloud.look() == []
    with cloud.database.write() as tx:
        tx.execute(update(block_device_mappings).values(volume_id=new_id(), attachment_id=new_id()))
    assert sorted(names(cloud)) == ["attachment-without-mapping", "mapping-without-attachment"]
    cloud.heal()
    assert cloud.look() == []


def test_a_hold_ends_when_its_time_is_over(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    cloud.write(holds.reserve, cloud.member, volume_id)
    assert names(cloud) == []
    with cloud.database.write() as tx:
        tx.execute(update(volume_holds).values(expires_at=tx.now - KEPT))
    assert names(cloud) == ["hold-expired"]
    cloud.heal()
    assert cloud.status(volume_id) == "available"


def test_stale_words_of_snapshots_servers_and_attachments(cloud: Cloud) -> None:
    server_id = cloud.server()
    cloud.attached(server_id)
    with cloud.database.write() as tx:
        tx.execute(update(servers).values(status="REBOOT", task_state="rebooting"))
        tx.execute(update(attachments).values(attach_status="attaching"))
    assert names(cloud) == ["status-stale", "status-stale"]
    cloud.heal()
    assert cloud.look() == []


def test_what_a_migration_left_and_a_detach_that_waits_are_not_stale(cloud: Cloud) -> None:
    server_id = cloud.server()
    volume_id, moved = cloud.attached(server_id), cloud.volume()
    cloud.sql(moved, migration="success", migration_status="success")
    cloud.write(volume_attachments.detach, cloud.member, server_id, volume_id)
    assert cloud.status(volume_id) == "detaching"
    assert cloud.look() == []


# ---- the hypervisor


def test_a_disk_that_is_not_in_the_guest_is_released(cloud: Cloud) -> None:
    server_id = cloud.server()
    volume_id = cloud.attached(server_id)
    cloud.hypervisor.detach(server_id, volume_id)
    assert names(cloud) == ["disk-missing"]
    cloud.heal()
    assert cloud.status(volume_id) == "available"
    assert cloud.mappings(server_id) == []
    assert cloud.look() == []


def test_a_leaked_disk_is_taken_out(cloud: Cloud) -> None:
    server_id, volume_id = cloud.server(), cloud.volume()
    info = {"driver_volume_type": "local", "data": {"device_path": "/dev/null"}}
    cloud.hypervisor.attach(server_id, Disk(serial=volume_id, connection_info=info))
    assert names(cloud) == ["disk-left-over"]
    cloud.heal()
    assert cloud.hypervisor.disks(server_id) == []
    assert cloud.look() == []


def test_an_unknown_guest_is_reported_and_kept(cloud: Cloud) -> None:
    stranger = new_id()
    cloud.hypervisor.define(Guest(server_id=stranger, name="x", memory_mib=64, vcpus=1))
    (outcome,) = cloud.heal()
    assert (outcome.finding.name, outcome.state) == ("guest-unknown", "found")
    assert cloud.hypervisor.state(stranger) is GuestState.SHUTOFF


def test_a_server_without_a_guest_is_reported(cloud: Cloud) -> None:
    server_id = cloud.server()
    cloud.hypervisor.undefine(server_id)
    assert names(cloud) == ["guest-missing"]


# ---- exports and pools


def test_a_leaked_export_is_taken_away(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    location = Location(kind="file", path="/dev/null", size_bytes=1)
    cloud.target.connect(volume_id, new_id(), location, Connector(host=HOST), False)
    assert names(cloud) == ["export-left-over"]
    cloud.heal()
    assert cloud.target.exports() == []


def test_data_without_a_row_is_reported_and_never_deleted(cloud: Cloud) -> None:
    stranger = new_id()
    cloud.storage.create(stranger, 1 << 30, 1)
    (outcome,) = cloud.heal()
    assert (outcome.finding.name, outcome.state) == ("volume-data-unknown", "found")
    assert [one.volume_id for one in cloud.storage.volumes()] == [stranger]


def test_data_of_a_deleted_volume_is_removed(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    cloud.sql(volume_id, life="gone", status="deleted", deleted_at=1)
    assert names(cloud) == ["volume-data-left-over"]
    cloud.heal()
    assert list(cloud.storage.volumes()) == []


def test_a_volume_without_data_is_error_until_its_data_is_back(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    cloud.storage.delete(volume_id)
    assert names(cloud) == ["volume-data-missing"]
    cloud.heal()
    assert cloud.status(volume_id) == "error"
    assert cloud.look() == []
    cloud.storage.create(volume_id, 1 << 30, 1)
    cloud.heal()
    assert cloud.status(volume_id) == "available"


def test_no_volume_is_gone_while_its_pool_is_away(cloud: Cloud) -> None:
    volume_id = cloud.volume()
    cloud.storage.away = True
    (outcome,) = cloud.heal()
    assert (outcome.finding.name, outcome.state) == ("pool-down", "found")
    assert cloud.status(volume_id) == "available"


def test_a_finding_that_was_mended_meanwhile_is_left(cloud: Cloud) -> None:
    from pumice.reconcile.repairs import repair

    volume_id = cloud.volume()
    cloud.seed_attachment(volume_id, new_id())
    (finding,) = cloud.look()
    cloud.heal()
    assert repair(cloud.database, finding, COMMAND).state == "left"


def test_no_operation_is_left_behind(cloud: Cloud) -> None:
    cloud.seed_attachment(cloud.volume(), new_id())
    cloud.heal()
    with cloud.database.read() as tx:
        assert tx.execute(select(operation_resources)).all() == []
        assert set(tx.execute(select(operations.c.state)).scalars()) <= {"done"}
        assert tx.execute(select(volume_rows.c.status)).scalars().all() == ["available"]
