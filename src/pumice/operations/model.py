"""What an operation is: a durable sequence of idempotent steps with a way back, declared on top of its file.

    CREATE_VOLUME = Operation(
        "volume.create", CreateVolume, subject="volume",
        steps=(
            Step("allocate", do=allocate, undo=remove, at=backend_of),
            Step("fill", do=fill, at=backend_of),
            Step("finish", record=mark_there),
        ),
        failed=mark_broken, settle=refresh,
    )

                      do, record of each step                    last step recorded
      enqueue --> running ------------------------> running ----------------------> done
                     | a step failed for good, or cancel
                     v
                  undoing --undo of each step, backwards, for ever until it works--> undone

How a step runs. Outside any transaction: `do(run)`; it is idempotent and may be run again after a crash at any place.
Then in ONE transaction, fenced by the operation's epoch: its result is stored, `record(tx, run)` changes the facts,
the position moves on; following steps that have only a `record` and need no other place join the same transaction.
A step that only has a `record` costs nothing but its part of a transaction.

Undo starts at the step that failed (it may be half done) and goes back to the first. `undo(run)` tolerates "never
happened". When all is undone, `failed(tx, run, reason)` records what the user sees, in the transaction that ends it.
`settle(tx, run)` is called last in every transaction that changes the operation's state (and on enqueue): it rewrites
the derived columns of what the operation holds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from pumice.caller import SYSTEM_USER, Caller
from pumice.db.engine import Database, Transaction

A = TypeVar("A", bound=msgspec.Struct)

ANYWHERE = "anywhere"
"""The place of a step that any worker session may run."""

State = Literal["running", "undoing", "done", "undone"]
Mode = Literal["exclusive", "shared"]


def backend_place(backend: str) -> str:
    """The worker session that owns this backend ("host@name")."""
    return f"backend:{backend}"


def host_place(host: str) -> str:
    """The worker session that owns the hypervisor of this compute host."""
    return f"host:{host}"


class StepFailed(Exception):
    """This step cannot succeed, whoever tries: undo. `str()` is one sentence for the user."""


class StepNotReady(Exception):
    """The step waits for something outside; run it again after `pause` seconds. Does not count as an attempt."""

    def __init__(self, reason: str, pause: float = 0.5) -> None:
        super().__init__(reason)
        self.pause = pause


class Fenced(BaseException):
    """Another session has taken this operation over: stop at once, write nothing. Raised by the engine only."""


class Cancelled(BaseException):
    """The operation was cancelled: the engine turns it to undoing. Raised by `progress` and between steps."""


class Claim(msgspec.Struct, frozen=True):
    """What an operation holds while it lives: one exclusive holder of a resource, or any number of shared ones."""

    resource_type: str
    """"volume", "snapshot", "attachment", "server", "image", "backup"."""
    resource_id: str
    mode: Mode


def exclusive(resource_type: str, resource_id: str) -> Claim:
    return Claim(resource_type, resource_id, "exclusive")


def shared(resource_type: str, resource_id: str) -> Claim:
    return Claim(resource_type, resource_id, "shared")


class OperationRow(msgspec.Struct, frozen=True):
    """An operation as stored; `arguments` and `results` are plain JSON."""

    id: str
    kind: str
    state: State
    subject_type: str
    subject_id: str
    project_id: str | None
    user_id: str | None
    request_id: str | None
    arguments: dict[str, Any]
    results: dict[str, Any]
    position: int
    place: str
    session_id: str | None
    epoch: int
    attempts: int
    """Failed tries of the step at hand."""
    crashes: int
    """Workers that died with the step at hand in their hands."""
    started: bool
    """A worker was about to run the step after a crash."""
    not_before: int
    error: str | None
    """Why it is undone."""
    last_error: str | None
    """Why the step at hand (or its undo) is being tried again."""
    progress: int | None
    cancel_requested: bool
    created_at: int
    updated_at: int
    finished_at: int | None


class World(Protocol):
    """What steps reach the outside with; the agent makes one (`pumice.operations.world`)."""


@dataclass(frozen=True, slots=True)
class Run(Generic[A]):
    """One running of one step: what `do`, `record`, `undo`, `failed` and `settle` get."""

    operation_id: str
    arguments: A
    results: Mapping[str, Any]
    """Results of the steps done so far, by step name; in `record` this step's own too."""
    epoch: int
    """Fencing number: goes into the names of unpublished work."""
    row: OperationRow
    database: Database
    """For steps that must look something up; write facts in `record` only. None, like `world`, in settle on enqueue."""
    world: Any
    """`pumice.operations.world.World`; None in transactions of the API process (settle on enqueue)."""
    progress: Callable[[int, int], None] = field(default=lambda done, total: None)
    """Report (done, total); written now and then. Raises Fenced or Cancelled: let them pass."""


@dataclass(frozen=True, slots=True)
class Step(Generic[A]):
    """One step. `at`: where it runs: a place, or a function of the arguments and the results so far that names one."""

    name: str
    do: Callable[[Run[A]], Any] | None = None
    """Side effects; returns a JSON-able result (or a Struct), None for none."""
    record: Callable[[Transaction, Run[A]], None] | None = None
    undo: Callable[[Run[A]], None] | None = None
    undo_record: Callable[[Transaction, Run[A]], None] | None = None
    at: str | Callable[[A, Mapping[str, Any]], str] = ANYWHERE
    attempts: int = 5
    """How often a transient failure (an exception with `transient = True`) is tried, with growing pauses."""
    long: bool = False
    """Copies data, or waits: at most half of a worker's threads run such steps, so that short ones never queue."""

    def place(self, arguments: A, results: Mapping[str, Any]) -> str:
        """Where the step runs, for these arguments and the results so far."""
        return self.at if isinstance(self.at, str) else self.at(arguments, results)


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """A kind of operation; see the head of this file."""

    kind: str
    arguments: type[A]
    subject: str
    steps: tuple[Step[A], ...]
    failed: Callable[[Transaction, Run[A], str], None]
    settle: Callable[[Transaction, Run[A]], object]
    cancellable: bool = True
    """False: once started it only goes forward (deletes)."""
    forward_only: bool = False
    """True: a failing step is retried for ever with growing pauses, visibly; there is no undo (deletes, releases)."""
    delayed: Callable[[Transaction, Run[A], str], None] | None = None
    """Called once for a step or an undo that goes on failing and is tried for ever: tells the user why it lasts."""

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"{self.kind}: steps need distinct names, got {names}")


class Registry:
    """Every kind of operation that a process knows, by kind."""

    def __init__(self) -> None:
        self._operations: dict[str, Operation[Any]] = {}

    def add(self, *operations: Operation[Any]) -> None:
        for operation in operations:
            if self._operations.setdefault(operation.kind, operation) is not operation:
                raise ValueError(f"two operations are called {operation.kind}")

    def __getitem__(self, kind: str) -> Operation[Any]:
        return self._operations[kind]

    def __iter__(self) -> Iterator[Operation[Any]]:
        return iter(self._operations.values())

    def __contains__(self, kind: object) -> bool:
        return kind in self._operations

    def kinds(self) -> list[str]:
        return sorted(self._operations)


def caller_of(row: OperationRow) -> Caller:
    """Who asked for the operation, for events and messages written by its steps."""
    return Caller(
        request_id=row.request_id or "",
        user_id=row.user_id or SYSTEM_USER,
        project_id=row.project_id,
        roles=frozenset(),
    )
