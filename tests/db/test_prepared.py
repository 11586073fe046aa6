"""Statements that are kept behave as SQLAlchemy's own execution of them: values, rows, errors, counts."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    event,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, MultipleResultsFound, NoResultFound, StatementError

from pumice.db.engine import Database, DatabaseUnavailable, Transaction
from pumice.db.prepared import Rows
from tests.support.databases import Databases
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.real

own = MetaData()
things = Table(
    "kept_things",
    own,
    Column("id", String(36), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("good", Boolean, nullable=False),
    Column("data", JSON(none_as_null=True)),
    Column("note", String(20), unique=True),
)
numbered = Table("kept_numbers", own, Column("number", Integer, primary_key=True), Column("name", String(20)))

INSERT = insert(things)
GET = select(things).where(things.c.id == bindparam("wanted"))
ADD = (
    update(things)
    .where(things.c.id == bindparam("wanted"), things.c.good.is_(True))
    .values(amount=things.c.amount + bindparam("more"), data=bindparam("data"))
    .returning(things.c.amount, things.c.data)
)
FORGET = delete(things).where(things.c.amount < bindparam("least"))
LISTED = select(things.c.id).where(things.c.id.in_(bindparam("ids", expanding=True))).order_by(things.c.id)
MIXED = select(
    things.c.good, literal("word").label("word"), func.coalesce(bindparam("given", type_=String), things.c.note)
).order_by(things.c.id)
SOME = select(things).where(things.c.amount >= bindparam("least")).order_by(things.c.id).limit(bindparam("count"))
ROW = {"id": "a", "amount": 2**40, "good": True, "data": {"deep": ["é", None, 1.5, {"x": False}]}, "note": None}


def prepare(url: str) -> None:
    database = Database(url)
    own.create_all(database.engine)
    database.close()


@pytest.fixture
def database(database_kind: str, databases: Databases) -> Iterator[Database]:
    with databases.fresh(database_kind, prepare) as url:
        found = Database(url)
        yield found
        found.close()


def often(tx: Transaction, statement: Any, parameters: dict[str, Any] | None = None) -> Rows:
    """Execute it until it is one that is kept."""
    for _ in range(5):
        rows = tx.execute(statement, parameters)
        if isinstance(rows, Rows):
            return rows
    raise AssertionError("it is never kept")


def fill(tx: Transaction) -> None:
    for name in "abcd":
        tx.execute(INSERT, {**ROW, "id": name})


def test_values_and_rows_are_those_of_the_usual_way(database: Database) -> None:
    with database.write() as tx:
        fill(tx)
    for parameters in ({"wanted": "a"}, {"wanted": "nobody"}):
        with database.read() as tx:
            usual = tx.connection.execute(GET, parameters).all()
            rows = often(tx, GET, parameters).all()
            assert rows == usual
            assert [dict(row._mapping) for row in rows] == [dict(row._mapping) for row in usual]
    with database.read() as tx:
        row = often(tx, GET, {"wanted": "b"}).one()
        assert (row.id, row.amount, row.good, row.data, row.note) == ("b", 2**40, True, ROW["data"], None)
        assert row.good is True
        assert often(tx, MIXED, {"given": None}).all() == [(True, "word", None)] * 4
        assert list(often(tx, MIXED, {"given": "x"}).scalars()) == [True] * 4


ASKED: dict[str, Callable[[Any], Any]] = {
    "iteration": list,
    "all": lambda rows: rows.all(),
    "fetchall": lambda rows: rows.fetchall(),
    "first": lambda rows: rows.first(),
    "one": lambda rows: rows.one(),
    "one_or_none": lambda rows: rows.one_or_none(),
    "scalar": lambda rows: rows.scalar(),
    "scalar_one": lambda rows: rows.scalar_one(),
    "scalar_one_or_none": lambda rows: rows.scalar_one_or_none(),
    "scalars": lambda rows: list(rows.scalars()),
    "all scalars": lambda rows: rows.scalars().all(),
    "first scalar": lambda rows: rows.scalars().first(),
    "mappings": lambda rows: [dict(row) for row in rows.mappings()],
    "partitions": lambda rows: [list(part) for part in rows.partitions(2)],
}


@pytest.mark.parametrize("asked", ASKED)
def test_rows_answer_as_sqlalchemys_results_do(database: Database, asked: str) -> None:
    def outcome(rows: Any) -> Any:
        try:
            return ASKED[asked](rows)
        except (NoResultFound, MultipleResultsFound) as error:
            return type(error)

    with database.write() as tx:
        fill(tx)
    with database.read() as tx:
        for least in (2**50, 2**40):
            for count in (1, 4):
                parameters = {"least": least, "count": count}
                assert outcome(often(tx, SOME, parameters)) == outcome(tx.connection.execute(SOME, parameters))


def test_changes_count_rows_and_answer(database: Database) -> None:
    with database.write() as tx:
        fill(tx)
        parameters = {"wanted": "a", "more": 1, "data": {"n": 1}}
        before = often(tx, ADD, parameters).one()
        after = tx.execute(ADD, {**parameters, "data": None})
        assert isinstance(after, Rows) and after.one() == (before.amount + 1, None)
        assert often(tx, ADD, {**parameters, "wanted": "nobody"}).first() is None
        assert often(tx, FORGET, {"least": 0}).rowcount == 0
        assert tx.execute(FORGET, {"least": 2**50}).rowcount == 4


def test_each_set_of_names_is_a_statement_of_its_own(database: Database) -> None:
    with database.write() as tx:
        fill(tx)
        tx.execute(INSERT, {**ROW, "id": "e", "note": "five"})
        del (short := {**ROW, "id": "f"})["data"]
        tx.execute(INSERT, short)
        assert often(tx, GET, {"wanted": "f"}).one().data is None
        assert often(tx, GET, {"wanted": "e"}).one().note == "five"


def test_errors_are_sqlalchemys_and_leave_the_connection_usable(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as tx:
        fill(tx)
        fill(tx)
    with database.write() as tx:
        fill(tx)
    with database.read() as tx:
        with pytest.raises(NoResultFound):
            often(tx, GET, {"wanted": "nobody"}).one()
        with pytest.raises(MultipleResultsFound):
            often(tx, MIXED, {"given": "x"}).one()
        with pytest.raises(StatementError, match="wanted"):
            often(tx, GET, {})
        assert often(tx, GET, {"wanted": "a"}).one().id == "a"


def test_what_no_driver_takes_is_refused_as_in_the_usual_way(database: Database) -> None:
    beyond = {"least": 2**70}
    with database.write() as tx:
        often(tx, FORGET, {"least": 0})
    with pytest.raises(Exception) as usual, database.write() as tx:
        tx.connection.execute(FORGET, beyond)
    with pytest.raises(Exception) as kept, database.write() as tx:
        tx.execute(FORGET, beyond)
    assert type(kept.value) is type(usual.value)
    with database.write() as tx:
        assert often(tx, FORGET, {"least": 0}).rowcount == 0


def test_what_depends_on_values_goes_the_usual_way(database: Database) -> None:
    plain = text("SELECT count(*) FROM kept_things")
    with database.write() as tx:
        fill(tx)
        for ids in (["a"], ["b", "c"], [], ["d"], ["a", "b", "c"]):
            assert list(tx.execute(LISTED, {"ids": ids}).scalars()) == ids
            assert not isinstance(tx.execute(LISTED, {"ids": ids}), Rows)
            assert tx.execute(plain).scalar_one() == 4
        for name in "xyzuvw":
            tx.execute(insert(numbered), {"name": name})
        named = insert(numbered)
        for name in "klmnop":
            tx.execute(named, {"name": name})
        assert list(tx.execute(select(numbered.c.number).order_by("number")).scalars()) == list(range(1, 13))


def test_who_listens_to_statements_hears_all(database: Database) -> None:
    heard: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: object) -> None:
        heard.append(statement)

    with database.read() as tx:
        often(tx, GET, {"wanted": "a"})
        event.listen(tx.connection.engine, "before_cursor_execute", note)
        try:
            tx.execute(GET, {"wanted": "a"}).all()
        finally:
            event.remove(tx.connection.engine, "before_cursor_execute", note)
        tx.execute(GET, {"wanted": "a"}).all()
    assert len(heard) == 1


def test_a_server_that_was_restarted_is_found_again(databases: Databases, postgres_server: PostgresServer) -> None:
    """The pool's dead connections are thrown away after a kept statement, as after any other."""

    def look(tx: Transaction) -> int:
        return len(often(tx, MIXED, {"given": "x"}).all())

    with databases.fresh("postgresql", prepare) as url:
        database = Database(url)
        assert database.run_read(look) == 0
        postgres_server.stop()
        postgres_server.start()
        assert database.run_read(look) == 0
        postgres_server.stop()
        with pytest.raises(DatabaseUnavailable):
            database.run_read(look)
        postgres_server.start()
        assert database.run_read(look) == 0
        database.close()
