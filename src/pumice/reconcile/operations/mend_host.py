"""Mend one thing outside the database: a leaked disk, guest, export or file. It holds what it touches exclusively, so
that nothing starts to use it meanwhile, and looks once more whether it is still nobody's.

mend    look again; then take it away
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select

from pumice.db.engine import Transaction
from pumice.db.schema import attachments, servers, snapshots, volumes
from pumice.operations.model import ANYWHERE, Operation, Run, Step, backend_place, host_place


class MendHost(msgspec.Struct, frozen=True, kw_only=True):
    """`finding`: a name of `CHECKS`. One of host and backend says where."""

    finding: str
    resource_id: str
    volume_id: str | None = None
    host: str | None = None
    backend: str | None = None


def at_place(arguments: MendHost, _results: Mapping[str, Any]) -> str:
    if arguments.backend is not None:
        return backend_place(arguments.backend)
    return host_place(arguments.host) if arguments.host is not None else ANYWHERE


def mend(run: Run[MendHost]) -> dict[str, str]:
    wanted, world = run.arguments, run.world
    if _in_use(run):
        return {"answer": "it is in use again"}
    match wanted.finding:
        case "guest-left-over":
            world.hypervisor.undefine(wanted.resource_id)
        case "disk-left-over":
            world.hypervisor.detach(wanted.resource_id, wanted.volume_id, world.detach_deadline)
        case "export-left-over":
            world.backend(wanted.backend).target.disconnect(wanted.volume_id, wanted.resource_id)
        case "volume-data-left-over":
            world.backend(wanted.backend).storage.delete(wanted.resource_id)
        case "snapshot-data-left-over":
            world.backend(wanted.backend).storage.delete_snapshot(wanted.volume_id, wanted.resource_id)
    return {"answer": "done"}


def _in_use(run: Run[MendHost]) -> bool:
    wanted = run.arguments
    with run.database.read() as tx:
        match wanted.finding:
            case "guest-left-over":
                life = tx.execute(select(servers.c.life).where(servers.c.id == wanted.resource_id))
                return life.scalar_one_or_none() != "gone"
            case "disk-left-over":
                statement = select(attachments.c.id).where(
                    attachments.c.server_id == wanted.resource_id,
                    attachments.c.volume_id == wanted.volume_id,
                    attachments.c.deleted_at.is_(None),
                )
                return tx.execute(statement).first() is not None
            case "export-left-over":
                statement = select(attachments.c.id).where(
                    attachments.c.id == wanted.resource_id, attachments.c.deleted_at.is_(None)
                )
                return tx.execute(statement).first() is not None
            case _:
                table = volumes if wanted.finding.startswith("volume") else snapshots
                life = tx.execute(select(table.c.life).where(table.c.id == wanted.resource_id))
                return life.scalar_one_or_none() != "gone"


def nothing_to_tell(tx: Transaction, run: Run[MendHost], reason: str) -> None:
    """The operation's own row says why; the finding stays, and is tried again."""


def nothing_derived(tx: Transaction, run: Run[MendHost]) -> None:
    """What it holds has no status that depends on it."""


MEND_HOST = Operation(
    "reconcile.mend",
    MendHost,
    "finding",
    steps=(Step("mend", do=mend, at=at_place),),
    failed=nothing_to_tell,
    settle=nothing_derived,
)
