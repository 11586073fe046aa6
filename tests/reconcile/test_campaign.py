"""The reconciler's operations through every ordeal; and no operation of the program is without a case somewhere."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pumice.caller import new_id, system_caller
from pumice.db.engine import Database
from pumice.operations.model import Registry, exclusive
from pumice.operations.store import enqueue
from pumice.operations.world import World
from pumice.processes.world import registry
from pumice.reconcile.asking import ask_hosts
from pumice.reconcile.model import Options
from pumice.reconcile.operations import OPERATIONS
from pumice.reconcile.operations.look_at_host import LOOK_AT_HOST
from pumice.reconcile.operations.mend_host import MEND_HOST, MendHost
from pumice.targets.contract import Connector
from tests.compute.test_campaign import ATTACHED, BACKEND, PLACES, close_world, open_world, the_volume, with_attached
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


REGISTRY: Registry = registry()
CAMPAIGN = Campaign(
    __name__,
    REGISTRY,
    open_world,
    PLACES,
    [
        OperationCase(LOOK_AT_HOST, ask_look, ATTACHED, ATTACHED, with_attached),
        OperationCase(MEND_HOST, ask_mend, check_mended, check_not_worse, with_leaked_export),
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
