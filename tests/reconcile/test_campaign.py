"""The reconciler's operations through every ordeal; and no operation of the program is without a case somewhere."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pumice.block import queries as block_queries
from pumice.caller import new_id, system_caller
from pumice.db.engine import Database
from pumice.hypervisors.memory import MemoryHypervisor
from pumice.operations.model import Registry, exclusive
from pumice.operations.store import enqueue
from pumice.operations.world import World
from pumice.processes.world import registry
from pumice.reconcile.asking import ask_hosts
from pumice.reconcile.model import Finding, Options
from pumice.reconcile.operations import OPERATIONS
from pumice.reconcile.operations.look_at_host import LOOK_AT_HOST
from pumice.reconcile.operations.mend_host import MEND_HOST, MendHost
from pumice.reconcile.repairs import repair
from pumice.targets.contract import Connector
from tests.compute.test_campaign import (
    ATTACHED,
    BACKEND,
    PLACES,
    check_running,
    close_world,
    open_world,
    the_server,
    the_volume,
    with_attached,
)
from tests.operations.harness import ORDEALS, Campaign, Drills, OperationCase, create_schema
from tests.support.databases import Databases

pytestmark = pytest.mark.real

NOBODY = "99999999-9999-4999-8999-999999999999"
CAMPAIGNS = (
    "tests.block.test_operations_campaign",
    "tests.block.test_data_campaign",
    "tests.compute.test_campaign",
    "tests.compute.test_campaign_stages",
    "tests.reconcile.test_campaign",
)


def with_leaked_export(database: Database, world: World) -> None:
    """An attached volume, and beside its export one of an attachment that nobody knows."""
    with_attached(database, world)
    backend, volume_id = world.backends[BACKEND], the_volume(database)
    backend.target.connect(volume_id, NOBODY, backend.storage.locate(volume_id), Connector(host="this-host"), False)


def with_half_disk(database: Database, world: World) -> None:
    """A guest runs with an attached disk that its stored definition has lost."""
    with_attached(database, world)
    assert isinstance(world.hypervisor, MemoryHypervisor)
    world.hypervisor.halve(the_server(database), the_volume(database), live=True, stored=False)


def with_lost_export(database: Database, world: World) -> None:
    with_attached(database, world)
    world.backends[BACKEND].target.disconnect(the_volume(database), the_attachment(database))


def with_stalled_guest(database: Database, world: World) -> None:
    with_attached(database, world)
    assert isinstance(world.hypervisor, MemoryHypervisor)
    world.hypervisor.stall(the_server(database))


def the_attachment(database: Database) -> str:
    (found,) = database.run_read(block_queries.attachments_of, [the_volume(database)])
    return found.id


def ask_look(database: Database) -> str:
    """The command asks every agent that lives; here none does yet, so its operation is put in by hand."""
    assert ask_hosts(database, Options()) == []
    arguments = LOOK_AT_HOST.arguments(host="this-host", options=Options())
    with database.write() as tx:
        return enqueue(tx, LOOK_AT_HOST, arguments, subject_id=new_id(), claims=(), caller=system_caller()).id


def ask_mend(database: Database) -> str:
    volume_id = the_volume(database)
    arguments = MendHost(finding="export-left-over", resource_id=NOBODY, volume_id=volume_id, backend=BACKEND)
    claims = (exclusive("attachment", NOBODY),)
    with database.write() as tx:
        return enqueue(tx, MEND_HOST, arguments, subject_id=NOBODY, claims=claims, caller=system_caller()).id


def ask_to_mend(name: str) -> Callable[[Database], str]:
    """As the command asks for it once it has found it."""

    def ask(database: Database) -> str:
        volume_id, server_id, attachment_id = the_volume(database), the_server(database), the_attachment(database)
        evidence = {"volume_id": volume_id, "server_id": server_id}
        evidence |= {"backend": BACKEND} if name == "export-missing" else {"host": "this-host"}
        noun, resource_id = ("server", server_id) if name == "guest-paused" else ("attachment", attachment_id)
        finding = Finding(
            name=name, resource_type=noun, resource_id=resource_id, sentence="it differs", evidence=evidence
        )
        outcome = repair(database, finding, Options(by_command=True))
        assert outcome.operation_id is not None, outcome
        return outcome.operation_id

    return ask


def check_still_used(database: Database, world: World) -> None:
    """Mended or not: the guest has its disk, and the volume is in use."""
    assert world.hypervisor is not None
    disks = {disk.serial: disk for disk in world.hypervisor.disks(the_server(database))}
    assert disks[the_volume(database)].live
    found = database.run_read(block_queries.volume, the_volume(database))
    assert found is not None and found.status == "in-use"


def exported(world: World) -> set[str | None]:
    return {export.attachment_id for export in world.backends[BACKEND].target.exports()}


def check_mended(database: Database, world: World) -> None:
    ATTACHED(database, world)
    assert NOBODY not in exported(world) and len(exported(world)) == 1


def check_not_worse(database: Database, world: World) -> None:
    """What was taken away stays away; what is in use is untouched."""
    ATTACHED(database, world)
    assert len(exported(world) - {NOBODY}) == 1


def no_census(world: World) -> Any:
    """Mending is not turned back."""
    return None


BY_HALVES = {
    "disk-half-there": with_half_disk,
    "export-missing": with_lost_export,
    "guest-paused": with_stalled_guest,
}
REGISTRY: Registry = registry()
CAMPAIGN = Campaign(
    __name__,
    REGISTRY,
    open_world,
    PLACES,
    [
        OperationCase(LOOK_AT_HOST, ask_look, ATTACHED, ATTACHED, with_attached),
        OperationCase(MEND_HOST, ask_mend, check_mended, check_not_worse, with_leaked_export),
        *(
            OperationCase(MEND_HOST, ask_to_mend(name), check_running, check_still_used, setup, f"mend {name}")
            for name, setup in BY_HALVES.items()
        ),
    ],
    prepare=create_schema,
    close_world=close_world,
    census=no_census,
)


@pytest.mark.campaign
@pytest.mark.parametrize("case", CAMPAIGN.cases, ids=str)
@pytest.mark.parametrize("ordeal", ORDEALS, ids=lambda ordeal: ordeal.__name__)
def test_ordeal(
    ordeal: Callable[[Drills], None], case: OperationCase, databases: Databases, database_kind: str, tmp_path: Path
) -> None:
    ordeal(Drills(CAMPAIGN, case, databases, database_kind, tmp_path))


def test_every_operation_of_the_program_is_in_a_campaign() -> None:
    covered = {case.operation.kind for module in CAMPAIGNS for case in importlib.import_module(module).CAMPAIGN.cases}
    assert set(registry().kinds()) == covered
    assert {operation.kind for operation in OPERATIONS} <= covered
