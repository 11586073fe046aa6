"""The usage audit: one `<kind>.exists` event for each resource alive in a period. Bills are made from them (story 1).

    period = last_completed("month", now)
    summary = audit(database, period, caller=system_caller())

It streams: one page of rows in memory, a fixed number of statements a page (the rows with what they join; what belongs
to them; one insert). A message id is made of the event type, the resource and the period, so a repeated run stores
nothing twice. A row that cannot be told is reported with its id, and the rest goes on.
"""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy.engine import Row
from sqlalchemy.exc import DBAPIError

from pumice.caller import Caller
from pumice.db import purged
from pumice.db.engine import Database
from pumice.metering.audited import KINDS, AuditedRow, Kind
from pumice.metering.events import event_row, store
from pumice.metering.periods import Period, shown

NAMESPACE = uuid.UUID("6d2f0a52-6a0b-5b60-9d53-6c9f8f1f7d5e")
"""Of the message ids; changing it would bill everything twice."""

PAGE = 1000
"""Rows in memory at once."""

BAD = (ValueError, TypeError, KeyError, AttributeError, OverflowError, msgspec.MsgspecError)
"""What a row that cannot be told raises while its events are built."""

_REMEMBERED = 1000


class BadResource(msgspec.Struct, frozen=True):
    """A resource that could not be reported, and why."""

    kind: str
    id: str
    reason: str


class KindSummary(msgspec.Struct):
    """How one kind went. `sent` counts events; `repeated` those of them that an earlier run had stored already."""

    resources: int = 0
    sent: int = 0
    repeated: int = 0
    failed: int = 0


class AuditSummary(msgspec.Struct):
    """How the audit went; `failures` names the first 1,000 bad rows, `failed` counts all."""

    begin: int
    end: int
    kinds: dict[str, KindSummary] = {}
    failures: list[BadResource] = []
    gone: dict[str, int] = {}
    """Kinds of which rows of this period may be gone: retention has removed what was deleted until this time."""

    @property
    def failed(self) -> int:
        return sum(kind.failed for kind in self.kinds.values())

    @property
    def sent(self) -> int:
        return sum(kind.sent for kind in self.kinds.values())


class Watcher:
    """What a run tells while it goes; this one keeps silent."""

    def started(self, kind: str, total: int) -> None:
        """The audit of a kind begins; so many resources are alive in the period."""

    def advanced(self, kind: str, rows: int) -> None:
        """So many more rows are done."""

    def failed(self, bad: BadResource) -> None:
        """A row could not be reported."""


def message_id(event_type: str, resource_id: str, period: Period) -> str:
    """The same for the same event of the same resource and period, in every run (a UUID of version 5)."""
    name = f"{event_type}/{resource_id}/{period.begin}/{period.end}"
    digest = hashlib.sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def audit(
    database: Database,
    period: Period,
    *,
    caller: Caller,
    send_actions: bool = False,
    kinds: Sequence[Kind] = KINDS,
    watcher: Watcher | None = None,
    page: int = PAGE,
) -> AuditSummary:
    """Send the events of every resource alive in the period. Raises DatabaseUnavailable; run it again then.

    send_actions: also `create.start/end` of what was created and `delete.start/end` of what was deleted in it."""
    watcher = watcher or Watcher()
    summary = AuditSummary(period.begin, period.end)
    for kind in kinds:
        counted = summary.kinds[kind.noun] = KindSummary()
        with database.read() as tx:
            removed = purged.newest(tx, kind.table.name)
            if removed is not None and removed > period.begin:
                summary.gone[kind.noun] = removed
            watcher.started(kind.noun, kind.count(tx, period.begin, period.end))
        run = _Run(kind, period, caller, send_actions, watcher, summary, counted)
        for rows, related in _pages(database, run, page):
            _send(database, run, rows, related)
    return summary


class _Run(msgspec.Struct, frozen=True):
    """The audit of one kind."""

    kind: Kind
    period: Period
    caller: Caller
    send_actions: bool
    watcher: Watcher
    summary: AuditSummary
    counted: KindSummary

    def fail(self, identifier: str, reason: object) -> None:
        bad = BadResource(self.kind.noun, identifier, str(reason))
        self.counted.failed += 1
        self.counted.resources += 1
        if len(self.summary.failures) < _REMEMBERED:
            self.summary.failures.append(bad)
        self.watcher.failed(bad)


def _pages(database: Database, run: _Run, page: int) -> Iterator[tuple[Sequence[Row[Any]], Any]]:
    """Pages of readable rows with what belongs to them."""
    kind, begin, end = run.kind, run.period.begin, run.period.end
    after = ""
    while True:
        with database.read() as tx:
            try:
                rows = kind.page(tx, begin, end, after, page)
                last, read = (str(rows[-1][0]), len(rows)) if rows else (after, 0)
            except DBAPIError as error:
                if not _unreadable(error):
                    raise
                ids = kind.page_ids(tx, begin, end, after, page)
                last, read = ids[-1], len(ids)
                rows = list(_one_by_one(tx, run, ids))
            related = kind.related(tx, [str(row[0]) for row in rows]) if rows else {}
        if rows:
            yield rows, related
        run.watcher.advanced(kind.noun, read)
        if read < page:
            return
        after = last


def _one_by_one(tx: Any, run: _Run, ids: Sequence[str]) -> Iterator[Row[Any]]:
    """The rows of a page of which at least one cannot even be fetched (SQLite: a text that is no UTF-8)."""
    for identifier in ids:
        try:
            yield run.kind.one(tx, identifier)
        except DBAPIError as error:
            if not _unreadable(error):
                raise
            run.fail(identifier, f"it cannot be read: {error.orig}")


def _unreadable(error: DBAPIError) -> bool:
    return "decode" in str(error.orig).lower()


def _send(database: Database, run: _Run, rows: Sequence[Row[Any]], related: Any) -> None:
    """Build the events of one page and store them in one transaction."""
    now = database.clock.now()
    events: list[dict[str, Any]] = []
    for row in rows:
        try:
            found = list(_events_of(run, run.kind.build(row, related), now))
        except BAD as error:
            run.fail(str(row[0]), error)
            continue
        run.counted.resources += 1
        events += found
    with database.write() as tx:
        new = store(tx, events)
    run.counted.sent += len(events)
    run.counted.repeated += len(events) - new


def _events_of(run: _Run, row: AuditedRow, now: int) -> Iterator[dict[str, Any]]:
    period = run.period
    payload = {
        **row.payload,
        "audit_period_beginning": shown(period.begin),
        "audit_period_ending": shown(period.end),
    }
    for action in _actions_of(run, row):
        event_type = f"{run.kind.noun}.{action}"
        yield event_row(
            event_type,
            payload,
            caller=run.caller,
            resource_id=row.id,
            project_id=row.project_id,
            publisher=row.publisher,
            message_id=message_id(event_type, row.id, period),
            generated=now,
        )


def _actions_of(run: _Run, row: AuditedRow) -> Iterator[str]:
    yield "exists"
    if not run.send_actions:
        return
    if run.period.begin <= row.created_at < run.period.end:
        yield "create.start"
        yield "create.end"
    # A resource deleted exactly at a border was alive in the period before it only: its end is told there.
    if row.deleted_at is not None and run.period.begin < row.deleted_at <= run.period.end:
        yield "delete.start"
        yield "delete.end"
