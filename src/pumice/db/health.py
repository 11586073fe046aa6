"""Does the database answer, and what is under way: for `/healthz` and `/metrics`."""

from sqlalchemy import func, select

from pumice.db.engine import Transaction
from pumice.db.schema import domains, is_live, operations


def answers(tx: Transaction) -> bool:
    """True when the schema is there and the first start is done. Raises DatabaseUnavailable."""
    return tx.execute(select(domains.c.id).limit(1)).first() is not None


def live_operations(tx: Transaction) -> list[tuple[str, str, int]]:
    """(kind, state, how many) of operations that have not ended."""
    rows = tx.execute(
        select(operations.c.kind, operations.c.state, func.count())
        .where(is_live())
        .group_by(operations.c.kind, operations.c.state)
    )
    return [(kind, state, count) for kind, state, count in rows]
