"""Log levels of the running processes: what an operator asked for, and what each process says that it has in force.

    ask(...)  by os-services/set-log        the processes look every second (`processes.log_levels`), apply, and report
    reported(...)  for os-services/get-log

What was asked for is kept: a process that starts applies it too.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as insert_or_replace
from sqlalchemy.dialects.sqlite import insert as insert_or_update

from pumice.db.engine import Transaction
from pumice.db.schema import log_levels, log_reports
from pumice.errors import InvalidField

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
API = "cinder-api"
AGENT = "cinder-volume"
BINARIES = (API, AGENT)


class LogReport(msgspec.Struct, frozen=True):
    """What the processes of one binary on one host have in force: the level of each logger by its name."""

    binary: str
    host: str
    levels: dict[str, str]


def ask(tx: Transaction, *, binary: str | None, host: str | None, prefix: str, level: str) -> None:
    """Loggers whose names begin with the prefix shall have the level, in the processes meant (None: in all).

    Raises InvalidField."""
    if level.upper() not in LEVELS:
        raise InvalidField("level", level, f"one of {', '.join(LEVELS)}")
    for found in reported(tx, binary=binary, host=host):
        key = {"binary": found.binary, "host": found.host, "prefix": prefix}
        _put(tx, log_levels, key, {"level": level.upper(), "updated_at": tx.now})


def asked(tx: Transaction, binary: str, host: str) -> dict[str, str]:
    """The level asked for each prefix, the shortest first, so that a longer one counts more."""
    statement = select(log_levels.c.prefix, log_levels.c.level).where(
        log_levels.c.binary == binary, log_levels.c.host == host
    )
    return dict(sorted((row.prefix, row.level) for row in tx.execute(statement)))


def report(tx: Transaction, binary: str, host: str, levels: Mapping[str, str]) -> None:
    """What a process has in force now."""
    _put(tx, log_reports, {"binary": binary, "host": host}, {"levels": dict(levels), "reported_at": tx.now})


def reported(
    tx: Transaction, *, binary: str | None = None, host: str | None = None, prefix: str = ""
) -> list[LogReport]:
    """What the processes meant last said, of loggers whose names begin with the prefix. A host may name a backend.

    Raises InvalidField for a binary that does not log."""
    if binary is not None and binary not in BINARIES:
        raise InvalidField("binary", binary, f"one of {', '.join(BINARIES)}, or nothing for all")
    statement = select(log_reports.c.binary, log_reports.c.host, log_reports.c.levels).order_by(
        log_reports.c.binary, log_reports.c.host
    )
    if binary is not None:
        statement = statement.where(log_reports.c.binary == binary)
    if host is not None:
        statement = statement.where(log_reports.c.host == host.partition("@")[0])
    return [
        LogReport(row.binary, row.host, {name: one for name, one in row.levels.items() if name.startswith(prefix)})
        for row in tx.execute(statement)
    ]


def _put(tx: Transaction, table: Any, key: dict[str, str], values: dict[str, Any]) -> None:
    insert: Any = (insert_or_update if tx.sqlite else insert_or_replace)(table)
    tx.execute(insert.values({**key, **values}).on_conflict_do_update(index_elements=list(key), set_=values))
