"""What retention and the periodic usage audit remember of themselves."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, String, Table

from pumice.db.schema.base import live_index, metadata, time

purges = Table(
    "purges",
    metadata,
    # What was removed of a table so far: whoever asks for an older time can be told that rows are gone.
    Column("table_name", String(64), primary_key=True),
    time("newest", nullable=False),
    Column("removed", BigInteger, nullable=False, comment="rows, in all"),
    time("updated_at", nullable=False),
)

usage_audits = Table(
    "usage_audits",
    metadata,
    # A period whose usage audit the agent has finished: it is done once, and none is left out.
    Column("period", String(16), primary_key=True, comment="hour@0, month@1"),
    Column("ends_at", BigInteger, primary_key=True, autoincrement=False),
    time("begins_at", nullable=False),
    time("finished_at", nullable=False),
    Column("sent", Integer, nullable=False, comment="events"),
    Column("failed", Integer, nullable=False, comment="rows that could not be told"),
    CheckConstraint("begins_at < ends_at", name="period"),
    live_index("ix_usage_audits_finished", "finished_at", where="1 = 1"),
)
