"""Looking for findings and mending them, in the process that can see them.

reconcile(database, world=world)                  the agent: its own hypervisor, exports and pools, and the rows
reconcile_rows(database, options)                 the rows alone (a command; `asking` has the agents look at the rest)
"""

from pumice.db.engine import Database
from pumice.operations.world import World
from pumice.reconcile import cached, host, rows
from pumice.reconcile.model import Options, Outcome
from pumice.reconcile.repairs import repair


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
