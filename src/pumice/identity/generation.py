"""The generation of identity: a number that grows with each change that may take a right away.

A cache notes the number beside what it keeps; a hop that reads another number evaluates anew. So a revocation in one
API process holds in all of them from its commit on.
"""

from sqlalchemy import insert, update

from pumice.db.engine import Transaction
from pumice.db.schema import generations

NAME = "identity"

_READ = "SELECT value FROM generations WHERE name = 'identity'"
_BUMP = update(generations).where(generations.c.name == NAME).values(value=generations.c.value + 1)


def current(tx: Transaction) -> int:
    """0 before the first start has made it."""
    value = tx.connection.exec_driver_sql(_READ).scalar()
    return int(value) if value is not None else 0


def advance(tx: Transaction) -> None:
    """Something was taken away or changed: every cached grant is to be evaluated anew."""
    if not tx.execute(_BUMP).rowcount:
        tx.execute(insert(generations).values(name=NAME, value=1))
    tx.wake(NAME)
