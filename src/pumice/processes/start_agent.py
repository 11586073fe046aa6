"""`pumice agent`: the agent of this host, with all that it owns, until it ends."""

import logging

from pumice.db.engine import Database
from pumice.operations.sessions import PlaceTaken
from pumice.processes import garbage
from pumice.processes.agent import Agent, leave
from pumice.processes.reports import jobs
from pumice.processes.world import build, places, registry
from pumice.settings import Settings

__all__ = ["PlaceTaken", "run"]

_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Never returns: the process ends. Raises PlaceTaken, DatabaseUnavailable, before it has begun."""
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s agent %(levelname)s %(message)s")
    database = Database(settings.database_url, threads=settings.worker_threads + 2)
    world = build(settings)
    agent = Agent(
        database=database,
        registry=registry(),
        world=world,
        host=settings.host,
        places=places(world),
        state=settings.state,
        jobs=jobs(database, world, settings),
        stuck_since=lambda: None if world.hypervisor is None else world.hypervisor.stuck_since(),
        threads=settings.worker_threads,
        lease=settings.lease,
    )
    garbage.settle()
    leave(agent.run())
