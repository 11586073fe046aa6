"""Durable operations, the resources they hold, the sessions that work on them; idempotency keys."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    literal_column,
)

from pumice.db.schema.base import Json, Uuid, live_index, metadata, one_of, time, uuid_key

LIVE_OPERATION = "state IN ('running', 'undoing')"

worker_sessions = Table(
    "worker_sessions",
    metadata,
    uuid_key(),
    Column("host", String(255), nullable=False),
    Column("process_id", Integer, nullable=False),
    time("started_at", nullable=False),
    time("heartbeat_at", nullable=False),
    Column("lease", BigInteger, nullable=False, comment="microseconds after heartbeat_at when others may take over"),
    time("ended_at"),
    live_index("ix_worker_sessions_live", "host", where="ended_at IS NULL"),
)

place_owners = Table(
    "place_owners",
    metadata,
    # A place (a backend, a compute host) is worked on by one session at a time.
    Column("place", String(255), primary_key=True),
    Column("session_id", ForeignKey("worker_sessions.id"), nullable=False),
    time("since", nullable=False),
)

operations = Table(
    "operations",
    metadata,
    uuid_key(),
    Column("kind", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("subject_type", String(32), nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("project_id", Uuid),
    Column("user_id", Uuid),
    Column("request_id", String(64)),
    Column("arguments", Json, nullable=False),
    Column("results", Json, nullable=False),
    Column("position", Integer, nullable=False, comment="index of the step to do (running) or to undo (undoing)"),
    Column("place", String(255), nullable=False, comment="where that step runs; 'anywhere' for any session"),
    Column("session_id", Uuid, comment="who has claimed it"),
    Column("epoch", Integer, nullable=False, comment="grows with each claim; fences a paused worker's late writes"),
    Column("attempts", Integer, nullable=False, comment="failed tries of the step at hand"),
    Column("crashes", Integer, nullable=False, comment="workers that died with the step at hand in their hands"),
    Column("started", Boolean, nullable=False, comment="a worker was about to run the step after a crash"),
    time("not_before", nullable=False),
    Column("error", Text, comment="why it is undone"),
    Column("last_error", Text, comment="why the step at hand (or its undo) is being tried again"),
    Column("progress", Integer),
    Column("cancel_requested", Boolean, nullable=False),
    time("created_at", nullable=False),
    time("updated_at", nullable=False),
    time("finished_at"),
    one_of("state", "state", "running", "undoing", "done", "undone"),
    # An operation that has ended says when, and nobody holds it.
    CheckConstraint(
        "(state IN ('running', 'undoing') AND finished_at IS NULL)"
        " OR (state IN ('done', 'undone') AND finished_at IS NOT NULL AND session_id IS NULL)",
        name="ended",
    ),
    # An operation that is undone says why.
    CheckConstraint("state NOT IN ('undoing', 'undone') OR error IS NOT NULL", name="reason"),
    live_index("ix_operations_claim", "place", "not_before", where=LIVE_OPERATION),
    live_index("ix_operations_session", "session_id", where=LIVE_OPERATION),
    live_index("ix_operations_subject", "subject_id", where=LIVE_OPERATION),
    live_index("ix_operations_finished", "finished_at", where="finished_at IS NOT NULL"),
)

operation_resources = Table(
    "operation_resources",
    metadata,
    # Rows exist only while the operation lives: they are deleted in the transaction that ends it.
    Column("operation_id", ForeignKey("operations.id", ondelete="CASCADE"), primary_key=True),
    Column("resource_type", String(32), primary_key=True),
    Column("resource_id", Uuid, primary_key=True),
    Column("mode", String(16), nullable=False),
    one_of("mode", "mode", "exclusive", "shared"),
    # A resource has one exclusive holder at most.
    live_index("uq_exclusive", "resource_type", "resource_id", unique=True, where="mode = 'exclusive'"),
    live_index("ix_operation_resources_resource", "resource_id", where="1 = 1"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("route", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_digest", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Json, nullable=False),
    time("created_at", nullable=False),
    live_index("ix_idempotency_keys_created", "created_at", where="1 = 1"),
)


def is_live(table: Any = operations) -> ColumnElement[bool]:
    """SQL: it has not ended. The words stand in the text: with parameters no database uses the indices of live ones,
    and what runs at each turn of a worker reads every operation there ever was."""
    found: ColumnElement[bool] = table.c.state.in_([literal_column("'running'"), literal_column("'undoing'")])
    return found
