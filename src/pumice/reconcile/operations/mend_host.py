"""Mend one thing outside the database: a disk, a guest, an export or a file that is too much or is missing. It holds
what it touches, so that nothing starts to use it meanwhile, and looks once more whether it is still so.

mend    look again; then take it away, or put it there
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select, update

from pumice.block import queries as block_queries
from pumice.block.operations.connect_attachment import export_volume, unexport_volume
from pumice.compute import queries
from pumice.compute.facts import refresh_server
from pumice.compute.operations.definitions import volume_disk
from pumice.db.engine import Transaction
from pumice.db.schema import attachments, servers, snapshots, volumes
from pumice.operations.model import ANYWHERE, Operation, Run, Step, StepFailed, backend_place, host_place
from pumice.reconcile import pauses

DONE = {"answer": "done"}
NOT_SO = {"answer": "it is not so any more"}


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
    match run.arguments.finding:
        case "disk-half-there":
            return complete_disk(run)
        case "export-missing":
            return export_again(run)
        case "guest-paused":
            return go_on(run)
        case _:
            return take_away(run)


def complete_disk(run: Run[MendHost]) -> dict[str, str]:
    """It is in both definitions of the guest."""
    wanted, world = run.arguments, run.world
    with run.database.read() as tx:
        found = block_queries.attachment(tx, wanted.resource_id)
        server = None if found is None or found.server_id is None else queries.server(tx, found.server_id)
        mapping = None if server is None else queries.mapping_of(tx, server.id, str(wanted.volume_id))
    if found is None or server is None or found.stage != "attached" or found.connection_info is None:
        return NOT_SO
    if mapping is None:
        raise StepFailed(f"server {server.id} does not list volume {found.volume_id}: mend that first")
    disk = volume_disk(mapping, found, found.connection_info, boots_by_kernel=server.kernel_id is not None)
    seen = world.hypervisor.complete(server.id, disk, world.attach_deadline)
    return NOT_SO if seen is None else DONE


def export_again(run: Run[MendHost]) -> dict[str, str]:
    """It is exported as it was, for whoever uses it has the old connection info; else not at all."""
    wanted = run.arguments
    with run.database.read() as tx:
        found = block_queries.attachment(tx, wanted.resource_id)
    if found is None or found.connection_info is None:
        return NOT_SO
    again = "detach the volume and attach it again"
    if found.connector is None:
        raise StepFailed(f"the connector of attachment {found.id} was not recorded: {again}")
    backend = str(wanted.backend)
    info = export_volume(run.world, backend, found.volume_id, found.id, found.connector, found.mode == "ro")
    if info != found.connection_info:
        unexport_volume(run.world, backend, found.volume_id, found.id)
        raise StepFailed(f"exported again, volume {found.volume_id} would be reached in another way: {again}")
    return DONE


def go_on(run: Run[MendHost]) -> dict[str, str]:
    """The guest runs, unless its user has asked for the pause since."""
    server_id, hypervisor = run.arguments.resource_id, run.world.hypervisor
    reason = hypervisor.pause_reason(server_id)
    with run.database.read() as tx:
        server, asked = queries.server(tx, server_id), pauses.last_asked(tx, server_id)
    if server is None or not pauses.is_nobodys(server, reason, asked):
        return NOT_SO
    hypervisor.resume(server_id)
    return DONE


def record(tx: Transaction, run: Run[MendHost]) -> None:
    """That a guest goes on is a fact at once; `observe` would see it later."""
    if run.arguments.finding != "guest-paused" or run.results["mend"] != DONE:
        return
    statement = update(servers).where(servers.c.id == run.arguments.resource_id, servers.c.power == "paused")
    tx.execute(statement.values(power="on", updated_at=tx.now))
    refresh_server(tx, run.arguments.resource_id)


def take_away(run: Run[MendHost]) -> dict[str, str]:
    """What is nobody's is gone."""
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
    return DONE


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
    steps=(Step("mend", do=mend, record=record, at=at_place),),
    failed=nothing_to_tell,
    settle=nothing_derived,
)
