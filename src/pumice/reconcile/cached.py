"""Are the stored statuses what the facts say? Pages of rows, the same number of statements for each page.

    for finding in look(database): ...

Rows that are plainly right (there, and available or ACTIVE, with nothing about them) are skipped by the database
itself, so that a cloud of a million idle volumes costs a look at an index.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Table, or_, select, union_all

from pumice.block.status import (
    AttachmentFacts,
    LiveOperation,
    Marks,
    VolumeFacts,
    VolumeStatus,
    attachment_status,
    snapshot_status,
    volume_status,
)
from pumice.block.transitions import transition
from pumice.compute.facts import derived as derived_server
from pumice.compute.status import ServerStatus
from pumice.db.engine import Database, Transaction
from pumice.db.prepared import PreparedStatements
from pumice.db.schema import (
    attachments,
    is_live,
    marks,
    operation_resources,
    operations,
    servers,
    snapshots,
    volume_holds,
    volumes,
)
from pumice.reconcile.model import Finding

PAGE = 500


@contextmanager
def one_moment(database: Database) -> Iterator[Transaction]:
    """A read in which all statements see the same moment, on PostgreSQL too."""
    if database.sqlite:
        with database.read() as tx:
            yield tx
        return
    with (
        database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        connection.begin(),
    ):
        yield Transaction(connection, database.clock.now(), False, PreparedStatements())


def look(database: Database) -> Iterator[Finding]:
    """Every row whose stored words are not the derived ones."""
    for table, compare in ((volumes, _volumes), (snapshots, _snapshots), (servers, _servers)):
        last = ""
        while True:
            with one_moment(database) as tx:
                page = _page(tx, table, last)
                yield from compare(tx, page)
            if len(page) < PAGE:
                break
            last = page[-1].id


def _page(tx: Transaction, table: Table, last: str) -> Sequence[Any]:
    plain = "ACTIVE" if table is servers else "available"
    statement = select(table).where(table.c.deleted_at.is_(None), table.c.id > last)
    if table is not servers:
        about = union_all(
            select(operation_resources.c.resource_id),
            select(marks.c.resource_id),
            select(volume_holds.c.volume_id),
            select(attachments.c.volume_id).where(attachments.c.deleted_at.is_(None)),
        )
        odd = or_(table.c.life != "there", table.c.status != plain, table.c.id.in_(about))
        if table is volumes:
            odd = or_(odd, volumes.c.attach_status != "detached", volumes.c.migration_status.is_not(None))
        statement = statement.where(odd)
    return tx.execute(statement.order_by(table.c.id).limit(PAGE)).all()


def _operations(tx: Transaction, resource_type: str, ids: Sequence[str]) -> dict[str, tuple[LiveOperation, ...]]:
    found: dict[str, list[LiveOperation]] = defaultdict(list)
    statement = (
        select(operation_resources.c.resource_id, operations.c.kind, operation_resources.c.mode)
        .join(operations, operations.c.id == operation_resources.c.operation_id)
        .where(operation_resources.c.resource_type == resource_type, operation_resources.c.resource_id.in_(ids))
        .order_by(operation_resources.c.mode)
    )
    for resource_id, kind, mode in tx.execute(statement):
        found[resource_id].append(LiveOperation(kind, mode))
    return {resource_id: tuple(several) for resource_id, several in found.items()}


def _of_attachments(tx: Transaction, ids: Sequence[str]) -> dict[str, tuple[LiveOperation, ...]]:
    """A detach is shown from its request on, although it holds the attachment only when its turn comes."""
    statement = select(operations.c.subject_id, operations.c.kind).where(
        operations.c.kind == transition("attachment", "detach from a server").operation,
        operations.c.subject_id.in_(ids),
        is_live(),
    )
    asked = {subject: (LiveOperation(kind, "exclusive"),) for subject, kind in tx.execute(statement)}
    return asked | _operations(tx, "attachment", ids)


def _marks(tx: Transaction, resource_type: str, ids: Sequence[str]) -> dict[str, Marks]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    statement = select(marks.c.resource_id, marks.c.field, marks.c.word).where(
        marks.c.resource_type == resource_type, marks.c.resource_id.in_(ids)
    )
    for resource_id, field, word in tx.execute(statement):
        found[resource_id][field] = word
    return {resource_id: Marks(**words) for resource_id, words in found.items()}


def _volumes(tx: Transaction, page: Sequence[Any]) -> Iterator[Finding]:
    ids = [row.id for row in page]
    attached: dict[str, list[Any]] = defaultdict(list)
    statement = select(attachments).where(attachments.c.volume_id.in_(ids), attachments.c.deleted_at.is_(None))
    for one in tx.execute(statement):
        attached[one.volume_id].append(one)
    working = _operations(tx, "volume", ids)
    attaching = _of_attachments(tx, [one.id for several in attached.values() for one in several])
    marked = _marks(tx, "volume", ids)
    held: dict[str, set[str]] = defaultdict(set)
    statement = select(volume_holds.c.volume_id, volume_holds.c.kind).where(volume_holds.c.volume_id.in_(ids))
    for volume_id, kind in tx.execute(statement):
        held[volume_id].add(kind)
    for row in page:
        facts = []
        for one in attached[row.id]:
            live = attaching.get(one.id, ())
            known = AttachmentFacts(one.stage, one.failure is not None, live[0] if live else None)
            facts.append(known)
            if attachment_status(known) != one.attach_status:
                evidence = {"stored": one.attach_status, "derived": attachment_status(known)}
                yield _stale("attachment", one.id, {**evidence, "volume_id": row.id})
        right = volume_status(
            VolumeFacts(
                life=row.life,
                migration=row.migration,
                operations=working.get(row.id, ()),
                attachments=tuple(facts),
                holds=frozenset(held[row.id]),
                marks=marked.get(row.id, Marks()),
            )
        )
        stored = VolumeStatus(row.status, row.attach_status, row.migration_status)
        if stored != right:
            yield _stale("volume", row.id, {"stored": _words(stored), "derived": _words(right)})


def _snapshots(tx: Transaction, page: Sequence[Any]) -> Iterator[Finding]:
    ids = [row.id for row in page]
    working, marked = _operations(tx, "snapshot", ids), _marks(tx, "snapshot", ids)
    for row in page:
        right = snapshot_status(row.life, working.get(row.id, ()), marked.get(row.id, Marks()).status)
        if right != row.status:
            yield _stale("snapshot", row.id, {"stored": row.status, "derived": right})


def _servers(tx: Transaction, page: Sequence[Any]) -> Iterator[Finding]:
    for row in page:
        right, stored = derived_server(tx, row.id), ServerStatus(row.status, row.vm_state, row.task_state)
        if right is not None and right != stored:
            words = [f"{one.status}/{one.vm_state}/{one.task_state}" for one in (stored, right)]
            yield _stale("server", row.id, {"stored": words[0], "derived": words[1]})


def _words(status: VolumeStatus) -> str:
    return "/".join(word for word in (status.status, status.attach_status, status.migration_status) if word)


def _stale(noun: str, resource_id: str, evidence: dict[str, Any]) -> Finding:
    return Finding(
        name="status-stale",
        resource_type=noun,
        resource_id=resource_id,
        sentence=f"{noun} {resource_id} is stored as {evidence['stored']}; the facts say {evidence['derived']}",
        evidence=evidence,
    )
