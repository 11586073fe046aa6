"""Passwords: argon2id (32 MiB each), in two threads of their own, with a bounded queue.

An unknown user costs the same time as a known one: the password is then checked against a hash that nobody has.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pumice.errors import TooManyRequests

P = ParamSpec("P")
T = TypeVar("T")

MAX_LENGTH = 4096
"""Characters; longer ones are refused before they cost anything."""

_THREADS = 2
_WAITING = 64
_HASHER = PasswordHasher(time_cost=2, memory_cost=32 * 1024, parallelism=1)


def hash_now(password: str) -> str:
    """The argon2id hash with its salt, in this thread (some 40 ms)."""
    return _HASHER.hash(password.encode("utf-8", "surrogatepass"))


class Passwords:
    """The threads that hash."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "passwords")
        self._waiting = 0
        self._guard = threading.Lock()
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """Raises TooManyRequests when too many wait already."""
        return await self._run(hash_now, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Does the password match? None (no such user, no password): False after the same time."""
        return await self._run(self._verify, stored, password)

    def _verify(self, stored: str | None, password: str) -> bool:
        if self._nobody is None:
            self._nobody = hash_now("nobody has this password")
        try:
            matches = _HASHER.verify(stored or self._nobody, password.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False
        return matches and stored is not None

    async def _run(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        with self._guard:
            if self._waiting >= _WAITING:
                raise TooManyRequests("Too many logins at once; try again shortly.", retry_after=2)
            self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, partial(function, *arguments, **named)
            )
        finally:
            with self._guard:
                self._waiting -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
