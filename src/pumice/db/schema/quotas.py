"""Quotas: the limits that differ from the defaults. What is used is counted from the rows, never kept here."""

from sqlalchemy import BigInteger, CheckConstraint, Column, String, Table

from pumice.db.schema.base import Uuid, metadata, time

quota_limits = Table(
    "quota_limits",
    metadata,
    # What an administrator set for one project.
    Column("project_id", Uuid, primary_key=True),
    Column("resource", String(32), primary_key=True),
    Column("volume_type_id", Uuid, primary_key=True, comment="'': of all types together"),
    Column("hard_limit", BigInteger, nullable=False, comment="-1: without limit"),
    time("updated_at", nullable=False),
    CheckConstraint("hard_limit >= -1", name="hard_limit"),
)

quota_class_limits = Table(
    "quota_class_limits",
    metadata,
    # What an administrator set for a class; the class "default" counts for every project.
    Column("class_name", String(255), primary_key=True),
    Column("resource", String(32), primary_key=True),
    Column("volume_type_id", Uuid, primary_key=True, comment="'': of all types together"),
    Column("hard_limit", BigInteger, nullable=False, comment="-1: without limit"),
    time("updated_at", nullable=False),
    CheckConstraint("hard_limit >= -1", name="hard_limit"),
)

quota_locks = Table(
    "quota_locks",
    metadata,
    # One row a project, locked while a request counts what the project has and adds to it (PostgreSQL).
    Column("project_id", Uuid, primary_key=True),
)
