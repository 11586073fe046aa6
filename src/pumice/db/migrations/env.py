"""What Alembic runs: the migrations in the transaction that `pumice.db.upgrade` has opened (and locked)."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON

from pumice.db.schema import metadata


def _shorter(kind: str, thing: Any, _context: object) -> str | Literal[False]:
    """In generated migrations our JSON type is the template's name for it."""
    return "JSON" if kind == "type" and isinstance(thing, JSON) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=_shorter,
    # SQLite's DDL is transactional where BEGIN is sent by us, as the engine does: all of it happens or nothing.
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
