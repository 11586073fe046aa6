"""The fault campaign on compute's operations: every step twice, failed, killed, cancelled; another worker finishes.

The pool, the target's records and the hypervisor live in files, so that they outlive a killed worker.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pumice.block import queries as block_queries
from pumice.block import services, volume_types
from pumice.block.operations import OPERATIONS as BLOCK_OPERATIONS
from pumice.block.operations.create_snapshot import CREATE_SNAPSHOT
from pumice.block.operations.extend_volume import EXTEND_VOLUME
from pumice.block.services import PoolReport
from pumice.block.snapshots import create as create_snapshot
from pumice.block.volume_creation import Wanted
from pumice.block.volume_creation import create as create_volume
from pumice.block.volumes import extend as extend_volume
from pumice.caller import Caller, new_request_id
from pumice.compute import (
    flavors,
    hosts,
    instance_actions,
    keypairs,
    queries,
    server_creation,
    servers,
    volume_attachments,
)
from pumice.compute.model import WantedDisk, WantedServer
from pumice.compute.operations import OPERATIONS
from pumice.compute.operations.attach_volume import ATTACH_VOLUME
from pumice.compute.operations.create_server import CREATE_SERVER
from pumice.compute.operations.delete_server import DELETE_SERVER
from pumice.compute.operations.detach_volume import DETACH_VOLUME
from pumice.compute.operations.observe import POWER, observe_guests
from pumice.compute.operations.power_server import (
    HARD_REBOOT_SERVER,
    PAUSE_SERVER,
    REBOOT_SERVER,
    RESUME_SERVER,
    START_SERVER,
    STOP_SERVER,
    SUSPEND_SERVER,
    UNPAUSE_SERVER,
)
from pumice.compute.operations.read_console import READ_CONSOLE
from pumice.db.engine import Database
from pumice.db.schema import images
from pumice.db.schema import servers as server_rows
from pumice.db.schema import volumes as volume_rows
from pumice.hypervisors.contract import GuestState
from pumice.hypervisors.memory import MemoryHypervisor
from pumice.images.store import ImageStore
from pumice.operations import store
from pumice.operations.model import Registry
from pumice.operations.sessions import WorkerSession
from pumice.operations.worker import Worker
from pumice.operations.world import Backend, World
from pumice.storage.config import PoolConfig
from pumice.storage.contract import GIB
from pumice.storage.file import FileDriver
from pumice.targets.config import TargetConfig
from pumice.targets.local import LocalTarget
from tests.operations.harness import ORDEALS, Campaign, Drills, OperationCase, census_of_backends, create_schema
from tests.support.databases import Databases
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

BACKEND = "this-host@file"
IMAGE = "11111111-1111-4111-8111-111111111111"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1G6Xv0Uoe1KZV6dVHrm4Mdu8pNJ1vR7eMaQvqGqzyF me@here"
KERNEL = "22222222-2222-4222-8222-222222222222"
MEMBER = Caller(
    request_id=new_request_id(),
    user_id="33333333-3333-4333-8333-333333333333",
    project_id="44444444-4444-4444-8444-444444444444",
    roles=frozenset({"member"}),
)
PLACES = [f"backend:{BACKEND}", "host:this-host"]
REGISTRY = Registry()
REGISTRY.add(*BLOCK_OPERATIONS, *OPERATIONS)


def open_world(directory: Path) -> World:
    config = PoolConfig(name="file", path=str(directory / "pool"), record_path=str(directory / "pool.json"))
    storage = FileDriver(config)
    storage.start()
    target = LocalTarget(TargetConfig(name="file", host="this-host", directory=str(directory / "exports")))
    target.start()
    hypervisor = MemoryHypervisor(host="this-host", path=directory / "hypervisor.json")
    hypervisor.start()
    backend = Backend(BACKEND, f"{BACKEND}#pool", "file", "nova", storage, target)
    store_of_images = ImageStore(directory / "images")
    return World(
        host="this-host",
        backends={BACKEND: backend},
        hypervisor=hypervisor,
        images=store_of_images,
        servers=directory / "servers",
    )


def close_world(world: World) -> None:
    assert world.images is not None and world.hypervisor is not None
    world.images.close()
    world.hypervisor.close()
    for backend in world.backends.values():
        assert isinstance(backend.storage, FileDriver)
        backend.storage.close()


def census(world: World) -> Any:
    """What the backends hold and export, the guests with their disks, the servers' own files. Whether a guest runs is
    no part of it: power is not turned back, it is observed."""
    assert isinstance(world.hypervisor, MemoryHypervisor) and world.servers is not None
    guests = {one: sorted(disk.serial for disk in world.hypervisor.disks(one)) for one in world.hypervisor.guests()}
    files = sorted(path.name for path in world.servers.iterdir()) if world.servers.exists() else []
    return census_of_backends(world), guests, files


def prepare_cloud(database: Database, world: World) -> None:
    """Types, flavors, a pool and a host that have reported, a kernel image with its bytes."""
    assert world.hypervisor is not None and world.images is not None
    world.images.directory.mkdir()
    for image_id in (IMAGE, KERNEL):
        world.images.path(image_id).write_bytes(b"k" * 100)
    with database.write() as tx:
        volume_types.ensure_default(tx)
        flavors.ensure_defaults(tx)
        services.report_service(tx, services.VOLUME_BINARY, BACKEND, "nova", [])
        services.report_pool(
            tx,
            PoolReport(
                name=f"{BACKEND}#pool",
                backend=BACKEND,
                backend_name="file",
                capabilities={},
                total_bytes=100 * GIB,
                free_bytes=100 * GIB,
                allocated_bytes=0,
            ),
        )
        hosts.report(tx, hosts.HostReport(**msgspec.structs.asdict(world.hypervisor.host_info())), [])
        for image_id in (IMAGE, KERNEL):
            tx.execute(images.insert(), _image(image_id))


def _image(image_id: str) -> dict[str, Any]:
    return {
        "id": image_id,
        "project_id": MEMBER.project_id,
        "status": "active",
        "disk_format": "aki" if image_id == KERNEL else "raw",
        "container_format": "bare",
        "visibility": "public",
        "protected": False,
        "hidden": False,
        "min_disk": 0,
        "min_ram": 0,
        "size": 100,
        "hash_value": "0" * 128,
        "properties": {"kernel_id": KERNEL} if image_id == IMAGE else {},
        "tags": [],
        "created_at": 1,
        "updated_at": 1,
    }


def run_all(database: Database, world: World) -> None:
    """Everything that is enqueued, to its end."""
    assert world.servers is not None
    session = WorkerSession.open(
        database, host="this-host", places=PLACES, folder=world.servers.parent / "sessions", wait=5
    )
    worker = Worker(database, REGISTRY, world, session)
    worker.start()
    try:
        wait_until(lambda: not database.run_read(store.list_operations, live=True), 30, "all is done")
    finally:
        assert worker.stop()
        session.close()


def the_server(database: Database) -> str:
    with database.read() as tx:
        found: str = tx.execute(server_rows.select()).one().id
        return found


def the_volume(database: Database) -> str:
    with database.read() as tx:
        found: str = tx.execute(volume_rows.select()).one().id
        return found


def with_server(database: Database, world: World) -> None:
    prepare_cloud(database, world)
    ask_server(database)
    run_all(database, world)


def with_volume(database: Database, world: World) -> None:
    with_server(database, world)
    database.run_write(create_volume, MEMBER, Wanted(size=1))
    run_all(database, world)


def with_attached(database: Database, world: World) -> None:
    with_volume(database, world)
    ask_attach(database)
    run_all(database, world)


def powered(*actions: str) -> Callable[[Database, World], None]:
    def setup(database: Database, world: World) -> None:
        with_attached(database, world)
        for action in actions:
            database.run_write(servers.power, MEMBER, the_server(database), action)
            run_all(database, world)

    return setup


def ask_server(database: Database) -> str:
    wanted = WantedServer(name="guest", flavor_id="1", image_id=IMAGE)
    server_id = database.run_write(server_creation.create, MEMBER, wanted).server.id
    return database.run_read(store.list_operations, subject_id=server_id)[0].id


def ask_rich_server(database: Database) -> str:
    """From a volume made of an image, with one that is there, local disks, a key and user data."""
    disks = (
        WantedDisk(source_type="image", uuid=IMAGE, volume_size=1, boot_index=0, delete_on_termination=True),
        WantedDisk(source_type="volume", uuid=the_volume(database)),
    )
    wanted = WantedServer(name="rich", flavor_id="rich", disks=disks, key_name="mine", user_data="aGVsbG8=")
    server_id = database.run_write(server_creation.create, MEMBER, wanted).server.id
    return database.run_read(store.list_operations, subject_id=server_id)[0].id


def with_key_and_volume(database: Database, world: World) -> None:
    prepare_cloud(database, world)
    database.run_write(keypairs.create, MEMBER, "mine", kind="ssh", public_key=PUBLIC_KEY)
    database.run_write(flavors.create, "rich", "rich", memory_mib=128, vcpus=1, disk=0, swap=8)
    database.run_write(create_volume, MEMBER, Wanted(size=1))
    run_all(database, world)


def check_rich(database: Database, world: World) -> None:
    status_is("ACTIVE")(database, world)
    assert world.hypervisor is not None
    server_id = the_server(database)
    serials = {disk.serial for disk in world.hypervisor.disks(server_id)}
    assert serials > {f"{server_id[:8]}-config", f"{server_id[:8]}-swap"} and len(serials) == 4


def check_nothing_made(database: Database, world: World) -> None:
    """The volume that was there is free, the one made for the server is gone."""
    run_all(database, world)
    status_is("ERROR")(database, world)
    with database.read() as tx:
        live = tx.execute(volume_rows.select().where(volume_rows.c.deleted_at.is_(None))).all()
    assert [(row.status, row.image_id) for row in live] == [("available", None)]


def ask_attach(database: Database) -> str:
    return database.run_write(
        volume_attachments.attach, MEMBER, the_server(database), the_volume(database)
    ).operation.id


def ask_detach(database: Database) -> str:
    return database.run_write(volume_attachments.detach, MEMBER, the_server(database), the_volume(database)).id


def ask_snapshot(database: Database) -> str:
    taken = database.run_write(
        create_snapshot,
        MEMBER,
        the_volume(database),
        name=None,
        description=None,
        metadata={},
        in_use_allowed=True,
    )
    return database.run_read(store.list_operations, subject_id=taken.id)[0].id


def ask_extend(database: Database) -> str:
    volume_id = the_volume(database)
    database.run_write(extend_volume, MEMBER, volume_id, 3, in_use_allowed=True)
    return database.run_read(store.list_operations, subject_id=volume_id, live=True)[0].id


def ask_delete(database: Database) -> str:
    server_id = the_server(database)
    database.run_write(servers.delete, MEMBER, server_id)
    return database.run_read(store.list_operations, subject_id=server_id, live=True)[0].id


def ask_power(action: str) -> Callable[[Database], str]:
    return lambda database: database.run_write(servers.power, MEMBER, the_server(database), action).id


def ask_console(database: Database) -> str:
    return database.run_write(servers.read_console, MEMBER, the_server(database), None).id


def status_is(status: str) -> Callable[[Database, World], None]:
    def check(database: Database, world: World) -> None:
        found = database.run_read(queries.server_even_deleted, the_server(database))
        assert found is not None and found.status == status, found

    return check


def volume_is(status: str, *, exported: bool, in_guest: bool) -> Callable[[Database, World], None]:
    def check(database: Database, world: World) -> None:
        volume_id = the_volume(database)
        found = database.run_read(block_queries.volume, volume_id)
        assert found is not None and found.status == status, found
        assert world.hypervisor is not None
        disks = {disk.serial: disk for disk in world.hypervisor.disks(the_server(database))}
        assert (volume_id in disks) == in_guest
        if in_guest:
            assert disks[volume_id].live and disks[volume_id].stored
        exports = {export.volume_id for export in world.backends[BACKEND].target.exports()}
        assert (volume_id in exports) == exported

    return check


def check_deleted(database: Database, world: World) -> None:
    status_is("DELETED")(database, world)
    found = database.run_read(block_queries.volume, the_volume(database))
    assert found is not None and found.status == "available"
    assert world.hypervisor is not None and world.hypervisor.guests() == {}
    assert list(world.backends[BACKEND].target.exports()) == []


def check_running(database: Database, world: World) -> None:
    """The guest goes on, whatever became of the snapshot that it was paused for."""
    assert world.hypervisor is not None
    assert world.hypervisor.state(the_server(database)) is GuestState.RUNNING
    ATTACHED(database, world)


def check_snapshot(database: Database, world: World) -> None:
    check_running(database, world)
    assert [one.volume_id for one in world.backends[BACKEND].storage.snapshots()] == [the_volume(database)]


def check_grown(database: Database, world: World) -> None:
    check_running(database, world)
    found = database.run_read(block_queries.volume, the_volume(database))
    assert found is not None and found.size == 3
    actions = database.run_read(instance_actions.listed, the_server(database))
    assert "extend_volume" in {action.action for action in actions}


def check_observed(database: Database, world: World) -> None:
    """A power operation that failed may have done its work: observing tells."""
    observe_guests(database, world)
    found = database.run_read(queries.server_even_deleted, the_server(database))
    assert found is not None and found.task_state is None
    assert world.hypervisor is not None
    assert found.power == POWER[world.hypervisor.state(found.id)]


def check_detached(database: Database, world: World) -> None:
    run_all(database, world)
    FREE(database, world)


ATTACHED = volume_is("in-use", exported=True, in_guest=True)
FREE = volume_is("available", exported=False, in_guest=False)

CAMPAIGN = Campaign(
    __name__,
    REGISTRY,
    open_world,
    PLACES,
    [
        OperationCase(CREATE_SERVER, ask_server, status_is("ACTIVE"), status_is("ERROR"), prepare_cloud),
        OperationCase(
            CREATE_SERVER, ask_rich_server, check_rich, check_nothing_made, with_key_and_volume, "of volumes and a key"
        ),
        OperationCase(ATTACH_VOLUME, ask_attach, ATTACHED, FREE, with_volume),
        OperationCase(DETACH_VOLUME, ask_detach, check_detached, ATTACHED, with_attached),
        OperationCase(DELETE_SERVER, ask_delete, check_deleted, setup=with_attached),
        OperationCase(CREATE_SNAPSHOT, ask_snapshot, check_snapshot, check_running, with_attached, "snapshot in use"),
        OperationCase(EXTEND_VOLUME, ask_extend, check_grown, check_running, with_attached, "extend in use"),
        OperationCase(STOP_SERVER, ask_power("stop"), status_is("SHUTOFF"), check_observed, powered()),
        OperationCase(START_SERVER, ask_power("start"), status_is("ACTIVE"), check_observed, powered("stop")),
        OperationCase(REBOOT_SERVER, ask_power("reboot"), status_is("ACTIVE"), check_observed, powered()),
        OperationCase(HARD_REBOOT_SERVER, ask_power("hard reboot"), check_running, check_observed, powered("suspend")),
        OperationCase(SUSPEND_SERVER, ask_power("suspend"), status_is("SUSPENDED"), check_observed, powered()),
        OperationCase(RESUME_SERVER, ask_power("resume"), check_running, check_observed, powered("suspend")),
        OperationCase(PAUSE_SERVER, ask_power("pause"), status_is("PAUSED"), check_observed, powered()),
        OperationCase(UNPAUSE_SERVER, ask_power("unpause"), status_is("ACTIVE"), check_observed, powered("pause")),
        OperationCase(READ_CONSOLE, ask_console, status_is("ACTIVE"), status_is("ACTIVE"), with_server),
    ],
    prepare=create_schema,
    close_world=close_world,
    census=census,
)


@pytest.mark.campaign
@pytest.mark.timeout(900)  # the longest kill some fifty processes
@pytest.mark.parametrize("case", CAMPAIGN.cases, ids=str)
@pytest.mark.parametrize("ordeal", ORDEALS, ids=lambda ordeal: ordeal.__name__)
def test_ordeal(
    ordeal: Callable[[Drills], None], case: OperationCase, databases: Databases, database_kind: str, tmp_path: Path
) -> None:
    ordeal(Drills(CAMPAIGN, case, databases, database_kind, tmp_path))
