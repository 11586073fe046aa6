"""What retention has removed so far, so that whoever asks for an older time can be told that rows are gone.

purged.note(tx, "volumes", newest, rows)      in the transaction that removes them
purged.newest(tx, "volumes")                  None: nothing is gone
"""

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pumice.db.engine import Transaction
from pumice.db.schema import purges


def note(tx: Transaction, table: str, newest: int, removed: int) -> None:
    """So many rows are removed; the time of the youngest of them (e.g. of its deletion) is `newest`."""
    insert = sqlite.insert(purges) if tx.sqlite else postgresql.insert(purges)
    values = {"table_name": table, "newest": 0, "removed": 0, "updated_at": tx.now}
    tx.execute(insert.values(**values).on_conflict_do_nothing())
    tx.execute(
        update(purges)
        .where(purges.c.table_name == table)
        .values(
            newest=func.max(purges.c.newest, newest) if tx.sqlite else func.greatest(purges.c.newest, newest),
            removed=purges.c.removed + removed,
            updated_at=tx.now,
        )
    )


def newest(tx: Transaction, table: str) -> int | None:
    """The time of the youngest row of the table that was ever removed, in microseconds; None: all are there."""
    found: int | None = tx.execute(select(purges.c.newest).where(purges.c.table_name == table)).scalar_one_or_none()
    return found
