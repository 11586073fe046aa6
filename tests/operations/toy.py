"""A toy operation for testing the engine itself: things on a shelf (files in a directory) and rows about them."""

import json
import os
import time
from pathlib import Path

import msgspec
from sqlalchemy import Column, MetaData, String, Table, delete, insert, select, update

from pumice.caller import new_id, system_caller
from pumice.db.engine import Database, Transaction
from pumice.operations import store
from pumice.operations.model import Operation, Registry, Run, Step, exclusive

metadata = MetaData()
things = Table("toy_things", metadata, Column("id", String(36), primary_key=True), Column("status", String(16)))

PLACE = "backend:toy"


class Shelf:
    """The outside: `<directory>/shelf/<name>`; a line in `log` for each call that had something to do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "shelf"
        self.directory.mkdir(exist_ok=True)
        self.log = directory / "log"

    def put(self, name: str, content: str) -> None:
        (self.directory / name).write_text(content)
        self.note(f"put {name} {time.time_ns()}")

    def take(self, name: str) -> None:
        (self.directory / name).unlink(missing_ok=True)
        self.note(f"take {name}")

    def note(self, line: str) -> None:
        with self.log.open("a") as log:
            log.write(line + "\n")

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())


class MakeThing(msgspec.Struct, frozen=True):
    thing_id: str
    content: str = "content"


def box(run: Run[MakeThing]) -> dict[str, str]:
    run.world.put(f"{run.arguments.thing_id}.box", "")
    return {"box": f"{run.arguments.thing_id}.box"}


def unbox(run: Run[MakeThing]) -> None:
    run.world.take(f"{run.arguments.thing_id}.box")


def fill(run: Run[MakeThing]) -> None:
    run.progress(0, 1)
    run.world.put(run.arguments.thing_id, json.dumps([run.results["box"], run.arguments.content]))


def empty(run: Run[MakeThing]) -> None:
    run.world.take(run.arguments.thing_id)


def add_label(tx: Transaction, run: Run[MakeThing]) -> None:
    tx.execute(insert(things).values(id=label(run), status="label"))


def drop_label(tx: Transaction, run: Run[MakeThing]) -> None:
    tx.execute(delete(things).where(things.c.id == label(run)))


def label(run: Run[MakeThing]) -> str:
    return f"{run.arguments.thing_id[:30]}-label"


def mark_made(tx: Transaction, run: Run[MakeThing]) -> None:
    set_status(tx, run.arguments.thing_id, "made")


def mark_failed(tx: Transaction, run: Run[MakeThing], reason: str) -> None:
    set_status(tx, run.arguments.thing_id, "failed")


def settle(tx: Transaction, run: Run[MakeThing]) -> None:
    """A thing with a live operation is busy, as a status is derived."""
    live = store.live_for(tx, "thing", run.arguments.thing_id)
    if live:
        set_status(tx, run.arguments.thing_id, live[0].state)


def set_status(tx: Transaction, thing_id: str, status: str) -> None:
    tx.execute(update(things).where(things.c.id == thing_id).values(status=status))


MAKE_THING = Operation(
    "toy.make",
    MakeThing,
    "thing",
    (
        Step("box", do=box, undo=unbox, at=PLACE),
        Step("label", record=add_label, undo_record=drop_label),
        Step("fill", do=fill, undo=empty, at=PLACE, long=True),
        Step("made", record=mark_made),
    ),
    failed=mark_failed,
    settle=settle,
)


class DropThing(msgspec.Struct, frozen=True):
    thing_id: str


def drop(run: Run[DropThing]) -> None:
    empty(run)  # type: ignore[arg-type]
    unbox(run)  # type: ignore[arg-type]


def forget(tx: Transaction, run: Run[DropThing]) -> None:
    tx.execute(delete(things).where(things.c.id == run.arguments.thing_id))


def not_failed(tx: Transaction, run: Run[DropThing], reason: str) -> None:
    raise AssertionError("it only goes forward")


DROP_THING = Operation(
    "toy.drop",
    DropThing,
    "thing",
    (Step("drop", do=drop, at=PLACE), Step("forget", record=forget)),
    failed=not_failed,
    settle=lambda tx, run: None,
    cancellable=False,
    forward_only=True,
)


class NoteThing(msgspec.Struct, frozen=True):
    text: str


def note(run: Run[NoteThing]) -> None:
    run.world.note(f"note {run.arguments.text} {os.getpid()}")


NOTE_THING = Operation(
    "toy.note",
    NoteThing,
    "thing",
    (Step("note", do=note),),
    failed=lambda tx, run, reason: None,
    settle=lambda tx, run: None,
)

REGISTRY = Registry()
REGISTRY.add(MAKE_THING, DROP_THING, NOTE_THING)


def ask_make(database: Database, thing_id: str | None = None, delay: int = 0) -> str:
    """A new thing is asked for; returns the operation's id."""
    thing_id = thing_id or new_id()

    def ask(tx: Transaction) -> str:
        tx.execute(insert(things).values(id=thing_id, status="new"))
        return store.enqueue(
            tx,
            MAKE_THING,
            MakeThing(thing_id),
            subject_id=thing_id,
            claims=[exclusive("thing", thing_id)],
            caller=system_caller(),
            delay=delay,
        ).id

    return database.run_write(ask)


def ask_drop(database: Database, thing_id: str) -> str:
    def ask(tx: Transaction) -> str:
        return store.enqueue(
            tx,
            DROP_THING,
            DropThing(thing_id),
            subject_id=thing_id,
            claims=[exclusive("thing", thing_id)],
            caller=system_caller(),
        ).id

    return database.run_write(ask)


def ask_note(database: Database, text: str) -> str:
    def ask(tx: Transaction) -> str:
        return store.enqueue(tx, NOTE_THING, NoteThing(text), subject_id=text, claims=[], caller=system_caller()).id

    return database.run_write(ask)


def statuses(database: Database) -> dict[str, str]:
    with database.read() as tx:
        return {row.id: row.status for row in tx.execute(select(things))}
