"""The ordeals that every operation goes through, for a few lines a case; see `test_engine_campaign.py` for an example.

    CAMPAIGN = Campaign(__name__, REGISTRY, open_world, places, [OperationCase(MAKE_THING, ...), ...], prepare)

    @pytest.mark.parametrize("case", CAMPAIGN.cases, ids=str)
    @pytest.mark.parametrize("ordeal", ORDEALS)
    def test_ordeal(ordeal, case, databases, database_kind, tmp_path):
        ordeal(Drills(CAMPAIGN, case, databases, database_kind, tmp_path))

    def test_every_operation_has_a_case():
        CAMPAIGN.check_complete()

The campaign is a name of its module (CAMPAIGN), so that a killed child and its successor find the same case.
What is checked each time: the case's own `check_done` or `check_undone`; nothing is held any more; and after undoing
the census of the outside (volumes, snapshots, exports) is what it was before.
"""

import dataclasses
import importlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pumice import faults
from pumice.db.engine import Database
from pumice.db.schema import metadata, operation_resources
from pumice.operations import store
from pumice.operations.model import Operation, OperationRow, Registry, Run, StepFailed
from pumice.operations.sessions import WorkerSession
from pumice.operations.worker import Worker
from tests.support.databases import Databases, Prepare
from tests.support.waiting import wait_until

DEADLINE = 30.0


def census_of_backends(world: Any) -> Any:
    """What every backend of a `pumice.operations.world.World` holds and exports."""
    return {
        name: (
            sorted((volume.volume_id, volume.size_bytes) for volume in backend.storage.volumes()),
            sorted((snapshot.snapshot_id, snapshot.volume_id) for snapshot in backend.storage.snapshots()),
            sorted((export.volume_id, export.attachment_id) for export in backend.target.exports()),
        )
        for name, backend in world.backends.items()
    }


@dataclasses.dataclass(frozen=True)
class OperationCase:
    """One operation in the campaign. `setup` makes what must be there before (run operations with `finish_all`);
    `ask` enqueues as the API would and returns the operation's id; the checks raise AssertionError."""

    operation: Operation[Any]
    ask: Callable[[Database], str]
    check_done: Callable[[Database, Any], None]
    check_undone: Callable[[Database, Any], None] = lambda database, world: None
    setup: Callable[[Database, Any], None] = lambda database, world: None
    name: str = ""
    """When one operation has several cases."""

    def __str__(self) -> str:
        return self.name or self.operation.kind


def create_schema(url: str) -> None:
    """`prepare` for Databases.fresh."""
    database = Database(url)
    metadata.create_all(database.engine)
    database.close()


@dataclasses.dataclass(frozen=True)
class Campaign:
    """Cases, and how to reach the outside: `open_world(directory)` gives it in any process, `close_world` ends that."""

    module: str
    registry: Registry
    open_world: Callable[[Path], Any]
    places: Sequence[str]
    cases: Sequence[OperationCase]
    prepare: Prepare = create_schema
    close_world: Callable[[Any], None] = lambda world: None
    census: Callable[[Any], Any] = census_of_backends

    def check_complete(self) -> None:
        """Every operation of the registry has a case."""
        missing = set(self.registry.kinds()) - {case.operation.kind for case in self.cases}
        assert not missing, f"operations without a case in the fault campaign: {sorted(missing)}"

    @property
    def importable(self) -> str:
        """pytest names a module without the folder it starts at; a child needs the whole name."""
        return self.module if self.module.startswith("tests.") else f"tests.{self.module}"

    def case(self, name: str) -> OperationCase:
        return next(case for case in self.cases if str(case) == name)


@contextmanager
def working(
    database: Database, registry: Registry, world: Any, places: Sequence[str], directory: Path
) -> Iterator[Worker]:
    """A worker that owns the places, in this process."""
    session = WorkerSession.open(database, host="this-host", places=places, folder=directory / "sessions", wait=5)
    worker = Worker(database, registry, world, session)
    worker.start()
    try:
        yield worker
    finally:
        stopped = worker.stop()
        session.close()
        assert stopped, "a step did not end"


