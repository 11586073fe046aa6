"""Images and with whom each is shared; the bytes are files of the image store."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Table

from pumice.db.schema.base import Json, Uuid, live_index, metadata, name_column, one_of, time, uuid_key

images = Table(
    "images",
    metadata,
    uuid_key(),
    Column("project_id", Uuid, nullable=False, comment="owner"),
    name_column(),
    Column("status", String(16), nullable=False),
    Column("disk_format", String(16)),
    Column("container_format", String(16)),
    Column("visibility", String(16), nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("min_disk", Integer, nullable=False, comment="GiB"),
    Column("min_ram", Integer, nullable=False, comment="MiB"),
    Column("size", BigInteger, comment="bytes"),
    Column("virtual_size", BigInteger, comment="bytes"),
    Column("checksum", String(32), comment="MD5, as the API has it"),
    Column("hash_algorithm", String(16)),
    Column("hash_value", String(128)),
    Column("properties", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("upload_id", Uuid, comment="the upload that is writing the data; its file carries a flock while it lives"),
    time("created_at", nullable=False),
    time("updated_at", nullable=False),
    time("deleted_at"),
    # An image that can be restored says what it was; NULL where it is not deleted, or its data is gone.
    Column(
        "deleted_status",
        String(16),
        CheckConstraint("deleted_status IS NULL OR status = 'deleted'", name="deleted_status"),
    ),
    one_of("status", "status", "queued", "saving", "active", "deactivated", "deleted"),
    one_of("visibility", "visibility", "public", "private", "shared", "community"),
    # An image whose data can be read has its size and its SHA-512.
    CheckConstraint(
        "status NOT IN ('active', 'deactivated') OR (size IS NOT NULL AND hash_value IS NOT NULL)", name="data"
    ),
    # An image is being saved by exactly one upload, so that this state always has somebody who ends it.
    CheckConstraint("(status = 'saving') = (upload_id IS NOT NULL)", name="upload"),
    # A deleted image says when.
    CheckConstraint("(status = 'deleted') = (deleted_at IS NOT NULL)", name="deleted"),
    live_index("ix_images_created", "created_at", "id"),
    live_index("ix_images_name", "name"),
    live_index("ix_images_project", "project_id"),
    live_index("ix_images_saving", "id", where="status = 'saving'"),
    live_index("ix_images_deleted", "deleted_at", where="deleted_status IS NOT NULL"),
)

image_members = Table(
    "image_members",
    metadata,
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Uuid, primary_key=True, comment="with whom the image is shared"),
    Column("status", String(16), nullable=False, comment="what that project says to it"),
    time("created_at", nullable=False),
    time("updated_at", nullable=False),
    one_of("status", "status", "pending", "accepted", "rejected"),
    live_index("ix_image_members_project", "project_id", "status", where="1 = 1"),
)
