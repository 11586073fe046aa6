"""The fault campaign on what stops a guest and starts it otherwise, or elsewhere: resize, shelve, images of servers.

The same world as in `test_campaign.py`, where the other operations of compute are.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pumice.block import queries as block_queries
from pumice.caller import Caller
from pumice.compute import queries, rebuilding, resizing, server_creation, server_images, shelving
from pumice.compute.model import WantedDisk, WantedServer
from pumice.compute.operations import OPERATIONS
from pumice.compute.operations.attach_volume import ATTACH_OFFLOADED
from pumice.compute.operations.clear_kept import CLEAR_KEPT, ClearKept
from pumice.compute.operations.move_attachment import PARK_ATTACHMENT, RETURN_ATTACHMENT, park_all, return_all
from pumice.compute.operations.rebuild_server import REBUILD_SERVER
from pumice.compute.operations.resize_server import CONFIRM_RESIZE, RESIZE_SERVER, REVERT_RESIZE
from pumice.compute.operations.shelve_server import OFFLOAD_SERVER, SHELVE_SERVER, UNSHELVE_SERVER
from pumice.compute.operations.snapshot_server import SNAPSHOT_SERVER, SNAPSHOT_VOLUMES
from pumice.db.engine import Database
from pumice.db.schema import images
from pumice.hypervisors.contract import GuestState
from pumice.operations import store
from pumice.operations.model import exclusive
from pumice.operations.world import World
from tests.compute.test_campaign import (
    ATTACHED,
    BACKEND,
    IMAGE,
    KERNEL,
    MEMBER,
    PLACES,
    REGISTRY,
    ask_attach,
    census,
    check_running,
    close_world,
    open_world,
    prepare_cloud,
    run_all,
    status_is,
    the_server,
    the_volume,
    with_attached,
    with_server,
    with_volume,
)
from tests.compute.test_campaign import (
    CAMPAIGN as THE_OTHERS,
)
from tests.operations.harness import ORDEALS, Campaign, Drills, OperationCase, create_schema
from tests.support.databases import Databases

pytestmark = pytest.mark.real


def staged(*acts: Callable[..., Any]) -> Callable[[Database, World], None]:
    """A server with its volume attached, on which these were done."""

    def setup(database: Database, world: World) -> None:
        with_attached(database, world)
        for act in acts:
            database.run_write(act, MEMBER, the_server(database))
            run_all(database, world)

    return setup


def resize(tx: Any, caller: Caller, server_id: str) -> Any:
    return resizing.resize(tx, caller, server_id, "3")


def shelve(tx: Any, caller: Caller, server_id: str) -> Any:
    return shelving.shelve(tx, caller, server_id, -1)


def ask_stage(act: Callable[..., Any]) -> Callable[[Database], str]:
    return lambda database: database.run_write(act, MEMBER, the_server(database)).id


def ask_image(database: Database) -> str:
    server_id = the_server(database)
    database.run_write(server_images.create, MEMBER, server_id, "golden", {})
    live = database.run_read(store.list_operations, subject_id=server_id, live=True)
    return next(one.id for one in live if one.subject_type == "server")


def ask_move(database: Database, move: Callable[..., Any], *host: str) -> str:
    server_id = the_server(database)
    database.run_write(move, server_id, *host, MEMBER)
    attachment = database.run_read(block_queries.attachments_of_server, server_id)[0]
    return database.run_read(store.list_operations, subject_id=attachment.id, live=True)[0].id


def ask_clear(database: Database) -> str:
    server_id = the_server(database)
    arguments = ClearKept(server_id=server_id, host="this-host")
    claims = (exclusive("server_files", server_id),)
    return database.run_write(
        store.enqueue, CLEAR_KEPT, arguments, subject_id=server_id, claims=claims, caller=MEMBER
    ).id


def on_volume(database: Database, world: World) -> None:
    prepare_cloud(database, world)
    disk = WantedDisk(source_type="image", uuid=IMAGE, volume_size=1, boot_index=0)
    database.run_write(server_creation.create, MEMBER, WantedServer(name="guest", flavor_id="1", disks=(disk,)))
    run_all(database, world)


def offloaded(database: Database, world: World) -> None:
    staged(shelve, shelving.offload)(database, world)


def offloaded_beside_volume(database: Database, world: World) -> None:
    with_volume(database, world)
    for act in (shelve, shelving.offload):
        database.run_write(act, MEMBER, the_server(database))
        run_all(database, world)


def own_files(world: World) -> list[str]:
    assert world.servers is not None
    return sorted(path.name for path in world.servers.iterdir())


def check_stage(status: str) -> Callable[[Database, World], None]:
    """The server is so, its guest has the volume, and nothing of a size that is not wanted any more is left."""

    def check(database: Database, world: World) -> None:
        run_all(database, world)
        status_is(status)(database, world)
        ATTACHED(database, world)
        server_id = the_server(database)
        kept = [f"{server_id}.before"] if status == "VERIFY_RESIZE" else []
        assert own_files(world) == [server_id, *kept]

    return check


def check_shelved(database: Database, world: World) -> None:
    status_is("SHELVED")(database, world)
    found = database.run_read(queries.server_even_deleted, the_server(database))
    assert found is not None and world.images is not None and world.hypervisor is not None
    assert found.shelved_image_id in world.images.published()
    assert world.hypervisor.state(found.id) is GuestState.SHUTOFF


def check_not_shelved(database: Database, world: World) -> None:
    check_running(database, world)
    assert world.images is not None and sorted(world.images.published()) == sorted([IMAGE, KERNEL])


def check_offloaded(database: Database, world: World) -> None:
    """Nothing of it is on the host; its volume is in use and goes nowhere."""
    status_is("SHELVED_OFFLOADED")(database, world)
    assert world.hypervisor is not None and world.hypervisor.guests() == {} and own_files(world) == []
    check_parked(database, world)


def check_parked(database: Database, world: World) -> None:
    found = database.run_read(block_queries.volume, the_volume(database))
    assert found is not None and found.status == "in-use"
    assert list(world.backends[BACKEND].target.exports()) == []


def check_returned(database: Database, world: World) -> None:
    attachment = database.run_read(block_queries.attachments_of_server, the_server(database))[0]
    assert (attachment.stage, attachment.host) == ("attached", "this-host") and attachment.connection_info
    assert [export.volume_id for export in world.backends[BACKEND].target.exports()] == [attachment.volume_id]


def check_free_beside(database: Database, _world: World) -> None:
    found = database.run_read(block_queries.volume, the_volume(database))
    assert found is not None and found.status == "available"


def check_image(database: Database, world: World) -> None:
    status_is("ACTIVE")(database, world)
    assert world.images is not None and len(world.images.published()) == 3
    with database.read() as tx:
        assert [row.status for row in tx.execute(images.select())] == ["active"] * 3
    assert world.hypervisor is not None and world.hypervisor.state(the_server(database)) is GuestState.RUNNING


def check_no_image(database: Database, world: World) -> None:
    run_all(database, world)
    status_is("ACTIVE")(database, world)
    assert world.images is not None and sorted(world.images.published()) == sorted([IMAGE, KERNEL])
    assert world.hypervisor is not None and world.hypervisor.state(the_server(database)) is GuestState.RUNNING


def ask_rebuild(database: Database) -> str:
    """From the kernel's image, which has no disk; or, of a server on a volume, with other bytes in its volume."""
    server_id = the_server(database)
    found = database.run_read(queries.server, server_id)
    image_id = IMAGE if found is not None and found.image_id is None else KERNEL
    changes = {"name": "rebuilt", "metadata": {"of": "new"}}
    database.run_write(rebuilding.rebuild, MEMBER, server_id, image_id, changes, reimage=True)
    live = database.run_read(store.list_operations, subject_id=server_id, live=True)
    return next(one.id for one in live if one.subject_type == "server")


