"""What failures of steps mean: again, for good, later, for ever; seen on the toy in this process."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pumice.db.engine import Database
from pumice.errors import DeadlineExceeded, NotFound
from pumice.operations import store
from pumice.operations.model import OperationRow, Registry, Run, StepFailed, StepNotReady
from pumice.operations.waiting import OperationWaiter
from tests.operations import toy
from tests.operations.harness import working
from tests.operations.test_engine_campaign import THING, prepare
from tests.support.databases import Databases
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


class Away(Exception):
    """As a driver's error that passes by itself."""

    transient = True


@pytest.fixture
def database(databases: Databases, database_kind: str) -> Iterator[Database]:
    with databases.fresh(database_kind, prepare) as url:
        opened = Database(url)
        yield opened
        opened.close()


def failing(error: Exception, times: int) -> Callable[[Callable[[Run[Any]], Any]], Callable[[Run[Any]], Any]]:
    """Wrap a step's function: the first `times` runs raise the error."""
    left = [times]

    def wrap(function: Callable[[Run[Any]], Any]) -> Callable[[Run[Any]], Any]:
        def wrapped(run: Run[Any]) -> Any:
            if left[0]:
                left[0] -= 1
                raise error
            return function(run)

        return wrapped

    return wrap


def changed(step: str, **functions: Any) -> Registry:
    """The toy, one step changed."""
    steps = tuple(dataclasses.replace(one, **functions) if one.name == step else one for one in toy.MAKE_THING.steps)
    registry = Registry()
    registry.add(dataclasses.replace(toy.MAKE_THING, steps=steps), toy.DROP_THING)
    return registry


def run(database: Database, registry: Registry, tmp_path: Path) -> OperationRow:
    operation_id = toy.ask_make(database, THING)
    with working(database, registry, toy.Shelf(tmp_path), [toy.PLACE], tmp_path):
        return OperationWaiter(database).wait_blocking(operation_id, 30)


def test_a_transient_failure_is_tried_again_until_it_works(database: Database, tmp_path: Path) -> None:
    row = run(database, changed("fill", do=failing(Away("away"), 2)(toy.fill)), tmp_path)
    assert (row.state, row.last_error, row.attempts) == ("done", None, 0)


def test_a_transient_failure_that_stays_is_one_for_good(database: Database, tmp_path: Path) -> None:
    row = run(database, changed("fill", do=failing(Away("still away"), 99)(toy.fill), attempts=2), tmp_path)
    assert (row.state, row.error) == ("undone", "still away")
    assert toy.statuses(database) == {THING: "failed"}


