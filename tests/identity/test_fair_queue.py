"""The threads that hash: a flood from one address or from many makes nobody else wait for long, and is bounded."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pumice.errors import TooManyRequests
from pumice.identity.fair_queue import SUSPECTS, FairQueue, Turns

pytestmark = pytest.mark.fast

MOST = 8


class Workshop:
    """A queue with one thread, which stands still until `gate` is set; `done` tells in which order it worked."""

    def __init__(self) -> None:
        self.queue = FairQueue(1, MOST, "test")
        self.gate = threading.Event()
        self.done: list[str] = []
        self.asked: list[asyncio.Task[None]] = []

    def ask(self, address: str, name: str | None = None) -> "asyncio.Task[None]":
        task = asyncio.create_task(self.queue.run(address, self._work, name or address))
        self.asked.append(task)
        return task

    def _work(self, name: str) -> None:
        assert self.gate.wait(20)
        self.done.append(name)

    async def begin(self) -> None:
        """The first job is in the thread; what comes now has to wait."""
        self.ask("first")
        await self.settle()

    async def settle(self) -> None:
        """All tasks have gone as far as they can."""
        for _ in range(3):
            await asyncio.sleep(0)

    async def finish(self) -> list[str]:
        """Let it work; in which order it did, without the first."""
        await self.settle()
        self.gate.set()
        await asyncio.gather(*self.asked, return_exceptions=True)
        return self.done[1:]


@contextmanager
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    try:
        yield made
    finally:
        made.gate.set()
        made.queue.close()


def refused(task: "asyncio.Task[None]") -> bool:
    return task.done() and isinstance(task.exception(), TooManyRequests)


def test_addresses_take_turns() -> None:
    async def story(shop: Workshop) -> list[str]:
        await shop.begin()
        for number in range(4):
            shop.ask("loud", f"loud {number}")
        await shop.settle()
        shop.ask("quiet")
        return await shop.finish()

    with workshop() as shop:
        assert asyncio.run(story(shop)) == ["loud 0", "quiet", "loud 1", "loud 2", "loud 3"]


def test_a_flood_from_one_address_costs_itself_only() -> None:
    async def story(shop: Workshop) -> tuple[list[bool], list[str]]:
        await shop.begin()
        flood = [shop.ask("attacker", f"guess {number}") for number in range(3 * MOST)]
        await shop.settle()
        login = shop.ask("administrator")
        await shop.settle()
        answers = [refused(one) for one in flood]
        assert not refused(login)
        return answers, await shop.finish()

    with workshop() as shop:
        answers, order = asyncio.run(story(shop))
    assert answers.count(False) == MOST - 1
    assert order.index("administrator") <= 1


def test_a_flood_from_many_addresses_that_failed_before_is_behind_the_administrator() -> None:
    async def story(shop: Workshop) -> tuple[int, list[str]]:
        addresses = [f"10.0.0.{number}" for number in range(3 * MOST)]
        for address in addresses:
            shop.queue.note(address, failed=True)
        await shop.begin()
        flood = [shop.ask(address) for address in addresses]
        await shop.settle()
        login = shop.ask("administrator")
        await shop.settle()
        count = sum(refused(one) for one in flood)
        assert not refused(login)
        return count, await shop.finish()

    with workshop() as shop:
        count, order = asyncio.run(story(shop))
    assert count == 2 * MOST + 1
    assert order.index("administrator") <= 1


def test_those_who_failed_get_every_fourth_turn() -> None:
    async def story(shop: Workshop) -> list[str]:
        shop.queue.note("forgetful", failed=True)
        await shop.begin()
        shop.ask("forgetful")
        for number in range(6):
            shop.ask("busy", f"busy {number}")
        return await shop.finish()

    with workshop() as shop:
        assert asyncio.run(story(shop)).index("forgetful") <= 3


def test_a_success_clears_an_address_and_the_memory_is_bounded() -> None:
    queue = FairQueue(1, MOST, "test")
    try:
        for number in range(SUSPECTS + 5):
            queue.note(str(number), failed=True)
        assert len(queue._suspects) == SUSPECTS
        queue.note("7", failed=False)
        assert len(queue._suspects) == SUSPECTS - 1
    finally:
        queue.close()


def test_who_went_away_is_not_worked_for() -> None:
    async def story(shop: Workshop) -> list[str]:
        await shop.begin()
        gone = shop.ask("gone")
        shop.ask("there")
        await shop.settle()
        gone.cancel()
        return await shop.finish()

    with workshop() as shop:
        assert asyncio.run(story(shop)) == ["there"]


def test_the_works_own_error_comes_back() -> None:
    def fail() -> None:
        raise ValueError("it was wrong")

    with workshop() as shop, pytest.raises(ValueError, match="it was wrong"):
        asyncio.run(shop.queue.run("somebody", fail))


def test_turns_are_one_at_a_time_for_a_key_and_bounded() -> None:
    async def story() -> None:
        turns, key = Turns(), ("user", "address")
        assert await turns.take(key) is False
        assert await turns.take(("user", "elsewhere")) is False
        waiting = [asyncio.create_task(turns.take(key)) for _ in range(Turns.MOST)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        with pytest.raises(TooManyRequests):
            await turns.take(key)
        for task in waiting:
            turns.give_back(key)
            assert await task is True
        turns.give_back(key)
        turns.give_back(("user", "elsewhere"))
        assert not turns._held

    asyncio.run(story())
