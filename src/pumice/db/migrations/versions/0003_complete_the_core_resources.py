"""Add application credentials with their rules, tags of projects, members of images, what a deleted image was, key
pairs, limits of compute, what else a server is made with, and the stages of resizing and shelving it."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    images()
    identity()
    block()
    compute()
    retention()
    stages_of_servers()


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
    for name, columns in (
        ("name", ["name", "created_at", "id"]),
        ("backend", ["backend", "created_at", "id", "size"]),
        ("type", ["volume_type_id", "created_at", "id"]),
    ):
        op.drop_index(f"ix_volumes_{name}", table_name="volumes")
        living = sa.text("deleted_at IS NULL")
        op.create_index(f"ix_volumes_{name}", "volumes", columns, sqlite_where=living, postgresql_where=living)
    op.add_column(
        "pools",
        sa.Column(
            "promised_gib", sa.BigInteger(), nullable=True, comment="GiB of the live volumes made before promised_at"
        ),
    )
    op.add_column("pools", sa.Column("promised_at", sa.BigInteger(), nullable=True))
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
    return sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


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


def compute() -> None:
    op.create_table(
        "keypairs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("fingerprint", sa.String(length=255), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("type IN ('ssh', 'x509')", name=op.f("ck_keypairs_type")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keypairs")),
    )
    op.create_index("uq_keypairs_user_name", "keypairs", ["user_id", "name"], unique=True)
    op.create_table(
        "compute_quota_limits",
        sa.Column(
            "project_id",
            sa.String(length=36),
            nullable=False,
            comment="'': for every project without a limit of its own",
        ),
        sa.Column("resource", sa.String(length=32), nullable=False),
        sa.Column("hard_limit", sa.BigInteger(), nullable=False, comment="-1: without limit"),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("hard_limit >= -1", name=op.f("ck_compute_quota_limits_hard_limit")),
        sa.PrimaryKeyConstraint("project_id", "resource", name=op.f("pk_compute_quota_limits")),
    )
    for column in _of_servers():
        op.add_column("servers", column)
    op.add_column(
        "block_device_mappings",
        sa.Column(
            "guest_format",
            sa.String(length=32),
            nullable=True,
            comment="of a local blank disk: swap, or a file system",
        ),
    )


def _of_servers() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("hostname", sa.String(length=255), nullable=True, comment="NULL: made of the name"),
        sa.Column(
            "asked_zone", sa.String(length=255), nullable=True, comment="the zone that was asked for, NULL: none was"
        ),
        sa.Column("reservation_id", sa.String(length=32), nullable=True, comment="servers of one request share it"),
        sa.Column("launch_index", sa.Integer(), nullable=True, comment="its place among them, NULL: 0"),
        sa.Column(
            "public_key", sa.Text(), nullable=True, comment="of its key pair, as it was when the server was made"
        ),
        sa.Column(
            "admin_password", sa.Text(), nullable=True, comment="for its config drive; NULL once the server is there"
        ),
        sa.Column("disk_config", sa.String(length=8), nullable=True),
        sa.Column("access_ip_v4", sa.String(length=64), nullable=True),
        sa.Column("access_ip_v6", sa.String(length=64), nullable=True),
        sa.Column(
            "image_properties",
            sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql"),
            nullable=True,
            comment="of the image it was made from",
        ),
    )


def stages_of_servers() -> None:
    json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    for column in (
        sa.Column(
            "locked_by",
            sa.String(length=8),
            nullable=True,
            comment="owner or admin: what an administrator locked, its owner cannot unlock",
        ),
        sa.Column(
            "stage",
            sa.String(length=16),
            nullable=True,
            comment="resized (to be confirmed or reverted), shelved, offloaded; NULL: none",
        ),
        sa.Column("stage_since", sa.BigInteger(), nullable=True),
        sa.Column("old_flavor", json, nullable=True, comment="of a resized server: what revert brings back"),
        sa.Column(
            "shelved_image_id",
            sa.String(length=36),
            nullable=True,
            comment="of a shelved server: what its local root disk was",
        ),
    ):
        op.add_column("servers", column)
    op.create_index(
        "ix_servers_stage",
        "servers",
        ["stage", "stage_since"],
        unique=False,
        sqlite_where=sa.text("stage IS NOT NULL"),
        postgresql_where=sa.text("stage IS NOT NULL"),
    )
    _change_checks(
        "servers",
        {
            "power": (
                "power IN ('on', 'off', 'paused', 'none')",
                "power IN ('on', 'off', 'paused', 'suspended', 'none')",
            ),
            "placed": (
                "life <> 'there' OR host IS NOT NULL",
                "life <> 'there' OR host IS NOT NULL OR (stage IS NOT NULL AND stage = 'offloaded')",
            ),
            "resized": (None, "(stage IS NOT NULL AND stage = 'resized') = (old_flavor IS NOT NULL)"),
        },
    )


def _change_checks(table: str, changes: "dict[str, tuple[str | None, str]]") -> None:
    """Change CHECKs (name: what it was, what it is to be), or add some.

    SQLite cannot, but for writing its own description of the table, as its manual tells: no row is touched."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for name, (before, after) in changes.items():
            if before is not None:
                op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, after)
        return
    find = sa.text("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = :name")
    statement = connection.execute(find, {"name": table}).scalar_one()
    for name, (before, after) in changes.items():
        whole = f"CONSTRAINT ck_{table}_{name} CHECK ({after})"
        if before is None:
            statement = f"{statement.rstrip().removesuffix(')')}, {whole})"
        else:
            old = f"CONSTRAINT ck_{table}_{name} CHECK ({before})"
            if old not in statement:
                raise RuntimeError(f"the table {table} has no such constraint: {old}")
            statement = statement.replace(old, whole)
    version = connection.execute(sa.text("PRAGMA schema_version")).scalar_one()
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    write = sa.text("UPDATE sqlite_schema SET sql = :sql WHERE type = 'table' AND name = :name")
    connection.execute(write, {"sql": statement, "name": table})
    connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
    connection.execute(sa.text("PRAGMA writable_schema = OFF"))


def retention() -> None:
    op.create_table(
        "purges",
        sa.Column("table_name", sa.String(length=64), nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=False, comment="rows, in all"),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", name=op.f("pk_purges")),
    )
    op.create_table(
        "usage_audits",
        sa.Column("period", sa.String(length=16), nullable=False, comment="hour@0, month@1"),
        sa.Column("ends_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("begins_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False, comment="events"),
        sa.Column("failed", sa.Integer(), nullable=False, comment="rows that could not be told"),
        sa.CheckConstraint("begins_at < ends_at", name=op.f("ck_usage_audits_period")),
        sa.PrimaryKeyConstraint("period", "ends_at", name=op.f("pk_usage_audits")),
    )
    op.create_index("ix_usage_audits_finished", "usage_audits", ["finished_at"], unique=False)
    for table in ("snapshots", "attachments"):
        op.drop_index(f"ix_{table}_volume", table_name=table)
        op.create_index(f"ix_{table}_volume", table, ["volume_id", "deleted_at"], unique=False)
    op.create_index("ix_block_device_mappings_server", "block_device_mappings", ["server_id"], unique=False)
    op.create_index(
        "ix_block_device_mappings_deleted",
        "block_device_mappings",
        ["deleted_at"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index("ix_instance_actions_start", "instance_actions", ["start_time"], unique=False)
