"""Events: every notification, written in the same transaction as the change it tells of. Also the outbox of the bus."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

from pumice.db.schema.base import Json, Uuid, live_index, metadata, time

events = Table(
    "events",
    metadata,
    # Grows with each event; the order of the outbox. SQLite needs INTEGER for its rowid.
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("message_id", Uuid, nullable=False, unique=True),
    Column("event_type", String(128), nullable=False),
    Column("publisher_id", String(255), nullable=False),
    Column("priority", String(16), nullable=False),
    time("generated", nullable=False),
    Column("project_id", Uuid),
    Column("user_id", Uuid),
    Column("resource_id", Uuid),
    Column("request_id", String(64)),
    Column("traits", Json, nullable=False, comment="{name: [type, value]}; types string, integer, float, datetime"),
    Column("payload", Json, nullable=False),
    time("delivered_at"),
    live_index("ix_events_type", "event_type", "generated", "message_id", where="1 = 1"),
    live_index("ix_events_generated", "generated", "message_id", where="1 = 1"),
    live_index("ix_events_project", "project_id", "generated", where="1 = 1"),
    live_index("ix_events_resource", "resource_id", "event_type", "generated", where="1 = 1"),
    live_index("ix_events_outbox", "sequence", where="delivered_at IS NULL"),
)
