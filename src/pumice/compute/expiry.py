"""Stages that end by themselves: a resize is confirmed, a shelved server leaves its host.

Called by the agent now and then.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from pumice.caller import Caller, system_caller
from pumice.clock import SECOND
from pumice.compute import resizing, shelving
from pumice.db.engine import Database, Transaction
from pumice.db.schema import servers
from pumice.errors import PumiceError

MOST = 100
"""Servers a round."""


def end_stages(database: Database, resize_window: int, offload_after: int) -> list[str]:
    """Confirm what was resized `resize_window` seconds ago or longer (0: never), offload what was shelved
    `offload_after` seconds ago (below 0: never); their ids. What somebody else is faster at is left to them."""
    ended: list[str] = []
    if resize_window > 0:
        ended += _each(database, "resized", resize_window, resizing.confirm)
    if offload_after >= 0:
        ended += _each(database, "shelved", offload_after, shelving.offload)
    return ended


def _each(database: Database, stage: str, seconds: int, end: Callable[[Transaction, Caller, str], Any]) -> list[str]:
    ended = []
    with database.read() as tx:
        statement = select(servers.c.id).where(
            servers.c.stage == stage,
            servers.c.stage_since <= tx.now - seconds * SECOND,
            servers.c.life == "there",
            servers.c.task_state.is_(None),
        )
        found = list(tx.execute(statement.limit(MOST)).scalars())
    for server_id in found:
        try:
            database.run_write(end, system_caller(), server_id)
        except PumiceError:
            continue
        ended.append(server_id)
    return ended
