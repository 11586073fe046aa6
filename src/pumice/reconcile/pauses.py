"""Whose pause is it? A guest stands still because its user asked, or because of something that nobody asked for.

    asked = last_asked(tx, server_id)
    if is_nobodys(server, reason, asked): ...

What the hypervisor shows soon becomes the server's power (`compute.operations.observe`), so a server that is PAUSED
need not have been paused by its user: the server's actions tell. They are kept for a time only; without any, what looks
like a user's pause is one. Called by `host.py` and `operations/mend_host.py`.
"""

from sqlalchemy import select

from pumice.compute.model import Server
from pumice.db.engine import Transaction
from pumice.db.schema import instance_actions

_LEFT_RUNNING = (
    *("create", "start", "reboot", "unpause", "resume", "rebuild", "unshelve"),
    *("resize", "confirmResize", "revertResize"),
)
"""Actions after which a guest runs."""


def last_asked(tx: Transaction, server_id: str) -> str | None:
    """The last action that went well and decided whether the guest runs or is paused; None: none is known."""
    table = instance_actions
    statement = (
        select(table.c.action)
        .where(table.c.server_id == server_id, table.c.message.is_(None))
        .where(table.c.action.in_(("pause", *_LEFT_RUNNING)))
        .order_by(table.c.start_time.desc(), table.c.id.desc())
        .limit(1)
    )
    return tx.execute(statement).scalar_one_or_none()


def is_nobodys(server: Server, reason: str | None, asked: str | None) -> bool:
    """`reason` as the hypervisor gives it, `asked` the last action. Nobody asked for this pause, and it is one."""
    if server.life != "there" or reason in (None, "asleep"):
        return False
    if server.power == "on" or (server.power == "paused" and reason != "asked"):
        return True
    return server.power == "paused" and asked not in (None, "pause")
