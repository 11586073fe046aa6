"""Add quotas, and whether the read-only flag of a volume was ever set."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "quota_class_limits",
        sa.Column("class_name", sa.String(length=255), nullable=False),
        sa.Column("resource", sa.String(length=32), nullable=False),
        sa.Column("volume_type_id", sa.String(length=36), nullable=False, comment="'': of all types together"),
        sa.Column("hard_limit", sa.BigInteger(), nullable=False, comment="-1: without limit"),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("hard_limit >= -1", name=op.f("ck_quota_class_limits_hard_limit")),
        sa.PrimaryKeyConstraint("class_name", "resource", "volume_type_id", name=op.f("pk_quota_class_limits")),
    )
    op.create_table(
        "quota_limits",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("resource", sa.String(length=32), nullable=False),
        sa.Column("volume_type_id", sa.String(length=36), nullable=False, comment="'': of all types together"),
        sa.Column("hard_limit", sa.BigInteger(), nullable=False, comment="-1: without limit"),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("hard_limit >= -1", name=op.f("ck_quota_limits_hard_limit")),
        sa.PrimaryKeyConstraint("project_id", "resource", "volume_type_id", name=op.f("pk_quota_limits")),
    )
    op.create_table(
        "quota_locks",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_quota_locks")),
    )
    op.create_index(
        "ix_snapshots_quota",
        "snapshots",
        ["project_id", "consumes_quota", "volume_id", "size"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_volumes_quota",
        "volumes",
        ["project_id", "consumes_quota", "volume_type_id", "size"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.add_column(
        "volumes",
        sa.Column(
            "read_only_told",
            sa.Boolean(),
            nullable=True,
            comment="somebody set the flag, so it is shown in the metadata",
        ),
    )
