"""Secrets: passwords and chosen secrets as argon2id (32 MiB each), in two threads of their own, fairly queued.

Whoever fails has waited as long as any other who fails: an unknown user's password is checked against a hash that
nobody has, and so is a wrong guess at a secret that Pumice made (which, when right, costs one SHA-256).
"""

import hmac

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pumice.identity.application_credentials import MADE_BY_US, fast_hash
from pumice.identity.fair_queue import FairQueue, Turns

MAX_LENGTH = 4096
"""Characters; longer ones are refused before they cost anything."""

_THREADS = 2
_WAITING = 64
_HASHER = PasswordHasher(time_cost=2, memory_cost=32 * 1024, parallelism=1)


def hash_now(password: str) -> str:
    """The argon2id hash with its salt, in this thread (some 40 ms)."""
    return _HASHER.hash(password.encode("utf-8", "surrogatepass"))


class Passwords:
    """The threads that hash. `client`: the address that asks, for a fair share of them."""

    def __init__(self) -> None:
        self._queue = FairQueue(_THREADS, _WAITING, "passwords")
        self.turns = Turns()
        self._nobody: str | None = None

    async def hash(self, password: str, client: str) -> str:
        """Raises TooManyRequests when too many wait already."""
        return await self._queue.run(client, hash_now, password)

    async def verify(self, stored: str | None, secret: str, client: str) -> bool:
        """Does the secret match? None (no such user, no password): False after the same time.

        Raises TooManyRequests when too many wait already."""
        if stored is not None and stored.startswith(MADE_BY_US):
            if hmac.compare_digest(stored, fast_hash(secret)):
                return True
            stored = None
        matches = await self._queue.run(client, self._verify, stored, secret)
        self._queue.note(client, failed=not matches)
        return matches

    def _verify(self, stored: str | None, secret: str) -> bool:
        if self._nobody is None:
            self._nobody = hash_now("nobody has this password")
        try:
            matches = _HASHER.verify(stored or self._nobody, secret.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False
        return matches and stored is not None

    def close(self) -> None:
        self._queue.close()
