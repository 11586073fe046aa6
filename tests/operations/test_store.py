"""Operations as rows: claims, three answers, fencing, giving work to whoever owns a place."""

from collections.abc import Iterator

import msgspec
import pytest

from pumice.caller import new_id, system_caller
from pumice.clock import SECOND
from pumice.db.engine import Database, Transaction
from pumice.db.schema import worker_sessions
from pumice.errors import Busy
from pumice.operations import claiming, store
from pumice.operations.model import Claim, Operation, OperationRow, Registry, Step, exclusive, shared
from pumice.operations.sessions import PlaceTaken, WorkerSession, end_session
from pumice.operations.store import Answer
from tests.operations.harness import create_schema
from tests.support.databases import Databases

pytestmark = pytest.mark.real


class Nothing(msgspec.Struct, frozen=True):
    pass


def operation(kind: str, *, cancellable: bool = True) -> Operation[Nothing]:
    return Operation(
        kind,
        Nothing,
        "volume",
        (Step("one", at="backend:a"), Step("two", at="host:b")),
        failed=lambda tx, run, reason: None,
        settle=lambda tx, run: None,
        cancellable=cancellable,
    )


SNAPSHOT, DELETE = operation("snapshot.create"), operation("volume.delete", cancellable=False)
REGISTRY = Registry()
REGISTRY.add(SNAPSHOT, DELETE)
VOLUME = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def database(databases: Databases, database_kind: str) -> Iterator[Database]:
    with databases.fresh(database_kind, create_schema) as url:
        opened = Database(url)
        yield opened
        opened.close()


def ask(database: Database, kind: Operation[Nothing], *claims: Claim, delay: int = 0) -> OperationRow:
    def enqueue(tx: Transaction) -> OperationRow:
        return store.enqueue(tx, kind, Nothing(), subject_id=VOLUME, claims=claims, caller=system_caller(), delay=delay)

    return database.run_write(enqueue)


def claimed(database: Database, row: OperationRow, session: str = "s") -> OperationRow:
    assert database.run_write(claiming.claim, session, [row.place], REGISTRY.kinds(), 1) == 1
    stored = database.run_read(store.get, row.id)
    assert stored is not None
    return stored


def test_two_share_a_resource_and_an_exclusive_one_is_refused_naming_the_holder(database: Database) -> None:
    ask(database, SNAPSHOT, shared("volume", VOLUME))
    ask(database, SNAPSHOT, shared("volume", VOLUME))
    with pytest.raises(Busy, match=rf"Volume {VOLUME} is held by the operation snapshot\.create"):
        ask(database, DELETE, exclusive("volume", VOLUME))
    held = database.run_read(store.live_for, "volume", VOLUME)
    assert [(one.kind, one.state, one.mode) for one in held] == [("snapshot.create", "running", "shared")] * 2


@pytest.mark.parametrize("second", [shared, exclusive])
def test_an_exclusive_holder_shares_with_nobody(database: Database, second: type) -> None:
    ask(database, DELETE, exclusive("volume", VOLUME))
    with pytest.raises(Busy, match=r"volume\.delete"):
        ask(database, SNAPSHOT, second("volume", VOLUME))
    ask(database, SNAPSHOT, second("volume", new_id()))
    ask(database, SNAPSHOT, second("snapshot", VOLUME))


def test_a_refused_operation_leaves_no_row(database: Database) -> None:
    ask(database, DELETE, exclusive("volume", VOLUME))
    with pytest.raises(Busy):
        ask(database, SNAPSHOT, shared("volume", VOLUME))
    assert len(database.run_read(store.list_operations)) == 1


def test_what_has_ended_holds_nothing(database: Database) -> None:
    row = claimed(database, ask(database, DELETE, exclusive("volume", VOLUME)))
    ended = database.run_write(store.finish, row, "done", results={})
    assert ended is not None
    assert (ended.state, ended.session_id, ended.progress) == ("done", None, 100)
    assert database.run_read(store.live_for, "volume", VOLUME) == []
    ask(database, SNAPSHOT, shared("volume", VOLUME))


def test_a_move_with_an_old_epoch_session_or_position_is_refused(database: Database) -> None:
    row = claimed(database, ask(database, SNAPSHOT))
    for stale in ({"epoch": row.epoch - 1}, {"session_id": "other"}, {"position": 1}, {"state": "undoing"}):
        changed = msgspec.structs.replace(row, **stale)
        assert database.run_write(store.finish, changed, "done", results={}) is None
    assert database.run_read(store.get, row.id) == row


