"""Log levels of this process: applies what an operator asked for, and reports what is in force (`block.log_levels`).

LogLevels(database, AGENT, settings.host).look()             every SECONDS, by a job of the agent
await LogLevels(database, API, settings.host).look_on()      every SECONDS, by a task of the API process
"""

import logging

from pumice.block import log_levels
from pumice.db.engine import Database

SECONDS = 1.0


class LogLevels:
    """See the head of this file."""

    def __init__(self, database: Database, binary: str, host: str) -> None:
        self._database, self._binary, self._host = database, binary, host
        self._applied: dict[str, str] = {}
        self._told: dict[str, str] = {}

    def look(self) -> None:
        """Apply what is asked for, and tell when what is in force has changed. Raises DatabaseUnavailable."""
        found = self._apply(self._database.run_read(log_levels.asked, self._binary, self._host))
        if found != self._told:
            self._database.run_write(log_levels.report, self._binary, self._host, found)
            self._told = found

    async def look_on(self) -> None:
        """The same from an event loop."""
        found = self._apply(await self._database.call_read(log_levels.asked, self._binary, self._host))
        if found != self._told:
            await self._database.call_write(log_levels.report, self._binary, self._host, found)
            self._told = found

    def _apply(self, wanted: dict[str, str]) -> dict[str, str]:
        """What is in force then."""
        if wanted != self._applied:
            for prefix, level in wanted.items():
                set_level(prefix, level)
            self._applied = wanted
        return in_force()


def set_level(prefix: str, level: str) -> None:
    """Loggers whose names begin with the prefix have the level, those that are made later below it too."""
    logging.getLogger(prefix.rstrip(".")).setLevel(level)
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.startswith(prefix):
            logger.setLevel(level)


def in_force() -> dict[str, str]:
    """The level of each logger of this process."""
    loggers = {name: one for name, one in logging.root.manager.loggerDict.items() if isinstance(one, logging.Logger)}
    found = {"root": logging.root, **loggers}
    return {name: logging.getLevelName(one.getEffectiveLevel()) for name, one in sorted(found.items())}
