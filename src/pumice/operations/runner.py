"""Running one operation that this session has claimed, step by step, until it ends, waits or belongs to another.

    do(run)        outside any transaction
    then in one transaction: result, record, position; following steps that only record; at the end the claims go;
                   settle last
    undo likewise, backwards

What failures mean (one place: `_after_failure`):

    StepNotReady                                      again after its pause; no try is counted
    transient (class attribute), DatabaseUnavailable  again with growing pauses, `step.attempts` times, then for good
    StepFailed, PumiceError, drivers' errors          for good: undo
    anything else                                     for good, logged with its traceback: "internal error in step ..."
    any of them while undoing, or in an operation     again with growing pauses, for ever, visibly (`last_error`)
    that only goes forward

Every write is fenced: whoever finds that the operation is another session's stops silently.

Points for tests (`pumice.faults`), each `operation:<kind>/<step>:<moment>`: before; inside (the side effect is there,
its result is not stored); after (in the transaction, before its commit); recorded (after the commit). The way back has
undo-before, undo-inside, undo-after, undo-recorded.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from pumice import faults
from pumice.clock import SECOND
from pumice.db.engine import Database, DatabaseUnavailable, Transaction
from pumice.errors import PumiceError
from pumice.operations import store
from pumice.operations.model import (
    Cancelled,
    Fenced,
    Operation,
    OperationRow,
    Registry,
    Run,
    Step,
    StepFailed,
    StepNotReady,
)
from pumice.operations.sessions import WorkerSession

T = TypeVar("T")

_log = logging.getLogger(__name__)

CRASH_LIMIT = 5
"""So many workers may die in one step; then it has failed for good, instead of ending worker after worker."""
CANCELLED = "The operation was cancelled."
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0
_LONGEST_PAUSE_FOR_EVER = 60.0
_PROGRESS_SECONDS = 0.5
_TOLD_AT = 3
"""Failures in a row of what is tried for ever, before the user hears of it."""

Told = Callable[[Transaction, Run[Any], str], None]


class Runner:
    """Runs operations for one session; `run` may be called from several threads, one operation each."""

    def __init__(
        self, database: Database, registry: Registry, world: Any, session: WorkerSession, stopping: threading.Event
    ) -> None:
        self._database = database
        self._registry = registry
        self._world = world
        self._session = session
        self._stopping = stopping

    def run(
        self, row: OperationRow, may_go_on: Callable[[OperationRow], bool] = lambda row: True
    ) -> OperationRow | None:
        """Run it as far as it goes here and now. Returns always, the row as it is then (None: another session's); what
        went wrong is in the row and in the log.

        may_go_on: asked before each further step; when it says no, the operation stays claimed and waits."""
        failure: Exception | None = None
        current: OperationRow | None = row
        while current is not None and self._runnable(current) and (current is row or may_go_on(current)):
            handled, failure = failure, None
            try:
                current = self._go(current) if handled is None else self._after_failure(current, handled)
            except Fenced:
                current = self._as_stored(current)
            except Cancelled:
                failure = StepFailed(CANCELLED)
            except Exception as error:  # noqa: BLE001  (the outer loop of steps: whatever a step raises ends here)
                if handled is None:
                    failure = error
                else:
                    current = self._give_up_for_now(current, error)
        return current

    def _runnable(self, row: OperationRow) -> bool:
        mine = row.session_id == self._session.id and row.state in store.LIVE
        return mine and row.not_before <= self._database.clock.now() and not self._over()

    def _over(self) -> bool:
        return self._stopping.is_set() or self._session.lost.is_set()

    def _as_stored(self, row: OperationRow) -> OperationRow | None:
        """After a refusal: the stored row, when our own commit moved it (its answer was lost with the connection);
        None when the operation is not ours any more, or we are to stop."""
        if self._over():
            return None
        stored = self._write(lambda tx: store.get(tx, row.id))
        moved = stored is not None and (stored.position, stored.state) != (row.position, row.state)
        return stored if moved and stored is not None and stored.epoch == row.epoch else None

    # ---- one step, forward or back

    def _go(self, row: OperationRow) -> OperationRow:
        operation = self._registry[row.kind]
        step = operation.steps[row.position]
        if row.state == "running":
            if row.cancel_requested and operation.cancellable and not operation.forward_only:
                raise Cancelled
            if row.crashes >= CRASH_LIMIT and not operation.forward_only:
                raise StepFailed(f"{row.crashes} workers died in the step {step.name}; it is not tried again.")
        if row.crashes:
            row = self._fenced(lambda tx: store.mark_started(tx, row))
        arguments = msgspec.convert(row.arguments, operation.arguments)
        return self._do(operation, row, arguments) if row.state == "running" else self._undo(operation, row, arguments)

    def _do(self, operation: Operation[Any], row: OperationRow, arguments: Any) -> OperationRow:
        step = operation.steps[row.position]
        self._point(operation, step, "before")
        value = None
        if step.do is not None:
            value = msgspec.to_builtins(step.do(self._run_of(operation, row, arguments, row.results)))
        self._point(operation, step, "inside")
        moved = self._fenced(lambda tx: self._record(tx, operation, row, arguments, value))
        self._point(operation, step, "recorded")
        return moved

    def _record(
        self, tx: Transaction, operation: Operation[Any], row: OperationRow, arguments: Any, value: Any
    ) -> OperationRow | None:
        """One transaction: this step's result and facts, then the following steps that only record."""
        results = dict(row.results)
        position = row.position
        while True:
            step = operation.steps[position]
            if value is not None:
                results[step.name] = value
            if step.record is not None:
                step.record(tx, self._run_of(operation, row, arguments, results))
            self._point(operation, step, "after")
            position += 1
            if position == len(operation.steps):
                moved = store.finish(tx, row, "done", results=results)
                break
            following = operation.steps[position]
            place = following.place(arguments, results)
            keep = place in self._session.reach
            if following.do is not None or not keep:
                moved = store.advance(tx, row, results=results, position=position, place=place, keep=keep)
                break
            value = None
        return self._settled(tx, operation, moved, arguments)

    def _undo(self, operation: Operation[Any], row: OperationRow, arguments: Any) -> OperationRow:
        step = operation.steps[row.position]
        self._point(operation, step, "undo-before")
        if step.undo is not None:
            step.undo(self._run_of(operation, row, arguments, row.results))
        self._point(operation, step, "undo-inside")
        moved = self._fenced(lambda tx: self._record_undo(tx, operation, row, arguments))
        self._point(operation, step, "undo-recorded")
        return moved

    def _record_undo(
        self, tx: Transaction, operation: Operation[Any], row: OperationRow, arguments: Any
    ) -> OperationRow | None:
        """One transaction: what this step's undo records, then that of the steps before it that have no `undo`."""
        position = row.position
        run = self._run_of(operation, row, arguments, row.results)
        while True:
            step = operation.steps[position]
            if step.undo_record is not None:
                step.undo_record(tx, run)
            self._point(operation, step, "undo-after")
            position -= 1
            if position < 0:
                operation.failed(tx, run, row.error or CANCELLED)
                moved = store.finish(tx, row, "undone", results=row.results)
                break
            following = operation.steps[position]
            place = following.place(arguments, row.results)
            keep = place in self._session.reach
            nothing = following.undo is None and following.undo_record is None
            if not nothing and (following.undo is not None or not keep):
                moved = store.retreat(tx, row, position=position, place=place, keep=keep)
                break
        return self._settled(tx, operation, moved, arguments)

    def _settled(
        self, tx: Transaction, operation: Operation[Any], moved: OperationRow | None, arguments: Any
    ) -> OperationRow | None:
        if moved is not None:
            operation.settle(tx, self._run_of(operation, moved, arguments, moved.results))
        return moved

    # ---- failures

    def _after_failure(self, row: OperationRow, error: Exception) -> OperationRow:
        operation = self._registry[row.kind]
        step = operation.steps[row.position]
        if isinstance(error, StepNotReady):
            return self._defer(row, error.pause, str(error), failed_try=False)
        reason = self._reason(operation, step, row, error)
        if row.state == "undoing" or operation.forward_only:
            pause = _growing(row.attempts, _LONGEST_PAUSE_FOR_EVER)
            _log.warning("%s (%s), step %s: %s; again in %.1f s", row.kind, row.id, step.name, reason, pause)
            return self._defer(row, pause, reason, failed_try=True, told=operation.delayed)
        if _is_transient(error) and row.attempts + 1 < step.attempts:
            return self._defer(row, _growing(row.attempts, _LONGEST_PAUSE), reason, failed_try=True)
        return self._turn_back(operation, row, reason)

    def _reason(self, operation: Operation[Any], step: Step[Any], row: OperationRow, error: Exception) -> str:
        known = isinstance(error, (StepFailed, PumiceError)) or hasattr(type(error), "transient")
        if known:
            return str(error) or type(error).__name__
        _log.error("internal error in step %s of %s (%s)", step.name, row.kind, row.id, exc_info=error)
        return f"internal error in step {step.name} of {operation.kind} ({row.id})"

    def _turn_back(self, operation: Operation[Any], row: OperationRow, reason: str) -> OperationRow:
        arguments = msgspec.convert(row.arguments, operation.arguments)

        def turn(tx: Transaction) -> OperationRow | None:
            moved = store.begin_undo(tx, row, position=row.position, place=row.place, reason=reason, keep=True)
            return self._settled(tx, operation, moved, arguments)

        return self._fenced(turn)

    def _defer(
        self, row: OperationRow, pause: float, reason: str, *, failed_try: bool, told: Told | None = None
    ) -> OperationRow:
        """told: called with the third failure in a row, in the same transaction."""

        def defer(tx: Transaction) -> OperationRow | None:
            moved = store.defer(tx, row, pause=int(pause * SECOND), reason=reason, failed_try=failed_try)
            if moved is not None and told is not None and moved.attempts == _TOLD_AT:
                operation = self._registry[row.kind]
                arguments = msgspec.convert(row.arguments, operation.arguments)
                told(tx, self._run_of(operation, moved, arguments, moved.results), reason)
            return moved

        return self._fenced(defer)

    def _give_up_for_now(self, row: OperationRow, error: Exception) -> OperationRow | None:
        """Even turning back failed (an error in `settle` or in the arguments): leave it visible, try again later."""
        _log.error("%s (%s) cannot turn back", row.kind, row.id, exc_info=error)
        reason = f"internal error while {row.kind} ({row.id}) turned back: {type(error).__name__}"
        try:
            return self._defer(row, _growing(row.attempts, _LONGEST_PAUSE_FOR_EVER), reason, failed_try=True)
        except Fenced:
            return None

    # ---- helpers

    def _run_of(
        self, operation: Operation[Any], row: OperationRow, arguments: Any, results: Mapping[str, Any]
    ) -> Run[Any]:
        return Run(
            operation_id=row.id,
            arguments=arguments,
            results=results,
            epoch=row.epoch,
            row=row,
            database=self._database,
            world=self._world,
            progress=_Progress(self, operation, row),
        )

    def _fenced(self, function: Callable[[Transaction], OperationRow | None]) -> OperationRow:
        """Run it as one transaction, for as long as the database is away. Raises Fenced when it answers None."""

        def refuse_none(tx: Transaction) -> OperationRow:
            moved = function(tx)
            if moved is None:
                raise Fenced
            return moved

        return self._write(refuse_none)

    def _write(self, function: Callable[[Transaction], T]) -> T:
        pause = 0.05
        while True:
            try:
                return self._database.run_write(function)
            except DatabaseUnavailable:
                if self._stopping.wait(pause) or self._session.lost.is_set():
                    raise Fenced from None
                pause = min(pause * 2, 2.0)

    @staticmethod
    def _point(operation: Operation[Any], step: Step[Any], moment: str) -> None:
        faults.point(f"operation:{operation.kind}/{step.name}:{moment}")

    def report(self, operation: Operation[Any], row: OperationRow, percent: int) -> None:
        """Store the progress. Raises Fenced or Cancelled; a database that is away now is no reason to stop a copy."""
        try:
            stored = self._database.run_write(lambda tx: store.report_progress(tx, row, percent))
        except DatabaseUnavailable:
            return
        if stored is None:
            raise Fenced
        if stored.cancel_requested and row.state == "running" and operation.cancellable and not operation.forward_only:
            raise Cancelled


class _Progress:
    """`run.progress`: cheap to call often; writes now and then."""

    def __init__(self, runner: Runner, operation: Operation[Any], row: OperationRow) -> None:
        self._runner = runner
        self._operation = operation
        self._row = row
        self._clock = runner._database.clock
        self._written = self._clock.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if self._runner._over():
            raise Fenced
        now = self._clock.monotonic()
        if now - self._written >= _PROGRESS_SECONDS:
            self._written = now
            self._runner.report(self._operation, self._row, max(0, min(100, done * 100 // total)) if total else 0)


def _is_transient(error: Exception) -> bool:
    return isinstance(error, DatabaseUnavailable) or getattr(error, "transient", False) is True


def _growing(attempts: int, longest: float) -> float:
    """Seconds: 0.2, 0.4, 0.8, ... the longest."""
    return float(min(_FIRST_PAUSE * 2 ** min(attempts, 20), longest))
