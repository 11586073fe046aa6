"""Add application credentials with their rules, tags of projects, members of images, and what a deleted image was."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    images()
    identity()
    block()


def images() -> None:
    # In plain SQL: SQLite takes a CHECK of a new column only where it stands with the column.
    op.execute(
        "ALTER TABLE images ADD COLUMN deleted_status VARCHAR(16) CONSTRAINT ck_images_deleted_status "
        "CHECK (deleted_status IS NULL OR status = 'deleted')"
    )
    op.create_index(
        "ix_images_deleted",
        "images",
        ["deleted_at"],
        unique=False,
        sqlite_where=sa.text("deleted_status IS NOT NULL"),
        postgresql_where=sa.text("deleted_status IS NOT NULL"),
    )
    op.create_table(
        "image_members",
        sa.Column("image_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False, comment="with whom the image is shared"),
        sa.Column("status", sa.String(length=16), nullable=False, comment="what that project says to it"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('pending', 'accepted', 'rejected')", name=op.f("ck_image_members_status")),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_image_members_image_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "project_id", name=op.f("pk_image_members")),
    )
    op.create_index("ix_image_members_project", "image_members", ["project_id", "status"], unique=False)


def block() -> None:
    op.create_table(
        "default_volume_types",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("volume_type_id", sa.String(length=36), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["volume_type_id"], ["volume_types.id"], name=op.f("fk_default_volume_types_volume_type_id")
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_default_volume_types")),
    )
    op.add_column(
        "volumes",
        sa.Column(
            "migration",
            sa.String(length=16),
            nullable=True,
            comment="how the last migration ended: success or error; NULL: there was none",
        ),
    )
    op.create_table(
        "log_levels",
        sa.Column("binary", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("prefix", sa.String(length=255), nullable=False, comment="name of a logger; '': of all"),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "level IN ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')", name=op.f("ck_log_levels_level")
        ),
        sa.PrimaryKeyConstraint("binary", "host", "prefix", name=op.f("pk_log_levels")),
    )
    op.create_table(
        "log_reports",
        sa.Column("binary", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("levels", _json(), nullable=False, comment="{name of a logger: level}"),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("binary", "host", name=op.f("pk_log_reports")),
    )


def _json() -> "sa.types.TypeEngine[Any]":
    if op.get_bind().dialect.name == "postgresql":
        return postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
    return sa.JSON(none_as_null=True)


def identity() -> None:
    op.create_table(
        "project_tags",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("tag", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_project_tags_project_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "tag", name=op.f("pk_project_tags")),
    )
    op.create_index("ix_login_attempts_last", "login_attempts", ["last_at"], unique=False)
    op.add_column("tokens", sa.Column("application_credential_id", sa.String(length=36), nullable=True))
    op.create_index(
        "ix_tokens_credential",
        "tokens",
        ["application_credential_id"],
        unique=False,
        sqlite_where=sa.text("application_credential_id IS NOT NULL"),
        postgresql_where=sa.text("application_credential_id IS NOT NULL"),
    )
    _application_credentials()
    _their_roles()
    _their_rules()


def _application_credentials() -> None:
    op.create_table(
        "application_credentials",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column(
            "secret_hash", sa.Text(), nullable=False, comment="argon2id, or sha256: of a secret that Pumice made"
        ),
        sa.Column("unrestricted", sa.Boolean(), nullable=False, comment="may make and delete application credentials"),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_application_credentials_project_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_application_credentials_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application_credentials")),
    )
    op.create_index("ix_application_credentials_project", "application_credentials", ["project_id"], unique=False)
    op.create_index("uq_application_credentials_name", "application_credentials", ["user_id", "name"], unique=True)


def _their_roles() -> None:
    op.create_table(
        "application_credential_roles",
        sa.Column("application_credential_id", sa.String(length=36), nullable=False),
        sa.Column("role_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_credential_id"],
            ["application_credentials.id"],
            name=op.f("fk_application_credential_roles_application_credential_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name=op.f("fk_application_credential_roles_role_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("application_credential_id", "role_id", name=op.f("pk_application_credential_roles")),
    )
    op.create_index("ix_application_credential_roles_role", "application_credential_roles", ["role_id"], unique=False)


def _their_rules() -> None:
    op.create_table(
        "access_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("service", sa.String(length=255), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_access_rules_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_rules")),
    )
    op.create_index("uq_access_rules_rule", "access_rules", ["user_id", "service", "method", "path"], unique=True)
    op.create_table(
        "application_credential_rules",
        sa.Column("application_credential_id", sa.String(length=36), nullable=False),
        sa.Column("access_rule_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["access_rule_id"], ["access_rules.id"], name=op.f("fk_application_credential_rules_access_rule_id")
        ),
        sa.ForeignKeyConstraint(
            ["application_credential_id"],
            ["application_credentials.id"],
            name=op.f("fk_application_credential_rules_application_credential_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "application_credential_id", "access_rule_id", name=op.f("pk_application_credential_rules")
        ),
    )
    op.create_index(
        "ix_application_credential_rules_rule", "application_credential_rules", ["access_rule_id"], unique=False
    )
