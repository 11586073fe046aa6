"""Threads for work that strangers may ask for, shared fairly between the addresses it is asked from.

Each address has a queue of its own, and the queues take turns. Addresses whose last answer was a failure come after
the others (every fourth turn is theirs), so a flood of wrong passwords, from one address or from many, makes nobody
else wait for long. When too many wait, the longest queue loses its last one.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from pumice.errors import TooManyRequests

P = ParamSpec("P")
T = TypeVar("T")

_Job = tuple["asyncio.Future[Any]", Callable[[], Any]]

SUSPECTS = 10_000
"""Addresses whose failure is remembered; the oldest is forgotten first."""
_TURN_OF_SUSPECTS = 4


class FairQueue:
    """Used from one event loop; only the work itself runs in the threads."""

    def __init__(self, threads: int, waiting: int, name: str) -> None:
        """waiting: how many may wait, of all addresses together."""
        self._executor = ThreadPoolExecutor(threads, name)
        self._free = threads
        self._most = waiting
        self._count = self._turn = 0
        self._queues: dict[bool, OrderedDict[str, deque[_Job]]] = {False: OrderedDict(), True: OrderedDict()}
        self._suspects: OrderedDict[str, None] = OrderedDict()

    async def run(self, address: str, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The function's result, from a thread. Raises TooManyRequests when too many wait already."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        suspect = address in self._suspects
        if self._count >= self._most:
            self._make_room(address, suspect)
        self._queues[suspect].setdefault(address, deque()).append((future, partial(function, *arguments, **named)))
        self._count += 1
        self._start()
        return await future

    def note(self, address: str, failed: bool) -> None:
        """What the address was answered last."""
        self._suspects.pop(address, None)
        if failed:
            self._suspects[address] = None
            if len(self._suspects) > SUSPECTS:
                self._suspects.popitem(last=False)

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        while self._free and self._count:
            future, work = self._next()
            if future.cancelled():
                continue
            self._free -= 1
            loop.run_in_executor(self._executor, work).add_done_callback(partial(self._done, future))

    def _done(self, future: "asyncio.Future[Any]", ended: "asyncio.Future[Any]") -> None:
        self._free += 1
        if ended.cancelled():
            future.cancel()
        elif not future.cancelled():
            error = ended.exception()
            if error is None:
                future.set_result(ended.result())
            else:
                future.set_exception(error)
        self._start()

    def _next(self) -> _Job:
        """The first of the address whose turn it is."""
        self._turn += 1
        suspect = not self._queues[False] or (bool(self._queues[True]) and self._turn % _TURN_OF_SUSPECTS == 0)
        address, queue = next(iter(self._queues[suspect].items()))
        job = queue.popleft()
        if queue:
            self._queues[suspect].move_to_end(address)
        else:
            del self._queues[suspect][address]
        self._count -= 1
        return job

    def _make_room(self, address: str, suspect: bool) -> None:
        """Refuse one that waits: of the longest queue, of suspects if there is a choice; or the newcomer itself."""
        victim, length = (suspect, address), len(self._queues[suspect].get(address, ())) + 1
        for kind in (True, False):
            for other, queue in self._queues[kind].items():
                if len(queue) > length or (len(queue) == length and kind and not victim[0]):
                    victim, length = (kind, other), len(queue)
        refusal = TooManyRequests("Too many logins at once; try again shortly.", retry_after=2)
        if victim == (suspect, address):
            raise refusal
        queue = self._queues[victim[0]][victim[1]]
        future, _ = queue.pop()
        if not queue:
            del self._queues[victim[0]][victim[1]]
        self._count -= 1
        if not future.cancelled():
            future.set_exception(refusal)


class Turns:
    """One at a time for each key, so that guesses made at once are counted as if they came one by one."""

    MOST = 32
    """May wait for their turn with one key."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[asyncio.Lock, list[int]]] = {}

    async def take(self, key: tuple[str, str]) -> bool:
        """Wait for the turn; True: there was somebody before. Raises TooManyRequests when too many wait."""
        lock, users = self._held.setdefault(key, (asyncio.Lock(), [0]))
        if users[0] > self.MOST:
            raise TooManyRequests("Too many logins of this user at once; try again shortly.", retry_after=1)
        waited = lock.locked()
        users[0] += 1
        try:
            await lock.acquire()
        except asyncio.CancelledError:
            self._leave(key)
            raise
        return waited

    def give_back(self, key: tuple[str, str]) -> None:
        self._held[key][0].release()
        self._leave(key)

    def _leave(self, key: tuple[str, str]) -> None:
        users = self._held[key][1]
        users[0] -= 1
        if not users[0]:
            del self._held[key]
