"""Proving who one is by a secret: the same steps for logins, application credentials and a changed password."""

from collections.abc import Callable
from typing import TypeVar

from pumice.api.edge.route import Call
from pumice.api.identity.answers import written
from pumice.db.engine import Transaction
from pumice.errors import Unauthorized
from pumice.identity import logins
from pumice.identity.logins import Candidate

N = TypeVar("N")


async def prove(call: Call, look_up: Callable[[Transaction, N, str], Candidate], name: N, secret: str) -> Candidate:
    """Who gave the right secret. Guesses at one name from one address are taken one after the other.

    Raises Unauthorized, after the same time whether there is such a user or not; TooManyRequests while this address
    has to wait with this name."""
    database, passwords = call.services.database, call.services.identity.passwords
    candidate = await database.call_read(look_up, name, call.client)
    turn = (candidate.key, call.client)
    others_came_before = await passwords.turns.take(turn)
    try:
        if others_came_before:
            candidate = await database.call_read(look_up, name, call.client)
        if not await passwords.verify(candidate.secret_hash, secret, call.client):
            await written(call, logins.note_failure, candidate, call.client)
            raise Unauthorized
    finally:
        passwords.turns.give_back(turn)
    return candidate
