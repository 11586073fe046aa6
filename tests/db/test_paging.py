"""Pages of lists: whoever follows the markers sees every row once, in order, whatever is NULL, in both databases."""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, bindparam, insert, select

from pumice.db.engine import Database, Transaction
from pumice.db.paging import Listing, PageRequest, text_filter
from pumice.errors import BadRequest
from tests.support.databases import Databases

pytestmark = pytest.mark.real

own = MetaData()
things = Table(
    "paged_things",
    own,
    Column("id", String(36), primary_key=True),
    Column("owner", String(20), nullable=False),
    Column("size", Integer, nullable=False),
    Column("name", String(20)),
    Column("host", String(20)),
    Column("good", Boolean, nullable=False),
)
LISTING = Listing(
    things,
    filters={"name": text_filter(things.c.name)},
    sorts={name: things.c[name] for name in ("id", "size", "name", "host", "good")},
    default_sort=(("size", "desc"),),
)
EVERYTHING = select(things)
OWNED = EVERYTHING.where(things.c.owner == bindparam("owner"))
ROWS = 23
SORTS: tuple[Any, ...] = (
    (),
    *(((key, direction),) for key in LISTING.sorts for direction in ("asc", "desc")),
    (("name", "asc"), ("size", "asc")),
    (("name", "asc"), ("host", "asc")),
    (("host", "desc"), ("size", "asc")),
    (("host", "desc"), ("name", "asc")),
    (("name", "desc"), ("host", "desc"), ("size", "desc")),
)


def prepare(url: str) -> None:
    database = Database(url)
    own.create_all(database.engine)
    chance = random.Random(7)
    with database.write() as tx:
        for number in range(2 * ROWS):
            row = {
                "id": f"{chance.getrandbits(64):016x}",
                "owner": "me" if number % 2 else "other",
                "size": chance.randrange(4),
                "name": chance.choice([None, "a", "b"]),
                "host": chance.choice([None, "x"]),
                "good": chance.random() < 0.5,
            }
            tx.execute(insert(things), row)
    database.close()


@pytest.fixture
def database(database_kind: str, databases: Databases) -> Iterator[Database]:
    with databases.fresh(database_kind, prepare) as url:
        found = Database(url)
        yield found
        found.close()


def page(tx: Transaction, request: PageRequest, *, kept: bool) -> Any:
    if kept:
        return LISTING.page(tx, OWNED, request, tuple, {"owner": "me"})
    return LISTING.page(tx, EVERYTHING.where(things.c.owner == "me"), request, tuple)


def in_order(rows: Sequence[Any], sorts: Any) -> list[str]:
    """The ids as Python sorts them: NULL below every value, the id last, in the direction of the last key."""
    sorts = sorts or (("size", "desc"),)
    names = [column.name for column in things.c]
    found = list(rows)
    if all(key != "id" for key, _ in sorts):
        sorts = (*sorts, ("id", sorts[-1][1]))
    for key, direction in reversed(sorts):
        place = names.index(key)
        found.sort(key=lambda row: (row[place] is not None, row[place]), reverse=direction == "desc")
    return [row[0] for row in found]


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "made anew"])
@pytest.mark.parametrize("sorts", SORTS, ids=str)
def test_following_the_markers_shows_every_row_once_in_order(database: Database, sorts: Any, kept: bool) -> None:
    with database.read() as tx:
        rows = tx.connection.execute(select(things).where(things.c.owner == "me")).all()
        for limit in (4, 7):
            found: list[str] = []
            marker: str | None = None
            for _ in range(ROWS):
                answer = page(tx, PageRequest(limit=limit, marker=marker, sorts=sorts, with_count=True), kept=kept)
                assert answer.total == len(rows)
                found += [row[0] for row in answer.items]
                marker = answer.next_marker
                if marker is None:
                    break
            assert found == in_order(rows, sorts)


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "made anew"])
def test_offsets_and_filters_count_from_the_marker_on(database: Database, kept: bool) -> None:
    with database.read() as tx:
        rows = tx.connection.execute(select(things).where(things.c.owner == "me")).all()
        whole = in_order(rows, ())
        for offset in (0, 3):
            for marker in (None, whole[2]):
                behind = whole[0 if marker is None else 3 :]
                for _ in range(4):
                    answer = page(tx, PageRequest(limit=5, marker=marker, offset=offset), kept=kept)
                    assert [row[0] for row in answer.items] == behind[offset : offset + 5]
                named = page(tx, PageRequest(marker=marker, offset=offset, filters=(("name", "a"),)), kept=kept)
                of_name = [row[0] for row in rows if row.name == "a"]
                assert [row[0] for row in named.items] == [one for one in behind if one in of_name][offset:]


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "made anew"])
def test_what_the_caller_may_not_see_is_no_marker(database: Database, kept: bool) -> None:
    with database.read() as tx:
        foreign = tx.connection.execute(select(things.c.id).where(things.c.owner == "other")).scalars().first()
        for _ in range(4):
            with pytest.raises(BadRequest, match=f"marker '{foreign}' is no id of the list"):
                page(tx, PageRequest(marker=foreign), kept=kept)


@pytest.mark.parametrize("sorts", [(), (("name", "asc"),), (("name", "desc"), ("host", "asc"))], ids=str)
def test_a_kept_statement_shows_each_owner_only_what_is_theirs(database: Database, sorts: Any) -> None:
    with database.read() as tx:
        rows = {
            owner: in_order(tx.connection.execute(select(things).where(things.c.owner == owner)).all(), sorts)
            for owner in ("me", "other", "nobody")
        }
        for turn in range(12):  # the first times, and when the statements are kept
            for owner, whole in rows.items():
                marker = whole[turn] if whole else None
                request = PageRequest(marker=marker, sorts=sorts, limit=turn % 5, with_count=True)
                answer = LISTING.page(tx, OWNED, request, tuple, {"owner": owner})
                behind = whole[turn + 1 :] if whole else []
                assert ([row[0] for row in answer.items], answer.total) == (behind[: turn % 5], len(whole))


def test_kept_statements_stay_few(database: Database) -> None:
    keys = list(LISTING.sorts)
    with database.read() as tx:
        for chosen in itertools.islice(itertools.permutations(keys, 4), 150):
            page(tx, PageRequest(sorts=tuple((key, "asc") for key in chosen)), kept=True)
    assert 0 < len(LISTING._kept) <= 100