def names(database: Database) -> tuple[str | None, dict[str, str]]:
    found = database.run_read(queries.server_even_deleted, the_server(database))
    assert found is not None
    return found.name, found.metadata


def check_rebuilt(database: Database, world: World) -> None:
    check_stage("ACTIVE")(database, world)
    assert world.servers is not None and names(database) == ("rebuilt", {"of": "new"})
    assert sorted(path.name for path in (world.servers / the_server(database)).iterdir()) == ["kernel"]


def check_not_rebuilt(database: Database, world: World) -> None:
    check_running(database, world)
    assert world.servers is not None and names(database) == ("guest", {})
    assert sorted(path.name for path in (world.servers / the_server(database)).iterdir()) == ["kernel", "root.raw"]
    assert [one.image_id for one in database.run_read(queries.mappings_of, [the_server(database)])][:1] == [IMAGE]


def on_volume_with_bytes(database: Database, world: World) -> None:
    on_volume(database, world)
    with Path(world.backends[BACKEND].storage.locate(the_volume(database)).path).open("r+b") as disk:
        disk.write(b"of the guest")


def first_bytes(database: Database, world: World) -> bytes:
    return Path(world.backends[BACKEND].storage.locate(the_volume(database)).path).read_bytes()[:12]


def check_reimaged(database: Database, world: World) -> None:
    check_stage("ACTIVE")(database, world)
    assert first_bytes(database, world) == b"k" * 12 and names(database)[0] == "rebuilt"
    assert [one.volume_id for one in world.backends[BACKEND].storage.volumes()] == [the_volume(database)]
    assert list(world.backends[BACKEND].storage.snapshots()) == []


