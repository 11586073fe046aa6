"""First."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "compute_hosts",
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("hypervisor_type", sa.String(length=64), nullable=False),
        sa.Column("hypervisor_version", sa.String(length=64), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("memory_mib", sa.Integer(), nullable=False),
        sa.Column("connector", JSON, nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_compute_hosts")),
    )
    op.create_table(
        "domains",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domains")),
        sa.UniqueConstraint("name", name=op.f("uq_domains_name")),
    )
    op.create_table(
        "events",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("event_type", sa.String(length=128), nullable=False),
        sa.Column("publisher_id", sa.String(length=255), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("generated", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("resource_id", sa.String(length=36), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column(
            "traits", JSON, nullable=False, comment="{name: [type, value]}; types string, integer, float, datetime"
        ),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_events")),
        sa.UniqueConstraint("message_id", name=op.f("uq_events_message_id")),
    )
    op.create_index("ix_events_generated", "events", ["generated", "message_id"], unique=False)
    op.create_index(
        "ix_events_outbox",
        "events",
        ["sequence"],
        unique=False,
        sqlite_where=sa.text("delivered_at IS NULL"),
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_index("ix_events_project", "events", ["project_id", "generated"], unique=False)
    op.create_index("ix_events_resource", "events", ["resource_id", "event_type", "generated"], unique=False)
    op.create_index("ix_events_type", "events", ["event_type", "generated", "message_id"], unique=False)
    op.create_table(
        "flavors",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("memory_mib", sa.Integer(), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("disk", sa.Integer(), nullable=False, comment="GiB"),
        sa.Column("ephemeral", sa.Integer(), nullable=False),
        sa.Column("swap", sa.Integer(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("extra_specs", JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flavors")),
    )
    op.create_index(
        "uq_flavors_name",
        "flavors",
        ["name"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "generations",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_generations")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("route", sa.String(length=128), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", "route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "images",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False, comment="owner"),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("disk_format", sa.String(length=16), nullable=True),
        sa.Column("container_format", sa.String(length=16), nullable=True),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("min_disk", sa.Integer(), nullable=False, comment="GiB"),
        sa.Column("min_ram", sa.Integer(), nullable=False, comment="MiB"),
        sa.Column("size", sa.BigInteger(), nullable=True, comment="bytes"),
        sa.Column("virtual_size", sa.BigInteger(), nullable=True, comment="bytes"),
        sa.Column("checksum", sa.String(length=32), nullable=True, comment="MD5, as the API has it"),
        sa.Column("hash_algorithm", sa.String(length=16), nullable=True),
        sa.Column("hash_value", sa.String(length=128), nullable=True),
        sa.Column("properties", JSON, nullable=False),
        sa.Column("tags", JSON, nullable=False),
        sa.Column(
            "upload_id",
            sa.String(length=36),
            nullable=True,
            comment="the upload that is writing the data; its file carries a flock while it lives",
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(status = 'deleted') = (deleted_at IS NOT NULL)", name=op.f("ck_images_deleted")),
        sa.CheckConstraint("(status = 'saving') = (upload_id IS NOT NULL)", name=op.f("ck_images_upload")),
        sa.CheckConstraint(
            "status IN ('queued', 'saving', 'active', 'deactivated', 'deleted')", name=op.f("ck_images_status")
        ),
        sa.CheckConstraint(
            "status NOT IN ('active', 'deactivated') OR (size IS NOT NULL AND hash_value IS NOT NULL)",
            name=op.f("ck_images_data"),
        ),
        sa.CheckConstraint(
            "visibility IN ('public', 'private', 'shared', 'community')", name=op.f("ck_images_visibility")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
    )
    op.create_index(
        "ix_images_created",
        "images",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_images_name",
        "images",
        ["name"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_images_project",
        "images",
        ["project_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_images_saving",
        "images",
        ["id"],
        unique=False,
        sqlite_where=sa.text("status = 'saving'"),
        postgresql_where=sa.text("status = 'saving'"),
    )
    op.create_table(
        "instance_actions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("message", sa.Text(), nullable=True, comment="NULL while it went well; one sentence for the user"),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_actions")),
    )
    op.create_index("ix_instance_actions_request", "instance_actions", ["server_id", "request_id"], unique=False)
    op.create_index("ix_instance_actions_server", "instance_actions", ["server_id", "start_time"], unique=False)
    op.create_table(
        "login_attempts",
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "client", name=op.f("pk_login_attempts")),
    )
    op.create_table(
        "marks",
        sa.Column("resource_type", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("field", sa.String(length=32), nullable=False, comment="status, attach_status or migration_status"),
        sa.Column("word", sa.String(length=32), nullable=False),
        sa.Column("progress", sa.String(length=8), nullable=True),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("field IN ('status', 'attach_status', 'migration_status')", name=op.f("ck_marks_field")),
        sa.PrimaryKeyConstraint("resource_type", "resource_id", "field", name=op.f("pk_marks")),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("resource_type", sa.String(length=32), nullable=True),
        sa.Column("resource_id", sa.String(length=36), nullable=True),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("action_id", sa.String(length=16), nullable=False),
        sa.Column("detail_id", sa.String(length=16), nullable=False),
        sa.Column("message_level", sa.String(length=16), nullable=False),
        sa.Column("user_message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_expires", "messages", ["expires_at"], unique=False)
    op.create_index("ix_messages_project", "messages", ["project_id", "created_at", "id"], unique=False)
    op.create_index("ix_messages_resource", "messages", ["resource_id"], unique=False)
    op.create_table(
        "operations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("subject_type", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("arguments", JSON, nullable=False),
        sa.Column("results", JSON, nullable=False),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="index of the step to do (running) or to undo (undoing)"
        ),
        sa.Column(
            "place", sa.String(length=255), nullable=False, comment="where that step runs; 'anywhere' for any session"
        ),
        sa.Column("session_id", sa.String(length=36), nullable=True, comment="who has claimed it"),
        sa.Column(
            "epoch", sa.Integer(), nullable=False, comment="grows with each claim; fences a paused worker's late writes"
        ),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="failed tries of the step at hand"),
        sa.Column(
            "crashes", sa.Integer(), nullable=False, comment="workers that died with the step at hand in their hands"
        ),
        sa.Column("started", sa.Boolean(), nullable=False, comment="a worker was about to run the step after a crash"),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True, comment="why it is undone"),
        sa.Column(
            "last_error", sa.Text(), nullable=True, comment="why the step at hand (or its undo) is being tried again"
        ),
        sa.Column("progress", sa.Integer(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('running', 'undoing') AND finished_at IS NULL) OR (state IN ('done', 'undone') AND finished_at IS NOT NULL AND session_id IS NULL)",
            name=op.f("ck_operations_ended"),
        ),
        sa.CheckConstraint("state IN ('running', 'undoing', 'done', 'undone')", name=op.f("ck_operations_state")),
        sa.CheckConstraint(
            "state NOT IN ('undoing', 'undone') OR error IS NOT NULL", name=op.f("ck_operations_reason")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.create_index(
        "ix_operations_claim",
        "operations",
        ["place", "not_before"],
        unique=False,
        sqlite_where=sa.text("state IN ('running', 'undoing')"),
        postgresql_where=sa.text("state IN ('running', 'undoing')"),
    )
    op.create_index(
        "ix_operations_finished",
        "operations",
        ["finished_at"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_operations_session",
        "operations",
        ["session_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('running', 'undoing')"),
        postgresql_where=sa.text("state IN ('running', 'undoing')"),
    )
    op.create_index(
        "ix_operations_subject",
        "operations",
        ["subject_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('running', 'undoing')"),
        postgresql_where=sa.text("state IN ('running', 'undoing')"),
    )
    op.create_table(
        "roles",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("name", name=op.f("uq_roles_name")),
    )
    op.create_table(
        "servers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("flavor_id", sa.String(length=255), nullable=False),
        sa.Column("flavor", JSON, nullable=False, comment="the flavor as it was when the server was made"),
        sa.Column("image_id", sa.String(length=36), nullable=True, comment="NULL: booted from a volume"),
        sa.Column("kernel_id", sa.String(length=36), nullable=True),
        sa.Column("ramdisk_id", sa.String(length=36), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("tags", JSON, nullable=False),
        sa.Column("key_name", sa.String(length=255), nullable=True),
        sa.Column("user_data", sa.Text(), nullable=True),
        sa.Column("config_drive", sa.Boolean(), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.Column("locked_reason", sa.String(length=255), nullable=True),
        sa.Column("life", sa.String(length=16), nullable=False),
        sa.Column("power", sa.String(length=16), nullable=False, comment="what was last observed or asked"),
        sa.Column("fault", JSON, nullable=True, comment="{code, message, created, details}"),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("vm_state", sa.String(length=32), nullable=False),
        sa.Column("task_state", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("launched_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(life = 'gone') = (deleted_at IS NOT NULL)", name=op.f("ck_servers_gone")),
        sa.CheckConstraint("life <> 'broken' OR fault IS NOT NULL", name=op.f("ck_servers_fault")),
        sa.CheckConstraint("life <> 'there' OR host IS NOT NULL", name=op.f("ck_servers_placed")),
        sa.CheckConstraint("life IN ('making', 'there', 'broken', 'going', 'gone')", name=op.f("ck_servers_life")),
        sa.CheckConstraint("power IN ('on', 'off', 'paused', 'none')", name=op.f("ck_servers_power")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_servers")),
    )
    op.create_index(
        "ix_servers_created",
        "servers",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_servers_deleted",
        "servers",
        ["deleted_at"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_servers_host",
        "servers",
        ["host"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_servers_project_created",
        "servers",
        ["project_id", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_servers_project_name",
        "servers",
        ["project_id", "name"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "services",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column(
            "binary", sa.String(length=64), nullable=False, comment="cinder-volume, cinder-scheduler, nova-compute"
        ),
        sa.Column(
            "host", sa.String(length=255), nullable=False, comment="node1@file for a backend, node1 for a compute host"
        ),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(length=255), nullable=True),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("problems", JSON, nullable=False, comment="list of {name, sentence, fix}; empty: it works"),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_services")),
    )
    op.create_index("uq_services_host", "services", ["binary", "host"], unique=True)
    op.create_table(
        "volume_types",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("extra_specs", JSON, nullable=False),
        sa.Column("qos_specs_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume_types")),
    )
    op.create_index(
        "uq_volume_types_default",
        "volume_types",
        ["is_default"],
        unique=True,
        sqlite_where=sa.text("is_default AND deleted_at IS NULL"),
        postgresql_where=sa.text("is_default AND deleted_at IS NULL"),
    )
    op.create_index(
        "uq_volume_types_name",
        "volume_types",
        ["name"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "worker_sessions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("process_id", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "lease",
            sa.BigInteger(),
            nullable=False,
            comment="microseconds after heartbeat_at when others may take over",
        ),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_sessions")),
    )
    op.create_index(
        "ix_worker_sessions_live",
        "worker_sessions",
        ["host"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "block_device_mappings",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("source_type", sa.String(length=16), nullable=False),
        sa.Column("destination_type", sa.String(length=16), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=True),
        sa.Column("snapshot_id", sa.String(length=36), nullable=True),
        sa.Column("image_id", sa.String(length=36), nullable=True),
        sa.Column("attachment_id", sa.String(length=36), nullable=True),
        sa.Column("volume_size", sa.Integer(), nullable=True, comment="GiB"),
        sa.Column("volume_type", sa.String(length=255), nullable=True),
        sa.Column("boot_index", sa.Integer(), nullable=True),
        sa.Column("device_name", sa.String(length=255), nullable=True),
        sa.Column("disk_bus", sa.String(length=16), nullable=False),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("tag", sa.String(length=60), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "destination_type IN ('local', 'volume')", name=op.f("ck_block_device_mappings_destination_type")
        ),
        sa.CheckConstraint("disk_bus IN ('scsi', 'virtio')", name=op.f("ck_block_device_mappings_disk_bus")),
        sa.CheckConstraint(
            "source_type IN ('blank', 'image', 'snapshot', 'volume')", name=op.f("ck_block_device_mappings_source_type")
        ),
        sa.ForeignKeyConstraint(["server_id"], ["servers.id"], name=op.f("fk_block_device_mappings_server_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block_device_mappings")),
    )
    op.create_index(
        "ix_block_device_mappings_attachment",
        "block_device_mappings",
        ["attachment_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_block_device_mappings_volume",
        "block_device_mappings",
        ["volume_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "uq_block_device_mappings_device",
        "block_device_mappings",
        ["server_id", "device_name"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL AND device_name IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NULL AND device_name IS NOT NULL"),
    )
    op.create_index(
        "uq_block_device_mappings_volume",
        "block_device_mappings",
        ["server_id", "volume_id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL AND volume_id IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NULL AND volume_id IS NOT NULL"),
    )
    op.create_table(
        "instance_action_events",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("action_id", sa.String(length=36), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("result", sa.String(length=16), nullable=True, comment="Success or Error; NULL while it runs"),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("finish_time", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["action_id"], ["instance_actions.id"], name=op.f("fk_instance_action_events_action_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_action_events")),
    )
    op.create_index("ix_instance_action_events_action", "instance_action_events", ["action_id"], unique=False)
    op.create_table(
        "operation_resources",
        sa.Column("operation_id", sa.String(length=36), nullable=False),
        sa.Column("resource_type", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.CheckConstraint("mode IN ('exclusive', 'shared')", name=op.f("ck_operation_resources_mode")),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operations.id"], name=op.f("fk_operation_resources_operation_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("operation_id", "resource_type", "resource_id", name=op.f("pk_operation_resources")),
    )
    op.create_index("ix_operation_resources_resource", "operation_resources", ["resource_id"], unique=False)
    op.create_index(
        "uq_exclusive",
        "operation_resources",
        ["resource_type", "resource_id"],
        unique=True,
        sqlite_where=sa.text("mode = 'exclusive'"),
        postgresql_where=sa.text("mode = 'exclusive'"),
    )
    op.create_table(
        "place_owners",
        sa.Column("place", sa.String(length=255), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["worker_sessions.id"], name=op.f("fk_place_owners_session_id")),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_place_owners")),
    )
    op.create_table(
        "pools",
        sa.Column("name", sa.String(length=255), nullable=False, comment="host@backend#pool"),
        sa.Column("service_id", sa.String(length=36), nullable=False),
        sa.Column("backend", sa.String(length=255), nullable=False, comment="host@backend"),
        sa.Column("backend_name", sa.String(length=255), nullable=False, comment="volume_backend_name"),
        sa.Column("capabilities", JSON, nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False),
        sa.Column("free_bytes", sa.BigInteger(), nullable=False),
        sa.Column("allocated_bytes", sa.BigInteger(), nullable=False),
        sa.Column("reserved_percentage", sa.Integer(), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], name=op.f("fk_pools_service_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pools")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("domain_id", sa.String(length=36), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name=op.f("fk_projects_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
    )
    op.create_index("uq_projects_name", "projects", ["domain_id", "name"], unique=True)
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("domain_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("default_project_id", sa.String(length=36), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True, comment="argon2id; NULL: no password login"),
        sa.Column("password_changed_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name=op.f("fk_users_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_index("uq_users_name", "users", ["domain_id", "name"], unique=True)
    op.create_table(
        "volume_type_access",
        sa.Column("volume_type_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["volume_type_id"],
            ["volume_types.id"],
            name=op.f("fk_volume_type_access_volume_type_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("volume_type_id", "project_id", name=op.f("pk_volume_type_access")),
    )
    op.create_table(
        "volumes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False, comment="GiB"),
        sa.Column("volume_type_id", sa.String(length=36), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column(
            "backend",
            sa.String(length=255),
            nullable=True,
            comment="host@backend that holds it; NULL when no pool fitted",
        ),
        sa.Column("pool", sa.String(length=255), nullable=True),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("image_metadata", JSON, nullable=True, comment="volume_image_metadata; NULL: not from an image"),
        sa.Column("bootable", sa.Boolean(), nullable=False),
        sa.Column("multiattach", sa.Boolean(), nullable=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("snapshot_id", sa.String(length=36), nullable=True),
        sa.Column("source_volume_id", sa.String(length=36), nullable=True),
        sa.Column("image_id", sa.String(length=36), nullable=True),
        sa.Column("group_id", sa.String(length=36), nullable=True),
        sa.Column("provider_id", sa.String(length=255), nullable=True),
        sa.Column("encryption_key_id", sa.String(length=36), nullable=True),
        sa.Column("consumes_quota", sa.Boolean(), nullable=False),
        sa.Column("life", sa.String(length=16), nullable=False),
        sa.Column("broken_reason", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("attach_status", sa.String(length=32), nullable=False),
        sa.Column("migration_status", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("launched_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(life = 'gone') = (deleted_at IS NOT NULL)", name=op.f("ck_volumes_gone")),
        sa.CheckConstraint("life <> 'broken' OR broken_reason IS NOT NULL", name=op.f("ck_volumes_broken")),
        sa.CheckConstraint("life <> 'there' OR backend IS NOT NULL", name=op.f("ck_volumes_placed")),
        sa.CheckConstraint("life IN ('making', 'there', 'broken', 'going', 'gone')", name=op.f("ck_volumes_life")),
        sa.CheckConstraint("size > 0", name=op.f("ck_volumes_size")),
        sa.ForeignKeyConstraint(["volume_type_id"], ["volume_types.id"], name=op.f("fk_volumes_volume_type_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volumes")),
    )
    op.create_index(
        "ix_volumes_backend",
        "volumes",
        ["backend"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_volumes_created",
        "volumes",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_volumes_deleted",
        "volumes",
        ["deleted_at"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_volumes_name",
        "volumes",
        ["name"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_volumes_project_created",
        "volumes",
        ["project_id", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_volumes_project_name",
        "volumes",
        ["project_id", "name"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_volumes_snapshot",
        "volumes",
        ["snapshot_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL AND snapshot_id IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NULL AND snapshot_id IS NOT NULL"),
    )
    op.create_index(
        "ix_volumes_source",
        "volumes",
        ["source_volume_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL AND source_volume_id IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NULL AND source_volume_id IS NOT NULL"),
    )
    op.create_index(
        "ix_volumes_status",
        "volumes",
        ["status", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_volumes_type",
        "volumes",
        ["volume_type_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "attachments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=True, comment="NULL: attached to a host only"),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("device", sa.String(length=255), nullable=True, comment="mountpoint, e.g. /dev/sdb"),
        sa.Column("mode", sa.String(length=8), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column(
            "replaces",
            sa.String(length=36),
            nullable=True,
            comment="the attachment that this one takes over from (resize, migration)",
        ),
        sa.Column("shared", sa.Boolean(), nullable=False, comment="the volume is multiattach"),
        sa.Column("connector", JSON, nullable=True),
        sa.Column("connection_info", JSON, nullable=True, comment="secret: never in logs, events or lists"),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("attach_status", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("attached_at", sa.BigInteger(), nullable=True),
        sa.Column("detached_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(stage = 'released') = (deleted_at IS NOT NULL)", name=op.f("ck_attachments_released")),
        sa.CheckConstraint("mode IN ('rw', 'ro')", name=op.f("ck_attachments_mode")),
        sa.CheckConstraint("origin IN ('compute', 'os-attach', 'external')", name=op.f("ck_attachments_origin")),
        sa.CheckConstraint(
            "stage IN ('reserved', 'connected', 'attached', 'released')", name=op.f("ck_attachments_stage")
        ),
        sa.CheckConstraint(
            "stage NOT IN ('connected', 'attached') OR host IS NULL OR connection_info IS NOT NULL",
            name=op.f("ck_attachments_connected"),
        ),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"], name=op.f("fk_attachments_volume_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
    )
    op.create_index(
        "ix_attachments_created",
        "attachments",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_attachments_deleted",
        "attachments",
        ["deleted_at"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_attachments_server",
        "attachments",
        ["server_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_attachments_volume",
        "attachments",
        ["volume_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "uq_attachments_server",
        "attachments",
        ["volume_id", "server_id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL AND replaces IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL AND replaces IS NULL"),
    )
    op.create_index(
        "uq_attachments_volume",
        "attachments",
        ["volume_id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL AND replaces IS NULL AND NOT shared"),
        postgresql_where=sa.text("deleted_at IS NULL AND replaces IS NULL AND NOT shared"),
    )
    op.create_table(
        "role_assignments",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("role_id", sa.String(length=36), nullable=False),
        sa.Column("target_type", sa.String(length=16), nullable=False),
        sa.Column(
            "target_id", sa.String(length=36), nullable=False, comment="project or domain id; 'all' for the system"
        ),
        sa.CheckConstraint("(target_type = 'system') = (target_id = 'all')", name=op.f("ck_role_assignments_system")),
        sa.CheckConstraint(
            "target_type IN ('project', 'domain', 'system')", name=op.f("ck_role_assignments_target_type")
        ),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name=op.f("fk_role_assignments_role_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_role_assignments_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "role_id", "target_type", "target_id", name=op.f("pk_role_assignments")),
    )
    op.create_index("ix_role_assignments_target", "role_assignments", ["target_type", "target_id"], unique=False)
    op.create_table(
        "snapshots",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False, comment="GiB"),
        sa.Column("backend", sa.String(length=255), nullable=False),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("consumes_quota", sa.Boolean(), nullable=False),
        sa.Column("group_snapshot_id", sa.String(length=36), nullable=True),
        sa.Column("life", sa.String(length=16), nullable=False),
        sa.Column("broken_reason", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("progress", sa.String(length=8), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(life = 'gone') = (deleted_at IS NOT NULL)", name=op.f("ck_snapshots_gone")),
        sa.CheckConstraint("life <> 'broken' OR broken_reason IS NOT NULL", name=op.f("ck_snapshots_broken")),
        sa.CheckConstraint("life IN ('making', 'there', 'broken', 'going', 'gone')", name=op.f("ck_snapshots_life")),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"], name=op.f("fk_snapshots_volume_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
    )
    op.create_index(
        "ix_snapshots_created",
        "snapshots",
        ["created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_snapshots_deleted",
        "snapshots",
        ["deleted_at"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_snapshots_name",
        "snapshots",
        ["name"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_snapshots_project_created",
        "snapshots",
        ["project_id", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_snapshots_status",
        "snapshots",
        ["status", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_snapshots_volume",
        "snapshots",
        ["volume_id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "tokens",
        sa.Column(
            "digest",
            sa.String(length=64),
            nullable=False,
            comment="SHA-256 of the token; the token itself is never stored",
        ),
        sa.Column("audit_id", sa.String(length=32), nullable=False),
        sa.Column("parent_audit_id", sa.String(length=32), nullable=True),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("scope_type", sa.String(length=16), nullable=False),
        sa.Column("scope_id", sa.String(length=36), nullable=True),
        sa.Column("methods", JSON, nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("scope_type IN ('project', 'domain', 'system', 'none')", name=op.f("ck_tokens_scope_type")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_tokens")),
    )
    op.create_index("ix_tokens_expires", "tokens", ["expires_at"], unique=False)
    op.create_index(
        "ix_tokens_user",
        "tokens",
        ["user_id"],
        unique=False,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "volume_holds",
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('reserved', 'attaching', 'detaching')", name=op.f("ck_volume_holds_kind")),
        sa.ForeignKeyConstraint(
            ["volume_id"], ["volumes.id"], name=op.f("fk_volume_holds_volume_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("volume_id", "kind", name=op.f("pk_volume_holds")),
    )
    op.create_index("ix_volume_holds_expires", "volume_holds", ["expires_at"], unique=False)
