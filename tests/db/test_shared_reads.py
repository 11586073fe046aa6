"""Reads of one event loop that share a transaction: each gets its own answer, and a slow one holds up no others."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from pumice.db.engine import Database, DatabaseUnavailable, Transaction
from pumice.db.shared_reads import SharedReads
from pumice.errors import NotFound
from tests.operations.test_engine_campaign import prepare
from tests.support.databases import Databases
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.real


@pytest.fixture
def database(databases: Databases, database_kind: str) -> Iterator[Database]:
    with databases.fresh(database_kind, prepare) as url:
        opened = Database(url)
        yield opened
        opened.close()


def one(tx: Transaction, number: int) -> int:
    return int(tx.connection.execute(text("SELECT CAST(:number AS INTEGER)"), {"number": number}).scalar_one())


def missing(_tx: Transaction) -> int:
    raise NotFound("not there")


def broken(_tx: Transaction) -> int:
    raise ZeroDivisionError("a fault of ours")


class Held:
    """A read that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, _tx: Transaction) -> str:
        self.begun.set()
        assert self.let_go.wait(30), "nobody let it go"
        return "held"

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 30), "it never began"


def test_reads_that_wait_share_a_transaction_and_each_gets_its_own_answer(database: Database) -> None:
    seen: list[Transaction] = []

    def noted(tx: Transaction, number: int) -> int:
        seen.append(tx)
        return one(tx, number)

    async def ask() -> list[object]:
        reads, held = SharedReads(database), Held()
        first = asyncio.create_task(reads.run(held))
        await held.has_begun()
        rest = [asyncio.create_task(reads.run(noted, number)) for number in range(10)]
        odd = [asyncio.create_task(reads.run(missing)), asyncio.create_task(reads.run(broken))]
        rest += [asyncio.create_task(reads.run(noted, number)) for number in range(10, 20)]
        await asyncio.sleep(0)  # they are asked now
        held.let_go.set()
        return await asyncio.gather(first, *rest, *odd, return_exceptions=True)

    answers = asyncio.run(ask())
    assert answers[:21] == ["held", *range(20)]
    assert isinstance(answers[21], NotFound)
    assert isinstance(answers[22], ZeroDivisionError)
    assert len({id(tx) for tx in seen[:10]}) <= (1 if database.sqlite else 5)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_slow_read_of_postgresql_holds_up_no_others(database: Database) -> None:
    async def ask() -> None:
        reads, slow = SharedReads(database), [Held() for _ in range(database.readers - 1)]
        tasks = []
        for held in slow:
            tasks.append(asyncio.create_task(reads.run(held)))
            await held.has_begun()
        for number in range(3):
            assert await asyncio.wait_for(reads.run(one, number), 20) == number
        for held in slow:
            held.let_go.set()
        assert await asyncio.gather(*tasks) == ["held"] * len(slow)

    asyncio.run(ask())


def test_one_that_was_given_up_does_not_trouble_the_others(database: Database) -> None:
    async def ask() -> None:
        reads, held = SharedReads(database), Held()
        given_up = asyncio.create_task(reads.run(held))
        await held.has_begun()
        other = asyncio.create_task(reads.run(one, 1))
        given_up.cancel()
        held.let_go.set()
        assert await asyncio.wait_for(other, 20) == 1
        assert await asyncio.wait_for(reads.run(one, 2), 20) == 2

    asyncio.run(ask())


async def shared(database: Database, held: Held, *others: Any) -> "tuple[SharedReads, list[asyncio.Task[Any]]]":
    """Reads that share a transaction: those, asked while a reader was busy with something else that has ended."""
    reads, first = SharedReads(database), Held()
    before = asyncio.create_task(reads.run(first))
    await first.has_begun()
    tasks = [asyncio.create_task(reads.run(*one)) for one in (*others[:1], (held,), *others[1:])]
    await asyncio.sleep(0)  # they are asked now
    first.let_go.set()
    await before
    await held.has_begun()
    return reads, tasks


def test_what_has_ended_is_told_before_the_slow_read_that_shares_its_transaction(database: Database) -> None:
    async def ask() -> None:
        held = Held()
        _, (quick, slow) = await shared(database, held, (one, 1))
        assert await asyncio.wait_for(quick, 20) == 1
        held.let_go.set()
        assert await slow == "held"

    asyncio.run(ask())


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_what_shares_the_transaction_of_a_slow_read_of_postgresql_goes_to_another_reader(database: Database) -> None:
    async def ask() -> None:
        held = Held()
        _, (_, slow, *behind) = await shared(database, held, (one, 1), *((one, number) for number in range(20)))
        assert await asyncio.wait_for(asyncio.gather(*behind), 20) == list(range(20))
        held.let_go.set()
        assert await slow == "held"

    asyncio.run(ask())


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_read_that_the_server_ends_fails_alone(database: Database) -> None:
    def ended(tx: Transaction) -> None:
        tx.connection.execute(text("SET statement_timeout = '1ms'"))
        try:
            tx.connection.execute(text("SELECT pg_sleep(30)"))
        finally:
            tx.connection.execute(text("RESET statement_timeout"))

    async def ask() -> list[object]:
        held = Held()
        _, tasks = await shared(database, held, (one, 1), (ended,), (one, 2), (one, 3))
        held.let_go.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    first, slow, failed, *rest = asyncio.run(ask())
    assert (first, slow, rest) == (1, "held", [2, 3])
    assert isinstance(failed, DatabaseUnavailable)


def test_what_was_given_up_before_its_turn_does_not_run(database: Database) -> None:
    ran = []

    async def ask() -> None:
        reads, held = SharedReads(database), Held()
        first = asyncio.create_task(reads.run(held))
        await held.has_begun()
        given_up = [asyncio.create_task(reads.run(lambda _tx: ran.append("given up"))) for _ in range(3)]
        await asyncio.sleep(0)  # they are asked now
        for task in given_up:
            task.cancel()
        held.let_go.set()
        await first
        assert await asyncio.wait_for(reads.run(one, 1), 20) == 1

    asyncio.run(ask())
    assert ran == []


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_reads_after_a_restart_of_postgresql_are_answered(database: Database, postgres_server: PostgresServer) -> None:
    async def ask() -> list[int]:
        reads = SharedReads(database)
        return list(await asyncio.gather(*(reads.run(one, number) for number in range(20))))

    assert asyncio.run(ask()) == list(range(20))
    postgres_server.stop()
    postgres_server.start()
    assert asyncio.run(ask()) == list(range(20))
