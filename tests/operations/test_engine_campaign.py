"""The fault campaign on the engine's toy: what every operation of the product goes through too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pumice.db.engine import Database
from pumice.db.schema import metadata
from pumice.operations.model import Registry
from tests.operations import toy
from tests.operations.harness import ORDEALS, Campaign, Drills, OperationCase
from tests.support.databases import Databases

pytestmark = pytest.mark.real

THING = "11111111-1111-4111-8111-111111111111"


def prepare(url: str) -> None:
    database = Database(url)
    metadata.create_all(database.engine)
    toy.metadata.create_all(database.engine)
    database.close()


def ask_make(database: Database) -> str:
    return toy.ask_make(database, THING)


def check_made(database: Database, shelf: toy.Shelf) -> None:
    assert toy.statuses(database) == {THING: "made", f"{THING[:30]}-label": "label"}
    assert shelf.names() == [THING, f"{THING}.box"]


def check_failed(database: Database, shelf: toy.Shelf) -> None:
    assert toy.statuses(database) == {THING: "failed"}
    assert shelf.names() == []


def put_a_thing(database: Database, shelf: toy.Shelf) -> None:
    with database.write() as tx:
        tx.execute(toy.things.insert().values(id=THING, status="made"))
    shelf.put(THING, "")
    shelf.put(f"{THING}.box", "")


def ask_drop(database: Database) -> str:
    return toy.ask_drop(database, THING)


def check_dropped(database: Database, shelf: toy.Shelf) -> None:
    assert toy.statuses(database) == {}
    assert shelf.names() == []


def ask_note(database: Database) -> str:
    return toy.ask_note(database, "hello")


def check_noted(database: Database, shelf: toy.Shelf) -> None:
    assert shelf.log.read_text().startswith("note hello ")


CAMPAIGN = Campaign(
    __name__,
    toy.REGISTRY,
    toy.Shelf,
    [toy.PLACE],
    [
        OperationCase(toy.MAKE_THING, ask_make, check_made, check_failed),
        OperationCase(toy.NOTE_THING, ask_note, check_noted),
        OperationCase(toy.DROP_THING, ask_drop, check_dropped, setup=put_a_thing),
    ],
    prepare=prepare,
    census=toy.Shelf.names,
)


@pytest.mark.parametrize("case", CAMPAIGN.cases, ids=str)
@pytest.mark.parametrize("ordeal", ORDEALS, ids=lambda ordeal: ordeal.__name__)
def test_ordeal(
    ordeal: Callable[[Drills], None], case: OperationCase, databases: Databases, database_kind: str, tmp_path: Path
) -> None:
    ordeal(Drills(CAMPAIGN, case, databases, database_kind, tmp_path))


def test_an_operation_without_a_case_is_noticed() -> None:
    CAMPAIGN.check_complete()
    registry = Registry()
    registry.add(toy.MAKE_THING, toy.NOTE_THING, toy.DROP_THING)
    lacking: Any = Campaign(__name__, registry, toy.Shelf, [toy.PLACE], CAMPAIGN.cases[:2])
    with pytest.raises(AssertionError, match=r"toy\.drop"):
        lacking.check_complete()