def test_the_next_step_goes_to_whoever_owns_its_place(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sessions")
    owner = WorkerSession.open(database, host="b", places=["host:b"], folder=folder)
    row = claimed(database, ask(database, SNAPSHOT))
    moved = database.run_write(store.advance, row, results={"one": 1}, position=1, place="host:b", keep=False)
    assert moved is not None
    assert (moved.session_id, moved.epoch, moved.results) == (owner.id, row.epoch + 1, {"one": 1})
    owner.close()
    freed = database.run_read(store.get, row.id)
    assert freed is not None
    assert (freed.session_id, freed.crashes) == (None, 0)


def test_the_first_step_is_claimed_with_the_enqueue_when_its_owner_lives(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    session = WorkerSession.open(database, host="a", places=["backend:a"], folder=tmp_path_factory.mktemp("sessions"))
    assert ask(database, SNAPSHOT).session_id == session.id
    session.close()
    assert ask(database, SNAPSHOT).session_id is None


def test_a_place_has_one_live_owner(database: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("sessions")
    first = WorkerSession.open(database, host="a", places=["backend:a"], folder=folder)
    with pytest.raises(PlaceTaken, match=r"backend:a is worked on by the process \d+ of the host a"):
        WorkerSession.open(database, host="a", places=["backend:a"], folder=folder)
    first.close()
    WorkerSession.open(database, host="a", places=["backend:a"], folder=folder).close()


def test_only_what_was_marked_counts_a_second_crash(database: Database) -> None:
    row = claimed(database, ask(database, SNAPSHOT))
    bystander = claimed(database, ask(database, SNAPSHOT))
    for _ in range(2):
        _crash(database)
        for operation_id in (row.id, bystander.id):
            database.run_write(store.hasten, operation_id)
        assert database.run_write(claiming.claim, "s", ["backend:a"], REGISTRY.kinds(), 5) == 2
        again = database.run_read(store.get, row.id)
        assert again is not None
        assert database.run_write(store.mark_started, again) is not None
    crashes = {found.id: found.crashes for found in database.run_read(store.list_operations)}
    assert crashes == {row.id: 2, bystander.id: 1}


def test_a_step_that_gets_further_is_cleared_of_crashes_and_failed_tries(database: Database) -> None:
    claimed(database, ask(database, SNAPSHOT))
    _crash(database)
    row = claimed(database, database.run_read(store.list_operations)[0])
    deferred = database.run_write(store.defer, row, pause=0, reason="away", failed_try=True)
    assert deferred is not None
    assert (deferred.crashes, deferred.attempts, deferred.last_error) == (1, 1, "away")
    moved = database.run_write(store.advance, deferred, results={}, position=1, place="host:b", keep=True)
    assert moved is not None
    assert (moved.crashes, moved.attempts, moved.last_error) == (0, 0, None)


def _crash(database: Database) -> None:
    with database.write() as tx:
        tx.execute(worker_sessions.delete().where(worker_sessions.c.id == "s"))
        tx.execute(
            worker_sessions.insert().values(
                id="s", host="h", process_id=1, started_at=tx.now, heartbeat_at=tx.now, lease=SECOND
            )
        )
        assert end_session(tx, "s", crashed=True)
        assert not end_session(tx, "s", crashed=True)


def test_a_cancel_is_done_refused_or_missing(database: Database) -> None:
    row, delete = ask(database, SNAPSHOT, delay=3600 * SECOND), ask(database, DELETE)
    assert database.run_write(store.request_cancel, REGISTRY, row.id) is Answer.DONE
    assert database.run_write(store.request_cancel, REGISTRY, delete.id) is Answer.REFUSED
    assert database.run_write(store.request_cancel, REGISTRY, new_id()) is Answer.MISSING
    stored = database.run_read(store.get, row.id)
    assert stored is not None
    assert stored.cancel_requested
    assert stored.not_before < database.clock.now()  # its pause ends: it is undone now


def test_what_must_wait_or_is_of_an_unknown_kind_is_not_claimed(database: Database) -> None:
    ask(database, SNAPSHOT, delay=3600 * SECOND)
    ask(database, DELETE)
    assert not database.run_read(claiming.claimable, ["backend:a"], ["snapshot.create"])
    assert database.run_write(claiming.claim, "s", ["backend:a"], ["snapshot.create"], 5) == 0
    assert database.run_write(claiming.claim, "s", ["backend:other"], REGISTRY.kinds(), 5) == 0
    assert database.run_read(claiming.claimable, ["backend:a"], REGISTRY.kinds())


def test_lists_are_filtered_and_paged_newest_first(database: Database) -> None:
    rows = [ask(database, kind) for kind in (SNAPSHOT, DELETE, SNAPSHOT, SNAPSHOT)]
    wanted = sorted((r for r in rows if r.kind == "snapshot.create"), key=lambda r: (r.created_at, r.id), reverse=True)
    first = database.run_read(store.list_operations, kind="snapshot.create", limit=2)
    rest = database.run_read(store.list_operations, kind="snapshot.create", limit=2, after=first[-1])
    assert [*first, *rest] == wanted
    assert database.run_read(store.list_operations, live=False) == []
    assert database.run_read(store.list_operations, subject_id=new_id()) == []
