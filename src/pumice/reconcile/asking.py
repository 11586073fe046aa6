"""Asking the agents to look at what only they can see: from a command, a process without a world of its own.

ask_hosts(database, options) -> [operation id]    every living agent looks
outcomes_of(row.results)                          what one of them found and mended
"""

from typing import Any

import msgspec
from sqlalchemy import select

from pumice.caller import new_id, system_caller
from pumice.db.engine import Database, Transaction
from pumice.db.schema import place_owners, worker_sessions
from pumice.operations.store import enqueue
from pumice.reconcile.model import Options, Outcome
from pumice.reconcile.operations.look_at_host import LOOK_AT_HOST, LookAtHost

_HOST = "host:"


def ask_hosts(database: Database, options: Options) -> list[str]:
    """Have every living agent look; the ids of the operations whose results are the outcomes."""
    with database.write() as tx:
        return [_ask(tx, name, options) for name in living_hosts(tx)]


def living_hosts(tx: Transaction) -> list[str]:
    """Hosts whose agent works now."""
    statement = (
        select(place_owners.c.place)
        .join(worker_sessions, worker_sessions.c.id == place_owners.c.session_id)
        .where(place_owners.c.place.startswith(_HOST), worker_sessions.c.ended_at.is_(None))
        .order_by(place_owners.c.place)
    )
    return [str(place).removeprefix(_HOST) for place in tx.execute(statement).scalars()]


def _ask(tx: Transaction, name: str, options: Options) -> str:
    arguments = LookAtHost(host=name, options=options)
    return enqueue(tx, LOOK_AT_HOST, arguments, subject_id=new_id(), claims=(), caller=system_caller()).id


def outcomes_of(results: dict[str, Any]) -> list[Outcome]:
    """The outcomes in the results of the operation."""
    return msgspec.convert(results["look"]["outcomes"], list[Outcome])
