"""Compute: flavors, key pairs, servers, block device mappings, instance actions, hosts, limits."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Table, Text

from pumice.db.schema.base import Json, Uuid, live_index, metadata, name_column, one_of, time, uuid_key

flavors = Table(
    "flavors",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("memory_mib", Integer, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("disk", Integer, nullable=False, comment="GiB"),
    Column("ephemeral", Integer, nullable=False),
    Column("swap", Integer, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("extra_specs", Json, nullable=False),
    time("created_at", nullable=False),
    time("deleted_at"),
    live_index("uq_flavors_name", "name", unique=True),
)

keypairs = Table(
    "keypairs",
    metadata,
    # The private half is never here.
    Column("id", Integer, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("name", String(255), nullable=False),
    Column("type", String(8), nullable=False),
    Column("fingerprint", String(255), nullable=False),
    Column("public_key", Text, nullable=False),
    time("created_at", nullable=False),
    one_of("type", "type", "ssh", "x509"),
    # A user has a name once.
    live_index("uq_keypairs_user_name", "user_id", "name", unique=True, where="1 = 1"),
)

compute_quota_limits = Table(
    "compute_quota_limits",
    metadata,
    # What an administrator set; what is used is counted from the rows.
    Column("project_id", Uuid, primary_key=True, comment="'': for every project without a limit of its own"),
    Column("resource", String(32), primary_key=True),
    Column("hard_limit", BigInteger, nullable=False, comment="-1: without limit"),
    time("updated_at", nullable=False),
    CheckConstraint("hard_limit >= -1", name="hard_limit"),
)

compute_hosts = Table(
    "compute_hosts",
    metadata,
    # What a host's agent last said of it; `connector` is what the volume side is told.
    Column("host", String(255), primary_key=True),
    Column("hypervisor_type", String(64), nullable=False),
    Column("hypervisor_version", String(64), nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("connector", Json, nullable=False),
    Column("availability_zone", String(255), nullable=False),
    time("reported_at", nullable=False),
)

servers = Table(
    "servers",
    metadata,
    uuid_key(),
    Column("project_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    name_column(),
    Column("description", Text),
    Column("flavor_id", String(255), nullable=False),
    Column("flavor", Json, nullable=False, comment="the flavor as it was when the server was made"),
    Column("image_id", Uuid, comment="NULL: booted from a volume"),
    Column("kernel_id", Uuid),
    Column("ramdisk_id", Uuid),
    Column("host", String(255)),
    Column("availability_zone", String(255), nullable=False),
    Column("metadata", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("key_name", String(255)),
    Column("user_data", Text),
    Column("config_drive", Boolean, nullable=False),
    Column("locked", Boolean, nullable=False),
    Column("locked_reason", String(255)),
    Column("locked_by", String(8), comment="owner or admin: what an administrator locked, its owner cannot unlock"),
    Column("hostname", String(255), comment="NULL: made of the name"),
    Column("asked_zone", String(255), comment="the zone that was asked for, NULL: none was"),
    Column("reservation_id", String(32), comment="servers of one request share it"),
    Column("launch_index", Integer, comment="its place among them, NULL: 0"),
    Column("public_key", Text, comment="of its key pair, as it was when the server was made"),
    Column("admin_password", Text, comment="for its config drive; NULL once the server is there"),
    Column("disk_config", String(8)),
    Column("access_ip_v4", String(64)),
    Column("access_ip_v6", String(64)),
    Column("image_properties", Json, comment="of the image it was made from"),
    # Facts.
    Column("life", String(16), nullable=False),
    Column("power", String(16), nullable=False, comment="what was last observed or asked"),
    Column("fault", Json, comment="{code, message, created, details}"),
    Column("stage", String(16), comment="resized (to be confirmed or reverted), shelved, offloaded; NULL: none"),
    time("stage_since"),
    Column("old_flavor", Json, comment="of a resized server: what revert brings back"),
    Column("shelved_image_id", Uuid, comment="of a shelved server: what its local root disk was"),
    # Derived: status, vm_state, task_state from life, power, live operation.
    Column("status", String(32), nullable=False),
    Column("vm_state", String(32), nullable=False),
    Column("task_state", String(32)),
    time("created_at", nullable=False),
    time("updated_at"),
    time("launched_at"),
    time("deleted_at"),
    one_of("life", "life", "making", "there", "broken", "going", "gone"),
    one_of("power", "power", "on", "off", "paused", "suspended", "none"),
    CheckConstraint("(life = 'gone') = (deleted_at IS NOT NULL)", name="gone"),
    CheckConstraint("life <> 'broken' OR fault IS NOT NULL", name="fault"),
    # A server is on a host, unless it was shelved and offloaded from it.
    CheckConstraint(
        "life <> 'there' OR host IS NOT NULL OR (stage IS NOT NULL AND stage = 'offloaded')", name="placed"
    ),
    # What a revert needs is there while one may be asked for.
    CheckConstraint("(stage IS NOT NULL AND stage = 'resized') = (old_flavor IS NOT NULL)", name="resized"),
    live_index("ix_servers_created", "created_at", "id"),
    live_index("ix_servers_project_created", "project_id", "created_at", "id"),
    live_index("ix_servers_project_name", "project_id", "name"),
    live_index("ix_servers_host", "host"),
    live_index("ix_servers_stage", "stage", "stage_since", where="stage IS NOT NULL"),
    live_index("ix_servers_deleted", "deleted_at", where="deleted_at IS NOT NULL"),
)

block_device_mappings = Table(
    "block_device_mappings",
    metadata,
    uuid_key(),
    Column("server_id", ForeignKey("servers.id"), nullable=False),
    Column("source_type", String(16), nullable=False),
    Column("destination_type", String(16), nullable=False),
    Column("volume_id", Uuid),
    Column("snapshot_id", Uuid),
    Column("image_id", Uuid),
    Column("attachment_id", Uuid),
    Column("volume_size", Integer, comment="GiB"),
    Column("volume_type", String(255)),
    Column("boot_index", Integer),
    Column("device_name", String(255)),
    Column("disk_bus", String(16), nullable=False),
    Column("delete_on_termination", Boolean, nullable=False),
    Column("tag", String(60)),
    Column("guest_format", String(32), comment="of a local blank disk: swap, or a file system"),
    time("created_at", nullable=False),
    time("updated_at"),
    time("deleted_at"),
    one_of("source_type", "source_type", "blank", "image", "snapshot", "volume"),
    one_of("destination_type", "destination_type", "local", "volume"),
    one_of("disk_bus", "disk_bus", "scsi", "virtio"),
    # A server has a volume once, and a device name once.
    live_index(
        "uq_block_device_mappings_volume",
        "server_id",
        "volume_id",
        unique=True,
        where="deleted_at IS NULL AND volume_id IS NOT NULL",
    ),
    live_index(
        "uq_block_device_mappings_device",
        "server_id",
        "device_name",
        unique=True,
        where="deleted_at IS NULL AND device_name IS NOT NULL",
    ),
    live_index("ix_block_device_mappings_volume", "volume_id"),
    live_index("ix_block_device_mappings_attachment", "attachment_id"),
    # For retention: a server that it removes must have none, not even a deleted one.
    live_index("ix_block_device_mappings_server", "server_id", where="1 = 1"),
    live_index("ix_block_device_mappings_deleted", "deleted_at", where="deleted_at IS NOT NULL"),
)

instance_actions = Table(
    "instance_actions",
    metadata,
    uuid_key(),
    Column("server_id", Uuid, nullable=False),
    Column("action", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("project_id", Uuid, nullable=False),
    Column("message", Text, comment="NULL while it went well; one sentence for the user"),
    time("start_time", nullable=False),
    time("updated_at"),
    live_index("ix_instance_actions_server", "server_id", "start_time", where="1 = 1"),
    live_index("ix_instance_actions_start", "start_time", where="1 = 1"),
    live_index("ix_instance_actions_request", "server_id", "request_id", where="1 = 1"),
)

instance_action_events = Table(
    "instance_action_events",
    metadata,
    uuid_key(),
    Column("action_id", ForeignKey("instance_actions.id", ondelete="CASCADE"), nullable=False),
    Column("event", String(64), nullable=False),
    Column("host", String(255)),
    Column("result", String(16), comment="Success or Error; NULL while it runs"),
    Column("details", Text),
    time("start_time", nullable=False),
    time("finish_time"),
    live_index("ix_instance_action_events_action", "action_id", where="1 = 1"),
)
