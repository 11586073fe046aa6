"""What an agent's own hypervisor, exports and pools say, against the rows. Read only; run in the agent.

    for finding in look(database, world): ...

The outside is listed first and the rows are read after it: what is made meanwhile has its row before its guest, disk,
export or file, so nothing new looks unknown. What seems to be missing outside is asked for once more after the rows.
What a live operation holds or is about is left alone.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table, select

from pumice.compute.model import Server
from pumice.compute.queries import SERVER
from pumice.db.engine import Database, Transaction
from pumice.db.schema import attachments, is_live, operation_resources, operations, servers, snapshots, volumes
from pumice.hypervisors.contract import GuestMissing, GuestState, HypervisorDown, ObservedDisk
from pumice.operations.world import Backend, World
from pumice.reconcile import pauses
from pumice.reconcile.cached import one_moment
from pumice.reconcile.model import Finding
from pumice.reconcile.rows import OURS, in_flight
from pumice.storage.contract import NotFound, StorageError
from pumice.targets.contract import TargetError

RUNNING = (GuestState.RUNNING, GuestState.PAUSED)
"""A guest has a live definition beside the stored one."""
MISSING_DATA = "its data is not in the pool any more"
"""How `broken_reason` begins of volumes and snapshots that `repairs` broke; they come back with their data."""


def look(database: Database, world: World) -> Iterator[Finding]:
    """Everything that this agent can see."""
    with contextlib.suppress(HypervisorDown):  # the host's own problem, reported there: nothing is known of its guests
        yield from _guests(database, world)
    for backend in world.backends.values():
        try:
            yield from _exports(database, backend)
            yield from _pool(database, backend)
        except (StorageError, TargetError) as error:
            yield Finding(
                name="pool-down",
                resource_type="backend",
                resource_id=backend.name,
                sentence=f"backend {backend.name} cannot be compared: {error}",
            )


# ---- guests and their disks


def _guests(database: Database, world: World) -> Iterator[Finding]:
    if world.hypervisor is None:
        return
    found = world.hypervisor.guests()
    disks = {server_id: _disks(world, server_id) for server_id in found}
    with one_moment(database) as tx:
        live = [Server(*row) for row in tx.execute(select(*SERVER).where(servers.c.host == world.host, _live(servers)))]
        busy = _busy(tx, [*found, *(one.id for one in live)])
        wanted = _attached(tx, world.host)
        moving = _busy(tx, [attachment.id for attachment in wanted])
        rows = _lives(tx, servers, list(found))
        still = [one.id for one in live if found.get(one.id) is GuestState.PAUSED]
        asked = {server_id: pauses.last_asked(tx, server_id) for server_id in still}
    by_id = {one.id: one for one in live}
    for server_id, state in found.items():
        if server_id in busy:
            continue
        if server_id not in by_id:
            yield _unexpected_guest(server_id, state, rows.get(server_id), world.host)
            continue
        if server_id in asked:
            yield from _paused(world, by_id[server_id], asked[server_id])
        mine = [one for one in wanted if one.server_id == server_id]
        if not any(one.id in moving for one in mine):
            yield from _compare_disks(world, server_id, mine, disks[server_id])
            if state in RUNNING:
                yield from _half_there(world, server_id, mine, disks[server_id])
    for server in live:
        if server.id in found or server.id in busy or server.life != "there":
            continue
        if world.hypervisor.state(server.id) is GuestState.ABSENT:
            yield Finding(
                name="guest-missing",
                resource_type="server",
                resource_id=server.id,
                sentence=f"server {server.id} is {server.status}, but host {world.host} has no such guest",
            )


def _disks(world: World, server_id: str) -> list[ObservedDisk]:
    try:
        return [] if world.hypervisor is None else world.hypervisor.disks(server_id)
    except GuestMissing:
        return []


def _attached(tx: Transaction, host: str) -> list[Any]:
    statement = select(attachments).where(
        attachments.c.host == host, attachments.c.origin.in_(OURS), attachments.c.deleted_at.is_(None)
    )
    return list(tx.execute(statement))


def _unexpected_guest(server_id: str, state: GuestState, life: str | None, host: str) -> Finding:
    deleted = life == "gone"
    why = "was deleted" if deleted else "is not in the database" if life is None else "is on another host"
    return Finding(
        name="guest-left-over" if deleted else "guest-unknown",
        resource_type="server",
        resource_id=server_id,
        sentence=f"host {host} has a guest ({state.value}) of server {server_id}, which {why}",
        evidence={"host": host, "state": state.value},
    )


def _compare_disks(world: World, server_id: str, wanted: list[Any], seen: list[ObservedDisk]) -> Iterator[Finding]:
    serials = {disk.serial for disk in seen}
    missing = [one for one in wanted if one.stage == "attached" and one.volume_id not in serials]
    again = {disk.serial for disk in _disks(world, server_id)} if missing else set()
    for one in missing:
        if one.volume_id not in again:
            yield Finding(
                name="disk-missing",
                resource_type="attachment",
                resource_id=one.id,
                sentence=f"volume {one.volume_id} is attached to server {server_id}, whose guest has no such disk",
                evidence={"volume_id": one.volume_id, "server_id": server_id},
            )
    known = {one.volume_id for one in wanted}
    for serial in sorted(serials - known):
        if len(serial) == 36:  # others are the server's own: its root, swap, config drive
            yield Finding(
                name="disk-left-over",
                resource_type="server",
                resource_id=server_id,
                sentence=f"the guest of server {server_id} has a disk of volume {serial}, which is not attached to it",
                evidence={"volume_id": serial, "host": world.host},
            )


def _half_there(world: World, server_id: str, wanted: list[Any], seen: list[ObservedDisk]) -> Iterator[Finding]:
    """Of a guest that runs. Looked at once more, for it may just have gone off: then it has one definition."""
    halves = {disk.serial for disk in seen if disk.live != disk.stored}
    odd = [one for one in wanted if one.stage == "attached" and one.volume_id in halves]
    again = {disk.serial: disk for disk in _disks(world, server_id)} if odd else {}
    if world.hypervisor is None or not odd or world.hypervisor.state(server_id) not in RUNNING:
        return
    for one in odd:
        disk = again.get(one.volume_id)
        if disk is None or disk.live == disk.stored:
            continue
        where = "running guest but not in its stored definition: a stop would take it away"
        if disk.stored:
            where = "stored definition of the guest but not in the running one: a start would bring it"
        yield Finding(
            name="disk-half-there",
            resource_type="attachment",
            resource_id=one.id,
            sentence=f"volume {one.volume_id}, attached to server {server_id}, is in the {where}",
            evidence={
                "volume_id": one.volume_id,
                "server_id": server_id,
                "host": world.host,
                "device": disk.device,
                "live": disk.live,
                "stored": disk.stored,
            },
        )


def _paused(world: World, server: Server, asked: str | None) -> Iterator[Finding]:
    reason = None if world.hypervisor is None else world.hypervisor.pause_reason(server.id)
    if pauses.is_nobodys(server, reason, asked):
        yield Finding(
            name="guest-paused",
            resource_type="server",
            resource_id=server.id,
            sentence=f"the guest of server {server.id} stands still (the hypervisor's reason: {reason}), "
            "which nobody asked for",
            evidence={"host": world.host, "reason": reason, "status": server.status},
        )


# ---- exports


def _exports(database: Database, backend: Backend) -> Iterator[Finding]:
    found = [one for one in backend.target.exports() if one.attachment_id is not None]
    ids = [str(one.attachment_id) for one in found]
    with one_moment(database) as tx:
        live = set(tx.execute(select(attachments.c.id).where(attachments.c.id.in_(ids), _live(attachments))).scalars())
        wanted = _connected(tx, backend)
        about = {one for row in wanted for one in (row.id, row.volume_id, row.server_id) if one is not None}
        busy = _busy(tx, [*ids, *about])
    missing = [row for row in wanted if row.id not in ids and not busy & {row.id, row.volume_id, row.server_id}]
    yield from _unexported(backend, missing)
    for one in found:
        if one.attachment_id not in live | busy:
            yield Finding(
                name="export-left-over",
                resource_type="attachment",
                resource_id=str(one.attachment_id),
                sentence=f"volume {one.volume_id} is exported for attachment {one.attachment_id}, which is no more",
                evidence={"volume_id": one.volume_id, "backend": backend.name},
            )


def _connected(tx: Transaction, backend: Backend) -> list[Any]:
    """Attachments whose volume this backend is to export."""
    statement = (
        select(attachments.c.id, attachments.c.volume_id, attachments.c.server_id, attachments.c.host)
        .join(volumes, volumes.c.id == attachments.c.volume_id)
        .where(
            volumes.c.backend == backend.name,
            _live(attachments),
            attachments.c.stage.in_(("connected", "attached")),
            attachments.c.connection_info.is_not(None),
        )
    )
    return list(tx.execute(statement))


def _unexported(backend: Backend, missing: list[Any]) -> Iterator[Finding]:
    """Asked once more, after the rows: what was exported since the listing is there."""
    again = {one.attachment_id for one in backend.target.exports()} if missing else set()
    for row in missing:
        if row.id not in again:
            yield Finding(
                name="export-missing",
                resource_type="attachment",
                resource_id=row.id,
                sentence=f"volume {row.volume_id} is connected to host {row.host}, but it is not exported any more",
                evidence={"volume_id": row.volume_id, "server_id": row.server_id, "backend": backend.name},
            )


# ---- pools


def _pool(database: Database, backend: Backend) -> Iterator[Finding]:
    stored = {one.volume_id for one in backend.storage.volumes()}
    copies = {one.snapshot_id: one.volume_id for one in backend.storage.snapshots()}
    for noun, table, found in (("volume", volumes, stored), ("snapshot", snapshots, set(copies))):
        with one_moment(database) as tx:
            lives = _lives(tx, table, sorted(found))
            statement = select(table.c.id, table.c.life, table.c.broken_reason).where(
                table.c.backend == backend.name, _live(table), table.c.life.in_(("there", "broken"))
            )
            rows = list(tx.execute(statement.where(~in_flight(table.c.id))))
            busy = _busy(tx, [*found, *(copies[one] for one in found if one in copies)])
        for one in sorted(found - busy):
            life = lives.get(one)
            if life in (None, "gone") and copies.get(one, one) not in busy:
                yield _left_over(noun, one, life, backend, copies.get(one, ""))
        for row in rows:
            missed = row.life == "broken" and str(row.broken_reason).startswith(MISSING_DATA)
            if row.life == "there" and row.id not in found and _is_missing(backend, noun, row.id):
                yield _data(noun, "missing", row.id, backend, "has no data in")
            elif noun == "volume" and missed and row.id in found:
                yield _data(noun, "back", row.id, backend, "has its data again in")


def _is_missing(backend: Backend, noun: str, one: str) -> bool:
    """Asked once more, after the rows: what was made since the listing is there."""
    if noun == "snapshot":
        return all(found.snapshot_id != one for found in backend.storage.snapshots())
    try:
        backend.storage.locate(one)
    except NotFound:
        return True
    return False


def _left_over(noun: str, one: str, life: str | None, backend: Backend, volume_id: str) -> Finding:
    what = "was deleted" if life == "gone" else "is not in the database"
    return Finding(
        name=f"{noun}-data-left-over" if life == "gone" else f"{noun}-data-unknown",
        resource_type=noun,
        resource_id=one,
        sentence=f"pool {backend.pool} has {noun} {one}, which {what}",
        evidence={"backend": backend.name, "volume_id": volume_id or one},
    )


def _data(noun: str, word: str, one: str, backend: Backend, what: str) -> Finding:
    return Finding(
        name=f"{noun}-data-{word}",
        resource_type=noun,
        resource_id=one,
        sentence=f"{noun} {one} {what} pool {backend.pool}",
        evidence={"backend": backend.name},
    )


# ---- rows


def _live(table: Table) -> Any:
    return table.c.deleted_at.is_(None)


def _lives(tx: Transaction, table: Table, ids: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(ids), 500):
        statement = select(table.c.id, table.c.life).where(table.c.id.in_(ids[start : start + 500]))
        found |= {row[0]: row[1] for row in tx.execute(statement)}
    return found


def _busy(tx: Transaction, ids: list[str]) -> set[str]:
    """Those that a live operation holds or is about."""
    held = set(tx.execute(select(operation_resources.c.resource_id)).scalars())
    about = set(tx.execute(select(operations.c.subject_id).where(is_live())).scalars())
    return (held | about) & set(ids)
