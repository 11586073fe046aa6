"""A process that works on the toy's operations.

    python -m tests.operations.toy_worker URL DIRECTORY HOST LEASE PLACES

LEASE: seconds. PLACES: comma-separated, "" for none. SIGTERM ends it.
"""

import logging
import sys
from pathlib import Path

from pumice.db.engine import Database
from pumice.processes.agent import Agent, leave
from tests.operations import toy


def main() -> None:
    url, directory, host, lease, places = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    shelf = toy.Shelf(Path(directory))
    agent = Agent(
        database=Database(url),
        registry=toy.REGISTRY,
        world=shelf,
        host=host,
        places=[place for place in places.split(",") if place],
        state=Path(directory) / f"state-{host}",
        lease=float(lease),
    )
    leave(agent.run())


if __name__ == "__main__":
    main()