def test_an_unknown_error_is_logged_and_told_without_its_text(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = run(database, changed("fill", do=failing(KeyError("secret"), 99)(toy.fill)), tmp_path)
    assert row.error == f"internal error in step fill of toy.make ({row.id})"
    logged = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert row.id in logged.getMessage()
    assert logged.exc_info is not None


def test_a_step_that_is_not_ready_waits_and_counts_no_try(database: Database, tmp_path: Path) -> None:
    wrapped = failing(StepNotReady("the guest still holds it", pause=0.01), 9)(toy.fill)
    assert run(database, changed("fill", do=wrapped, attempts=1), tmp_path).state == "done"


def test_a_failing_undo_is_tried_again_visibly_until_it_works(database: Database, tmp_path: Path) -> None:
    registry = changed("fill", do=failing(StepFailed("no"), 9)(toy.fill), undo=failing(OSError("bad"), 2)(toy.empty))
    operation_id = toy.ask_make(database, THING)
    with working(database, registry, toy.Shelf(tmp_path), [toy.PLACE], tmp_path):
        seen = wait_until(lambda: _attempts(database, operation_id), 10, "a failed undo shows")
        assert seen.last_error == f"internal error in step fill of toy.make ({operation_id})"
        assert (seen.state, seen.error) == ("undoing", "no")
        row = OperationWaiter(database).wait_blocking(operation_id, 30)
    assert (row.state, row.error) == ("undone", "no")
    assert toy.Shelf(tmp_path).names() == []


def _attempts(database: Database, operation_id: str) -> Any:
    row = database.run_read(store.get, operation_id)
    return row if row is not None and row.attempts else None


def test_an_error_in_what_derives_statuses_leaves_the_operation_visible_and_alive(
    database: Database, tmp_path: Path
) -> None:
    broken = [True]

    def settle(tx: Any, run: Run[Any]) -> None:
        if broken[0] and run.world is not None:
            raise RuntimeError("a bug in settle")

    registry = Registry()
    registry.add(dataclasses.replace(toy.MAKE_THING, settle=settle))
    operation_id = toy.ask_make(database, THING)
    with working(database, registry, toy.Shelf(tmp_path), [toy.PLACE], tmp_path):
        seen = wait_until(lambda: _attempts(database, operation_id), 10, "the failure shows")
        assert "turned back: RuntimeError" in seen.last_error
        broken[0] = False
        assert OperationWaiter(database).wait_blocking(operation_id, 30).state == "done"


def test_progress_is_written_now_and_then_and_a_cancel_stops_a_copy(database: Database, tmp_path: Path) -> None:
    def copy_for_ever(run: Run[Any]) -> None:
        while True:
            run.progress(30, 100)

    registry = changed("fill", do=copy_for_ever)
    operation_id = toy.ask_make(database, THING)
    with working(database, registry, toy.Shelf(tmp_path), [toy.PLACE], tmp_path):
        wait_until(lambda: _progress(database, operation_id) == 30, 10, "progress shows")
        database.run_write(store.request_cancel, registry, operation_id)
        row = OperationWaiter(database).wait_blocking(operation_id, 10)
    assert (row.state, row.error) == ("undone", "The operation was cancelled.")


def _progress(database: Database, operation_id: str) -> int | None:
    row = database.run_read(store.get, operation_id)
    return None if row is None else row.progress


def test_a_stopping_worker_lets_a_long_copy_go_for_the_next_one(database: Database, tmp_path: Path) -> None:
    entered: list[str] = []

    def copy_for_ever(run: Run[Any]) -> None:
        entered.append(run.operation_id)
        while True:
            run.progress(30, 100)

    operation_id = toy.ask_make(database, THING)
    with working(database, changed("fill", do=copy_for_ever), toy.Shelf(tmp_path), [toy.PLACE], tmp_path):
        wait_until(lambda: entered, 10, "the copy has begun")
    row = database.run_read(store.get, operation_id)
    assert row is not None
    assert (row.state, row.session_id, row.crashes) == ("running", None, 0)


def test_long_steps_leave_threads_for_short_ones(database: Database, tmp_path: Path) -> None:
    entered: list[str] = []

    def copy_for_ever(run: Run[Any]) -> None:
        entered.append(run.operation_id)
        while True:
            run.progress(1, 100)

    for _ in range(6):
        toy.ask_make(database)
    with working(database, changed("fill", do=copy_for_ever), toy.Shelf(tmp_path), [toy.PLACE], tmp_path) as worker:
        wait_until(lambda: len(entered) >= 2, 10, "two copies run")
        with database.write() as tx:
            tx.execute(toy.things.insert().values(id=THING, status="made"))
        dropped = toy.ask_drop(database, THING)
        assert OperationWaiter(database).wait_blocking(dropped, 10).state == "done"
        assert len(worker.in_hand) <= 4


def test_waiting_is_woken_and_has_a_deadline(database: Database, tmp_path: Path) -> None:
    waiter = OperationWaiter(database)
    operation_id = toy.ask_make(database, THING)

    async def story() -> OperationRow:
        with pytest.raises(DeadlineExceeded):
            await waiter.wait(operation_id, 0.01)
        with pytest.raises(NotFound):
            await waiter.wait(THING, 1)
        waiting = asyncio.create_task(waiter.wait(operation_id, 20))
        await asyncio.to_thread(_work, database, operation_id, tmp_path)
        return await waiting

    assert asyncio.run(story()).state == "done"
    waiter.close()


def _work(database: Database, operation_id: str, tmp_path: Path) -> None:
    with working(database, toy.REGISTRY, toy.Shelf(tmp_path), [toy.PLACE], tmp_path):
        wait_until(lambda: _progress(database, operation_id) == 100, 10, "it is done")
