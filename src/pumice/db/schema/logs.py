"""What the processes log: what an operator asked for, and what each process says that it does."""

from sqlalchemy import Column, String, Table

from pumice.db.schema.base import Json, metadata, one_of, time

log_levels = Table(
    "log_levels",
    metadata,
    # Asked for by os-services/set-log; applied by every process of that binary and host.
    Column("binary", String(64), primary_key=True),
    Column("host", String(255), primary_key=True),
    Column("prefix", String(255), primary_key=True, comment="name of a logger; '': of all"),
    Column("level", String(16), nullable=False),
    time("updated_at", nullable=False),
    one_of("level", "level", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
)

log_reports = Table(
    "log_reports",
    metadata,
    # What a process has in force: the last word of each binary and host.
    Column("binary", String(64), primary_key=True),
    Column("host", String(255), primary_key=True),
    Column("levels", Json, nullable=False, comment="{name of a logger: level}"),
    time("reported_at", nullable=False),
)
