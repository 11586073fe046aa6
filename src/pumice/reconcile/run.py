"""Looking for findings and mending them: the periodic job of an agent, and the command in a process of its own.

reconcile(database, world=world)                  the agent: its own hypervisor, exports and pools, and the rows
reconcile_rows(database, options)                 the rows alone
ask_hosts(database, options) -> [operation id]    the command: every living agent looks at what only it can see
"""

from typing import Any

import msgspec
from sqlalchemy import select

from pumice.caller import new_id, system_caller
from pumice.db.engine import Database, Transaction
from pumice.db.schema import place_owners, worker_sessions
from pumice.operations.store import enqueue
from pumice.operations.world import World
from pumice.reconcile import cached, host, rows
from pumice.reconcile.model import Options, Outcome
from pumice.reconcile.operations.look_at_host import LOOK_AT_HOST, LookAtHost
from pumice.reconcile.repairs import repair

_HOST = "host:"


def reconcile(database: Database, *, world: World | None = None, options: Options | None = None) -> list[Outcome]:
    """Everything that this process can see; without a world only the rows."""
    options = options or Options()
    outcomes = reconcile_rows(database, options)
    return outcomes if world is None else [*outcomes, *reconcile_host(database, world, options)]


def reconcile_rows(database: Database, options: Options) -> list[Outcome]:
    """The rows against each other, then the stored statuses against the facts (which the former may have changed)."""
    with cached.one_moment(database) as tx:
        found = list(rows.look(tx, options))
    outcomes = [repair(database, finding, options) for finding in found]
    return [*outcomes, *(repair(database, finding, options) for finding in list(cached.look(database)))]


def reconcile_host(database: Database, world: World, options: Options) -> list[Outcome]:
    """What the hypervisor, the exports and the pools of this agent say."""
    return [repair(database, finding, options) for finding in list(host.look(database, world))]


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
