"""Block storage: volumes, snapshots, attachments with their facts; types, services, pools, messages.

`status`, `attach_status`, `migration_status` are cached: the transaction that changes a fact rewrites them from
`pumice.block.status`, and nothing else writes them.
"""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Table, Text

from pumice.db.schema.base import Json, Uuid, live_index, metadata, name_column, one_of, time, uuid_key

LIFE = ("making", "there", "broken", "going", "gone")

volume_types = Table(
    "volume_types",
    metadata,
    uuid_key(),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("is_public", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("extra_specs", Json, nullable=False),
    Column("qos_specs_id", Uuid),
    time("created_at", nullable=False),
    time("updated_at"),
    time("deleted_at"),
    live_index("uq_volume_types_name", "name", unique=True),
    # At most one live type is the default.
    live_index("uq_volume_types_default", "is_default", unique=True, where="is_default AND deleted_at IS NULL"),
)

volume_type_access = Table(
    "volume_type_access",
    metadata,
    Column("volume_type_id", ForeignKey("volume_types.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Uuid, primary_key=True),
)

default_volume_types = Table(
    "default_volume_types",
    metadata,
    # The type of a project's volumes that name none; without a row it is the one marked as default.
    Column("project_id", Uuid, primary_key=True),
    Column("volume_type_id", ForeignKey("volume_types.id"), nullable=False),
    time("updated_at", nullable=False),
)

volumes = Table(
    "volumes",
    metadata,
    uuid_key(),
    Column("project_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    name_column(),
    Column("description", Text),
    Column("size", Integer, nullable=False, comment="GiB"),
    Column("volume_type_id", ForeignKey("volume_types.id"), nullable=False),
    Column("availability_zone", String(255), nullable=False),
    Column("backend", String(255), comment="host@backend that holds it; NULL when no pool fitted"),
    Column("pool", String(255)),
    Column("metadata", Json, nullable=False),
    Column("image_metadata", Json, comment="volume_image_metadata; NULL: not from an image"),
    Column("bootable", Boolean, nullable=False),
    Column("multiattach", Boolean, nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("read_only_told", Boolean, comment="somebody set the flag, so it is shown in the metadata"),
    Column("snapshot_id", Uuid),
    Column("source_volume_id", Uuid),
    Column("image_id", Uuid),
    Column("group_id", Uuid),
    Column("provider_id", String(255)),
    Column("encryption_key_id", Uuid),
    Column("consumes_quota", Boolean, nullable=False),
    # Facts.
    Column("life", String(16), nullable=False),
    Column("broken_reason", Text),
    Column("migration", String(16), comment="how the last migration ended: success or error; NULL: there was none"),
    # Derived from the facts, for filters and lists.
    Column("status", String(32), nullable=False),
    Column("attach_status", String(32), nullable=False),
    Column("migration_status", String(32)),
    time("created_at", nullable=False),
    time("updated_at"),
    time("launched_at"),
    time("deleted_at"),
    one_of("life", "life", *LIFE),
    CheckConstraint("size > 0", name="size"),
    # A broken volume says why.
    CheckConstraint("life <> 'broken' OR broken_reason IS NOT NULL", name="broken"),
    # A volume is gone exactly when it has the time of its deletion.
    CheckConstraint("(life = 'gone') = (deleted_at IS NOT NULL)", name="gone"),
    # A volume with data is on a backend.
    CheckConstraint("life <> 'there' OR backend IS NOT NULL", name="placed"),
    live_index("ix_volumes_created", "created_at", "id"),
    live_index("ix_volumes_project_created", "project_id", "created_at", "id"),
    live_index("ix_volumes_project_name", "project_id", "name"),
    live_index("ix_volumes_name", "name", "created_at", "id"),
    live_index("ix_volumes_status", "status", "created_at", "id"),
    # With the size, so that what a pool has promised is read from the index alone.
    live_index("ix_volumes_backend", "backend", "created_at", "id", "size"),
    live_index("ix_volumes_type", "volume_type_id", "created_at", "id"),
    live_index("ix_volumes_source", "source_volume_id", where="deleted_at IS NULL AND source_volume_id IS NOT NULL"),
    live_index("ix_volumes_snapshot", "snapshot_id", where="deleted_at IS NULL AND snapshot_id IS NOT NULL"),
    # What quotas count: read from the index alone.
    live_index("ix_volumes_quota", "project_id", "consumes_quota", "volume_type_id", "size"),
    live_index("ix_volumes_deleted", "deleted_at", where="deleted_at IS NOT NULL"),
)

volume_holds = Table(
    "volume_holds",
    metadata,
    # What an outside caller took: os-reserve ("reserved"), os-begin_detaching ("detaching"). One of a kind a volume.
    Column("volume_id", ForeignKey("volumes.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("request_id", String(64)),
    time("created_at", nullable=False),
    time("expires_at", nullable=False),
    one_of("kind", "kind", "reserved", "attaching", "detaching"),
    live_index("ix_volume_holds_expires", "expires_at", where="1 = 1"),
)

marks = Table(
    "marks",
    metadata,
    # What os-reset_status and its like ask to be shown in place of a derived word. Changes no fact.
    Column("resource_type", String(32), primary_key=True),
    Column("resource_id", Uuid, primary_key=True),
    Column("field", String(32), primary_key=True, comment="status, attach_status or migration_status"),
    Column("word", String(32), nullable=False),
    Column("progress", String(8)),
    Column("user_id", Uuid, nullable=False),
    Column("reason", Text),
    time("created_at", nullable=False),
    one_of("field", "field", "status", "attach_status", "migration_status"),
)

snapshots = Table(
    "snapshots",
    metadata,
    uuid_key(),
    Column("volume_id", ForeignKey("volumes.id"), nullable=False),
    Column("project_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    name_column(),
    Column("description", Text),
    Column("size", Integer, nullable=False, comment="GiB"),
    Column("backend", String(255), nullable=False),
    Column("metadata", Json, nullable=False),
    Column("consumes_quota", Boolean, nullable=False),
    Column("group_snapshot_id", Uuid),
    Column("life", String(16), nullable=False),
    Column("broken_reason", Text),
    Column("status", String(32), nullable=False),
    Column("progress", String(8)),
    time("created_at", nullable=False),
    time("updated_at"),
    time("deleted_at"),
    one_of("life", "life", *LIFE),
    CheckConstraint("life <> 'broken' OR broken_reason IS NOT NULL", name="broken"),
    CheckConstraint("(life = 'gone') = (deleted_at IS NOT NULL)", name="gone"),
    live_index("ix_snapshots_created", "created_at", "id"),
    live_index("ix_snapshots_project_created", "project_id", "created_at", "id"),
    # Over all rows: a volume that retention removes must have no snapshot, not even a deleted one.
    live_index("ix_snapshots_volume", "volume_id", "deleted_at", where="1 = 1"),
    live_index("ix_snapshots_name", "name"),
    live_index("ix_snapshots_status", "status", "created_at", "id"),
    live_index("ix_snapshots_quota", "project_id", "consumes_quota", "volume_id", "size"),
    live_index("ix_snapshots_deleted", "deleted_at", where="deleted_at IS NOT NULL"),
)

attachments = Table(
    "attachments",
    metadata,
    uuid_key(),
    Column("volume_id", ForeignKey("volumes.id"), nullable=False),
    Column("project_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("server_id", Uuid, comment="NULL: attached to a host only"),
    Column("host", String(255)),
    Column("device", String(255), comment="mountpoint, e.g. /dev/sdb"),
    Column("mode", String(8), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("replaces", Uuid, comment="the attachment that this one takes over from (resize, migration)"),
    Column("shared", Boolean, nullable=False, comment="the volume is multiattach"),
    Column("connector", Json),
    Column("connection_info", Json, comment="secret: never in logs, events or lists"),
    # Facts.
    Column("stage", String(16), nullable=False),
    Column("failure", Text),
    # Derived.
    Column("attach_status", String(32), nullable=False),
    time("created_at", nullable=False),
    time("updated_at"),
    time("attached_at"),
    time("detached_at"),
    time("deleted_at"),
    one_of("stage", "stage", "reserved", "connected", "attached", "released"),
    one_of("mode", "mode", "rw", "ro"),
    # compute: our own servers. os-attach: asked by that action. external: a Nova, Cinder-CSI or bare metal caller.
    one_of("origin", "origin", "compute", "os-attach", "external"),
    # Whatever a detach needs is there before the attachment can be seen as attaching or attached to a host (story 3).
    CheckConstraint(
        "stage NOT IN ('connected', 'attached') OR host IS NULL OR connection_info IS NOT NULL", name="connected"
    ),
    CheckConstraint("(stage = 'released') = (deleted_at IS NOT NULL)", name="released"),
    # A volume is attached to one server once, unless one attachment replaces the other.
    live_index(
        "uq_attachments_server", "volume_id", "server_id", unique=True, where="deleted_at IS NULL AND replaces IS NULL"
    ),
    # A volume that is not multiattach has one attachment, unless one replaces the other.
    live_index(
        "uq_attachments_volume",
        "volume_id",
        unique=True,
        where="deleted_at IS NULL AND replaces IS NULL AND NOT shared",
    ),
    # Over all rows, as ix_snapshots_volume.
    live_index("ix_attachments_volume", "volume_id", "deleted_at", where="1 = 1"),
    live_index("ix_attachments_server", "server_id"),
    live_index("ix_attachments_created", "created_at", "id"),
    live_index("ix_attachments_deleted", "deleted_at", where="deleted_at IS NOT NULL"),
)

services = Table(
    "services",
    metadata,
    uuid_key(),
    Column("binary", String(64), nullable=False, comment="cinder-volume, cinder-scheduler, nova-compute"),
    Column("host", String(255), nullable=False, comment="node1@file for a backend, node1 for a compute host"),
    Column("availability_zone", String(255), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("disabled_reason", String(255)),
    Column("frozen", Boolean, nullable=False),
    Column("problems", Json, nullable=False, comment="list of {name, sentence, fix}; empty: it works"),
    time("reported_at", nullable=False),
    time("created_at", nullable=False),
    live_index("uq_services_host", "binary", "host", unique=True, where="1 = 1"),
)

pools = Table(
    "pools",
    metadata,
    Column("name", String(255), primary_key=True, comment="host@backend#pool"),
    Column("service_id", ForeignKey("services.id", ondelete="CASCADE"), nullable=False),
    Column("backend", String(255), nullable=False, comment="host@backend"),
    Column("backend_name", String(255), nullable=False, comment="volume_backend_name"),
    Column("capabilities", Json, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    Column("free_bytes", BigInteger, nullable=False),
    Column("allocated_bytes", BigInteger, nullable=False),
    Column("reserved_percentage", Integer, nullable=False),
    time("reported_at", nullable=False),
    Column("promised_gib", BigInteger, comment="GiB of the live volumes made before promised_at"),
    time("promised_at"),
)

messages = Table(
    "messages",
    metadata,
    uuid_key(),
    Column("project_id", Uuid, nullable=False),
    Column("request_id", String(64)),
    Column("resource_type", String(32)),
    Column("resource_id", Uuid),
    Column("event_id", String(64), nullable=False),
    Column("action_id", String(16), nullable=False),
    Column("detail_id", String(16), nullable=False),
    Column("message_level", String(16), nullable=False),
    Column("user_message", Text, nullable=False),
    time("created_at", nullable=False),
    time("expires_at", nullable=False),
    live_index("ix_messages_project", "project_id", "created_at", "id", where="1 = 1"),
    live_index("ix_messages_resource", "resource_id", where="1 = 1"),
    live_index("ix_messages_expires", "expires_at", where="1 = 1"),
)