def finish_all(database: Database, campaign: Campaign, world: Any, directory: Path) -> None:
    """Run everything that is enqueued to its end."""
    with working(database, campaign.registry, world, campaign.places, directory):
        wait_until(lambda: not _live(database), DEADLINE, "every operation has ended")


def _live(database: Database) -> list[OperationRow]:
    with database.read() as tx:
        return store.list_operations(tx, live=True)


class Drill:
    """One operation, asked for in a fresh database and directory."""

    def __init__(self, campaign: Campaign, case: OperationCase, url: str, directory: Path) -> None:
        self.campaign = campaign
        self.case = case
        self.url = url
        self.directory = directory
        self.database = Database(url)
        world = campaign.open_world(directory)
        case.setup(self.database, world)
        self.before = campaign.census(world)
        campaign.close_world(world)
        self.operation_id = case.ask(self.database)

    def run(self, registry: Registry | None = None) -> OperationRow:
        """A worker in this process brings it to its end, and whatever it handed over to another operation."""
        world = self.campaign.open_world(self.directory)
        registry = registry or self.campaign.registry
        with working(self.database, registry, world, self.campaign.places, self.directory):
            wait_until(lambda: not _live(self.database), DEADLINE, f"{self.case} and what it handed over end")
        self.campaign.close_world(world)
        return self.row()

    def row(self) -> OperationRow:
        with self.database.read() as tx:
            row = store.get(tx, self.operation_id)
        assert row is not None
        return row

    def run_in_child(self, *planned: dict[str, Any]) -> int | None:
        """A worker in a process of its own, with these faults; returns its exit code (negative: a signal)."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, self.campaign.importable])
        arguments = (self.campaign.importable, str(self.case), self.url, str(self.directory))
        child = context.Process(target=_run_child, args=(*arguments, json.dumps(planned)))
        child.start()
        child.join(DEADLINE)
        if child.is_alive():
            child.kill()
            child.join()
            raise AssertionError(f"the child was not killed at {planned} and did not end; {self.row()}")
        return child.exitcode

    def check(self, state: str) -> None:
        """The operation has ended in this state and everything is as it should be then."""
        row = self.row()
        assert row.state == state, (row.state, row.error, row.last_error)
        with self.database.read() as tx:
            held = tx.execute(select(operation_resources).where(operation_resources.c.operation_id == row.id)).all()
        assert not held
        world = self.campaign.open_world(self.directory)
        if state == "done":
            self.case.check_done(self.database, world)
        else:
            assert row.error
            self.case.check_undone(self.database, world)
            assert self.campaign.census(world) == self.before
        self.campaign.close_world(world)


def _run_child(module: str, case: str, url: str, directory: str, planned: str) -> None:
    campaign: Campaign = importlib.import_module(module).CAMPAIGN
    database = Database(url)
    world = campaign.open_world(Path(directory))
    with (
        faults.planned(faults.parse(planned)),
        working(database, campaign.registry, world, campaign.places, Path(directory)),
    ):
        wait_until(lambda: not _live(database), DEADLINE, f"{case} and what it handed over end")


class Drills:
    """Makes drills of one case."""

    def __init__(
        self, campaign: Campaign, case: OperationCase, databases: Databases, kind: str, directory: Path
    ) -> None:
        self.campaign = campaign
        self.case = case
        self._databases = databases
        self._kind = kind
        self._directory = directory
        self._count = 0

    @property
    def operation(self) -> Operation[Any]:
        return self.case.operation

    @contextmanager
    def drill(self) -> Iterator[Drill]:
        self._count += 1
        directory = self._directory / str(self._count)
        directory.mkdir()
        with self._databases.fresh(self._kind, self.campaign.prepare) as url:
            drill = Drill(self.campaign, self.case, url, directory)
            try:
                yield drill
            finally:
                drill.database.close()

    def registry_with(self, operation: Operation[Any]) -> Registry:
        """The campaign's registry, this operation changed."""
        registry = Registry()
        registry.add(*(operation if one.kind == operation.kind else one for one in self.campaign.registry))
        return registry

    def points(self, plan: faults.Plan | None = None) -> list[str]:
        """Every point passed by a worker that runs the operation, engine's and drivers', in order, each once."""
        with self.drill() as drill, faults.planned(plan or faults.Plan()) as passed:
            drill.run()
            return list(dict.fromkeys(passed.reached))

    def own_points(self, *moments: str) -> list[str]:
        """The engine's points of this operation going forward."""
        start = f"operation:{self.operation.kind}/"
        return [point for point in self.points() if point.startswith(start) and point.rsplit(":", 1)[1] in moments]


