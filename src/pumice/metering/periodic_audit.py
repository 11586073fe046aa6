"""The usage audit that runs by itself: each period of `usage_audit_period` once, when it is over.

    audited = run_due(database, "day@6", caller=system_caller())       the agent, every minute

A finished period is a row of `usage_audits`; what was over while no agent ran is made up for, from the last finished
period on. An audit that a crash cut off is begun again, and stores nothing twice (its message ids are made of resource
and period). Two hosts at once do the same work, once each, with one result.
"""

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from pumice.caller import Caller
from pumice.db.engine import Database, Transaction
from pumice.db.schema import usage_audits
from pumice.metering.periods import Period, last_completed
from pumice.metering.usage_audit import AuditSummary, audit

MOST = 1000
"""Periods to make up for at most."""


def run_due(database: Database, setting: str, *, caller: Caller) -> list[AuditSummary]:
    """Audit every period that is over and not done yet, the oldest first. setting: "hour@0".

    Raises DatabaseUnavailable; the next call goes on there."""
    name = _name(setting)
    with database.read() as tx:
        periods = due(setting, tx.now, finished_until(tx, name))
    done = []
    for period in periods:
        summary = audit(database, period, caller=caller)
        database.run_write(_finish, name, period, summary)
        done.append(summary)
    return done


def due(setting: str, now: int, finished: int | None) -> list[Period]:
    """The periods that are over at `now` and end after `finished`, the oldest first. None: only the last one."""
    periods = [last_completed(setting, now)]
    if finished is None:
        return periods
    while periods[-1].begin >= finished and len(periods) < MOST:
        periods.append(last_completed(setting, periods[-1].begin))
    return [period for period in reversed(periods) if period.end > finished]


def finished_until(tx: Transaction, name: str) -> int | None:
    """The end of the last period that is done; microseconds."""
    statement = select(func.max(usage_audits.c.ends_at)).where(usage_audits.c.period == name)
    found: int | None = tx.execute(statement).scalar_one()
    return found


def unbilled_since(tx: Transaction, setting: str) -> int:
    """Where the next period to be audited begins: what was deleted after that is still needed."""
    finished = finished_until(tx, _name(setting))
    return finished if finished is not None else last_completed(setting, tx.now).begin


def _name(setting: str) -> str:
    return setting if "@" in setting else f"{setting}@0"


def _finish(tx: Transaction, name: str, period: Period, summary: AuditSummary) -> None:
    insert = sqlite.insert(usage_audits) if tx.sqlite else postgresql.insert(usage_audits)
    values = {
        "period": name,
        "ends_at": period.end,
        "begins_at": period.begin,
        "finished_at": tx.now,
        "sent": summary.sent,
        "failed": summary.failed,
    }
    tx.execute(insert.values(**values).on_conflict_do_nothing())