def check_not_reimaged(database: Database, world: World) -> None:
    check_running(database, world)
    assert first_bytes(database, world) == b"of the guest" and names(database)[0] == "guest"


CAMPAIGN = Campaign(
    __name__,
    REGISTRY,
    open_world,
    PLACES,
    [
        OperationCase(REBUILD_SERVER, ask_rebuild, check_rebuilt, check_not_rebuilt, staged()),
        OperationCase(
            REBUILD_SERVER, ask_rebuild, check_reimaged, check_not_reimaged, on_volume_with_bytes, "rebuild on a volume"
        ),
        OperationCase(RESIZE_SERVER, ask_stage(resize), check_stage("VERIFY_RESIZE"), check_running, staged()),
        OperationCase(
            CONFIRM_RESIZE,
            ask_stage(resizing.confirm),
            check_stage("ACTIVE"),
            check_stage("VERIFY_RESIZE"),
            staged(resize),
        ),
        OperationCase(
            REVERT_RESIZE,
            ask_stage(resizing.revert),
            check_stage("ACTIVE"),
            check_stage("VERIFY_RESIZE"),
            staged(resize),
        ),
        OperationCase(CLEAR_KEPT, ask_clear, status_is("VERIFY_RESIZE"), setup=staged(resize)),
        OperationCase(SHELVE_SERVER, ask_stage(shelve), check_shelved, check_not_shelved, staged()),
        OperationCase(OFFLOAD_SERVER, ask_stage(shelving.offload), check_offloaded, setup=staged(shelve)),
        OperationCase(UNSHELVE_SERVER, ask_stage(shelving.unshelve), check_running, check_offloaded, offloaded),
        OperationCase(
            PARK_ATTACHMENT, lambda database: ask_move(database, park_all), check_parked, setup=staged(shelve)
        ),
        OperationCase(
            RETURN_ATTACHMENT,
            lambda database: ask_move(database, return_all, "this-host"),
            check_returned,
            check_parked,
            offloaded,
        ),
        OperationCase(ATTACH_OFFLOADED, ask_attach, check_parked, check_free_beside, offloaded_beside_volume),
        OperationCase(SNAPSHOT_SERVER, ask_image, check_image, check_no_image, with_server),
        OperationCase(SNAPSHOT_VOLUMES, ask_image, check_image, check_no_image, on_volume),
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


def test_every_operation_of_compute_has_a_case() -> None:
    cases = (*THE_OTHERS.cases, *CAMPAIGN.cases)
    missing = {operation.kind for operation in OPERATIONS} - {case.operation.kind for case in cases}
    assert not missing