def each_step_twice(drills: Drills) -> None:
    """Every `do` is run twice in a row."""
    steps = tuple(dataclasses.replace(step, do=_twice(step.do)) for step in drills.operation.steps)
    with drills.drill() as drill:
        drill.run(drills.registry_with(dataclasses.replace(drills.operation, steps=steps)))
        drill.check("done")


def _twice(function: Callable[[Run[Any]], Any] | None) -> Callable[[Run[Any]], Any] | None:
    if function is None:
        return None
    wanted = function

    def both(run: Run[Any]) -> Any:
        wanted(run)
        return wanted(run)

    return both


def failure_at_each_step(drills: Drills) -> None:
    """Each step fails for good, before, after its side effect, and while it is recorded: all is undone.
    An operation that only goes forward gets there all the same."""
    _fail_everywhere(drills, drills.operation)


def each_undo_twice(drills: Drills) -> None:
    """The same, every undo run twice in a row."""
    steps = tuple(dataclasses.replace(step, undo=_twice(step.undo)) for step in drills.operation.steps)
    _fail_everywhere(drills, dataclasses.replace(drills.operation, steps=steps))


def _fail_everywhere(drills: Drills, operation: Operation[Any]) -> None:
    registry = drills.registry_with(operation)
    for point in drills.own_points("before", "inside", "after"):
        plan = faults.Plan()
        plan.fail(point, StepFailed(f"made to fail at {point}"))
        with drills.drill() as drill, faults.planned(plan):
            row = drill.run(registry)
            if not operation.forward_only:
                assert row.error == f"made to fail at {point}"
            drill.check("done" if operation.forward_only else "undone")


def killed_at_each_point(drills: Drills) -> None:
    """`kill -9` at every point, the drivers' own included; another worker brings it to its end."""
    for point in drills.points():
        with drills.drill() as drill:
            assert drill.run_in_child({"point": point, "action": "kill"}) == -signal.SIGKILL
            drill.run()
            drill.check("done")


def killed_while_undoing(drills: Drills) -> None:
    """The last step fails for good; `kill -9` at every point of the way back; another worker undoes the rest."""
    if drills.operation.forward_only:
        return
    last = drills.own_points("after")[-1]
    plan = faults.Plan()
    plan.fail(last, StepFailed("made to fail"))
    passed = drills.points(plan)
    for point in [point for point in passed[passed.index(last) + 1 :] if point != last]:
        with drills.drill() as drill:
            fail = {"point": last, "action": "fail"}
            assert drill.run_in_child(fail, {"point": point, "action": "kill"}) == -signal.SIGKILL
            drill.run()
            drill.check("undone")


def cancelled_at_each_step(drills: Drills) -> None:
    """Cancelled when a step is about to run: undone, unless it was the last one; what cannot be cancelled is done."""
    operation, registry = drills.operation, drills.campaign.registry
    points = drills.own_points("before")
    for point in points:
        plan = faults.Plan()
        with drills.drill() as drill:
            asked = _cancel(drill, registry)
            plan.call(point, asked)
            with faults.planned(plan):
                row = drill.run()
            can = operation.cancellable and not operation.forward_only
            if not can or point == points[-1]:
                assert row.state == "done" or can
            else:
                assert row.state == "undone"
            drill.check(row.state)


def _cancel(drill: Drill, registry: Registry) -> Callable[[], None]:
    def ask() -> None:
        drill.database.run_write(store.request_cancel, registry, drill.operation_id)

    return ask


ORDEALS: list[Callable[[Drills], None]] = [
    each_step_twice,
    failure_at_each_step,
    each_undo_twice,
    killed_at_each_point,
    killed_while_undoing,
    cancelled_at_each_step,
]
