"""Any history of requests, steps, failures, holds and marks: cached and derived are the same, nothing is stuck."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Select, select

from pumice.block import attachments, holds, marks, snapshots, volume_creation, volumes
from pumice.block.transitions import SNAPSHOT_WORDS, VOLUME_WORDS
from pumice.block.volume_creation import Wanted
from pumice.block.volume_sources import Source
from pumice.caller import new_id
from pumice.db.schema import attachments as attachment_rows
from pumice.db.schema import marks as mark_rows
from pumice.db.schema import operations, volume_holds
from pumice.db.schema import volumes as volume_rows
from pumice.errors import PumiceError
from pumice.storage.contract import StorageError
from tests.block.cloud import BlockCloud, prepare
from tests.support.databases import Databases

pytestmark = pytest.mark.real

CONNECTOR = {"host": "node1", "ip": "127.0.0.1"}


class Broken(StorageError):
    """The pool refuses, for good."""


class History(RuleBasedStateMachine):
    """Refusals (PumiceError) are answers; whatever they answer, the invariants hold."""

    kind: str
    databases: Databases
    known = Bundle("volumes")
    points = Bundle("snapshots")
    held = Bundle("attachments")

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        url = self._stack.enter_context(self.databases.fresh(self.kind, prepare))
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.cloud = BlockCloud(url, folder)
        self.created = 0

    def teardown(self) -> None:
        self.cloud.drain()
        assert self._live() == []
        self.cloud.assert_derived()
        self.cloud.close()
        self._stack.close()

    def _live(self) -> list[str]:
        statement = select(operations.c.kind).where(operations.c.finished_at.is_(None))
        return list(self.cloud.read(lambda tx: tx.execute(statement).scalars().all()))

    @initialize(target=known)
    def first(self) -> str:
        return self.create(1, True)

    @precondition(lambda self: self.created < 3)
    @rule(target=known, size=st.sampled_from([1, 2, 5000]), at_once=st.booleans())
    def create(self, size: int, at_once: bool) -> str:
        self.created += 1
        found = self.cloud.write(volume_creation.create, self.cloud.member, Wanted(size=size))
        if at_once:
            self.cloud.drain()
        return found.volume.id

    @precondition(lambda self: self.created < 3)
    @rule(target=known, source=known)
    def clone(self, source: str) -> object:
        with contextlib.suppress(PumiceError):
            self.created += 1
            wanted = Wanted(size=None, source=Source(volume_id=source))
            return self.cloud.write(volume_creation.create, self.cloud.member, wanted).volume.id
        return multiple()

    @rule(volume=known, cascade=st.booleans())
    def delete(self, volume: str, cascade: bool) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(volumes.delete, self.cloud.member, volume, cascade=cascade)

    @rule(volume=known, size=st.integers(1, 5))
    def extend(self, volume: str, size: int) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(volumes.extend, self.cloud.member, volume, size, in_use_allowed=True)

    @rule(target=points, volume=known)
    def snapshot(self, volume: str) -> object:
        with contextlib.suppress(PumiceError):
            return self.cloud.write(
                snapshots.create,
                self.cloud.member,
                volume,
                name=None,
                description=None,
                metadata={},
                in_use_allowed=True,
            ).id
        return multiple()

    @rule(snapshot=points)
    def delete_snapshot(self, snapshot: str) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(snapshots.delete, self.cloud.member, snapshot)

    @rule(target=held, volume=known, replacing=st.booleans())
    def reserve(self, volume: str, replacing: bool) -> object:
        caller = self.cloud.service if replacing else self.cloud.member
        with contextlib.suppress(PumiceError):
            return self.cloud.write(
                attachments.reserve,
                caller,
                volume,
                server_id=new_id(),
                origin="external",
                replacing=replacing,
            ).id
        return multiple()

    @rule(attachment=held, host=st.sampled_from(["node1", "elsewhere"]))
    def connect(self, attachment: str, host: str) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(attachments.connect, self.cloud.service, attachment, {**CONNECTOR, "host": host})

    @rule(attachment=held)
    def complete(self, attachment: str) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(attachments.complete, self.cloud.service, attachment)

    @rule(attachment=consumes(held))
    def disconnect(self, attachment: str) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(attachments.disconnect, self.cloud.service, attachment)

    @rule(volume=known)
    def reserve_and_unreserve(self, volume: str) -> None:
        self.hold(volume, holds.reserve)
        self.cached_is_derived()
        self.hold(volume, holds.unreserve)

    @rule(volume=known, call=st.sampled_from([holds.reserve, holds.unreserve, holds.roll_detaching]))
    def hold(self, volume: str, call: object) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(call, self.cloud.member, volume)  # type: ignore[arg-type]

    @rule(volume=known)
    def begin_detaching(self, volume: str) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(holds.begin_detaching, self.cloud.service, volume)

    @rule(volume=known, word=st.sampled_from(VOLUME_WORDS))
    def mark(self, volume: str, word: str) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(marks.reset_volume, self.cloud.admin, volume, {"status": word})

    @rule(snapshot=points, word=st.sampled_from(SNAPSHOT_WORDS))
    def mark_snapshot(self, snapshot: str, word: str) -> None:
        with contextlib.suppress(PumiceError):
            self.cloud.write(marks.reset_snapshot, self.cloud.admin, snapshot, word)

    @rule()
    def work(self) -> None:
        self.cloud.drain()

    @rule(
        method=st.sampled_from(["create", "clone", "extend", "create_snapshot"]),
        moment=st.sampled_from(["before", "inside", "after"]),
    )
    def fail_once(self, method: str, moment: str) -> None:
        self.cloud.storage.faults.fail(f"{method}:{moment}", Broken("the pool said no"))
        self.cloud.drain()
        self.cloud.storage.faults.clear()

    @invariant()
    def cached_is_derived(self) -> None:
        self.cloud.assert_derived()

    @invariant()
    def work_that_is_shown_has_an_owner(self) -> None:
        """With no operation live, only a hold, a mark or an attachment may show that something is under way."""
        if self._live():
            return
        owned = {
            *self._ids(select(volume_holds.c.volume_id)),
            *self._ids(select(mark_rows.c.resource_id)),
            *self._ids(select(attachment_rows.c.volume_id).where(attachment_rows.c.deleted_at.is_(None))),
        }
        under_way = select(volume_rows.c.id).where(volume_rows.c.status.like("%ing"))
        assert set(self._ids(under_way)) <= owned

    def _ids(self, statement: Select[tuple[str]]) -> list[str]:
        return list(self.cloud.read(lambda tx: tx.execute(statement).scalars().all()))


def test_history(database_kind: str, databases: Databases) -> None:
    machine = type("Machine", (History,), {"kind": database_kind, "databases": databases})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
