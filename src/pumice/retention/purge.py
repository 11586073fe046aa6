"""Removes what the rules let go: in small transactions with pauses, so that nobody else waits long for the database.

    report = purge(database, settings)                   the agent, every hour; `pumice db purge`
    report = count(database, settings)                   what would go, nothing changed

Candidates are found by a reading transaction, BATCH at a time in the order of their age; a short writing one removes
them where the rule still holds, and notes how young the youngest of them was. Stopped at any moment it has done what it
has done; two at once do each other no harm.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.engine import Row

from pumice.db import purged
from pumice.db.engine import Database, Transaction
from pumice.metering.periodic_audit import unbilled_since
from pumice.retention.rules import RULES, Rule
from pumice.settings import Settings

BATCH = 500
"""Rows a transaction: a few milliseconds of the write lock."""


class Removed(msgspec.Struct, frozen=True):
    """How one rule went."""

    table: str
    what: str
    rows: int
    before: int
    """Rows whose time is older than this; microseconds."""


def _rest(seconds: float) -> None:
    threading.Event().wait(seconds)


def purge(
    database: Database,
    settings: Settings,
    *,
    rules: Sequence[Rule] = RULES,
    batch: int = BATCH,
    rest: Callable[[float], None] = _rest,
) -> list[Removed]:
    """Remove what may go; what was removed, rule by rule. Raises DatabaseUnavailable; go on later then.

    rest: called with the seconds to leave the database to others between two batches, as long as the last one took."""
    return [
        Removed(str(rule.table.name), rule.what, _purge_one(database, rule, before, batch, rest), before)
        for rule, before in _borders(database, settings, rules)
    ]


def count(database: Database, settings: Settings, *, rules: Sequence[Rule] = RULES) -> list[Removed]:
    """What `purge` would remove now, without what goes only once others are gone (a volume after its snapshots)."""
    found = []
    for rule, before in _borders(database, settings, rules):
        with database.read() as tx:
            rows = tx.execute(select(func.count()).select_from(rule.table).where(rule.condition(before))).scalar_one()
        found.append(Removed(str(rule.table.name), rule.what, rows, before))
    return found


def _borders(database: Database, settings: Settings, rules: Sequence[Rule]) -> list[tuple[Rule, int]]:
    with database.read() as tx:
        now, audited = tx.now, None
        if settings.usage_audit_period != "off":
            audited = unbilled_since(tx, settings.usage_audit_setting)
    borders = []
    for rule in rules:
        before = now - rule.kept(settings)
        borders.append((rule, min(before, audited) if rule.billed and audited is not None else before))
    return borders


def _purge_one(database: Database, rule: Rule, before: int, batch: int, rest: Callable[[float], None]) -> int:
    removed, after = 0, None
    while True:
        with database.read() as tx:
            rows = _candidates(tx, rule, before, after, batch)
        if not rows:
            return removed
        begin = time.monotonic()
        removed += database.run_write(_remove, rule, before, rows)
        if len(rows) < batch:
            return removed
        after = rows[-1]
        rest(time.monotonic() - begin)


def _candidates(tx: Transaction, rule: Rule, before: int, after: Row[Any] | None, limit: int) -> Sequence[Row[Any]]:
    """Time and key of the oldest rows that may go, after the one given."""
    order = [rule.time, *rule.key]
    statement = select(*order).where(rule.condition(before)).order_by(*order).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(*order) > tuple(after))
    return tx.execute(statement).all()


def _remove(tx: Transaction, rule: Rule, before: int, rows: Sequence[Row[Any]]) -> int:
    """Remove these rows where the rule still holds; how many."""
    keys = [tuple(row)[1:] for row in rows]
    which = rule.key[0].in_([key[0] for key in keys]) if len(rule.key) == 1 else tuple_(*rule.key).in_(keys)
    removed = tx.execute(delete(rule.table).where(which, rule.condition(before))).rowcount
    if removed:
        purged.note(tx, rule.table.name, max(row[0] for row in rows), removed)
    return removed
