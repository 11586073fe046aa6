"""Records of block storage. Fields are columns of the tables of the same noun, in this order (`db.rows.columns`)."""

from typing import Any

import msgspec

from pumice.block.status import Life, Stage

GIB = 1 << 30

MAX_SIZE = 1 << 20
"""GiB; a larger volume is a typing error."""


class VolumeType(msgspec.Struct, frozen=True):
    """A kind of volume that users can ask for; `extra_specs` choose the backend."""

    id: str
    name: str
    description: str | None
    is_public: bool
    is_default: bool
    extra_specs: dict[str, str]
    qos_specs_id: str | None
    created_at: int
    updated_at: int | None


class Volume(msgspec.Struct, frozen=True):
    """A volume: `size` in GiB, `backend` as host@name; `status` and its like are derived (`block.status`)."""

    id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size: int
    volume_type_id: str
    availability_zone: str
    backend: str | None
    pool: str | None
    metadata: dict[str, str]
    image_metadata: dict[str, str] | None
    bootable: bool
    multiattach: bool
    read_only: bool
    read_only_told: bool | None
    snapshot_id: str | None
    source_volume_id: str | None
    image_id: str | None
    group_id: str | None
    provider_id: str | None
    encryption_key_id: str | None
    consumes_quota: bool
    life: Life
    broken_reason: str | None
    status: str
    attach_status: str
    migration_status: str | None
    created_at: int
    updated_at: int | None
    launched_at: int | None
    deleted_at: int | None


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot: a point in time of a volume on the same backend."""

    id: str
    volume_id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size: int
    backend: str
    metadata: dict[str, str]
    consumes_quota: bool
    group_snapshot_id: str | None
    life: str
    broken_reason: str | None
    status: str
    progress: str | None
    created_at: int
    updated_at: int | None
    deleted_at: int | None


class Attachment(msgspec.Struct, frozen=True):
    """A volume's attachment to a server or host; `stage` is the fact, `attach_status` derived from it."""

    id: str
    volume_id: str
    project_id: str
    user_id: str
    server_id: str | None
    host: str | None
    device: str | None
    mode: str
    origin: str
    replaces: str | None
    shared: bool
    connector: dict[str, Any] | None
    connection_info: dict[str, Any] | None
    stage: Stage
    failure: str | None
    attach_status: str
    created_at: int
    updated_at: int | None
    attached_at: int | None
    detached_at: int | None
    deleted_at: int | None


class Pool(msgspec.Struct, frozen=True):
    """A pool as its agent last reported it; sizes in bytes, `backend` as host@name."""

    name: str
    service_id: str
    backend: str
    backend_name: str
    capabilities: dict[str, Any]
    total_bytes: int
    free_bytes: int
    allocated_bytes: int
    reserved_percentage: int
    reported_at: int
    promised_gib: int | None = None
    """GiB of the live volumes made before `promised_at`, counted with the report; None: not counted yet."""
    promised_at: int | None = None


class Service(msgspec.Struct, frozen=True):
    """A service of the volume cloud: a backend's agent, the scheduler, a compute host."""

    id: str
    binary: str
    host: str
    availability_zone: str
    disabled: bool
    disabled_reason: str | None
    frozen: bool
    problems: list[dict[str, str]]
    reported_at: int
    created_at: int


class Message(msgspec.Struct, frozen=True):
    """One sentence for the user about what became of a request."""

    id: str
    project_id: str
    request_id: str | None
    resource_type: str | None
    resource_id: str | None
    event_id: str
    action_id: str
    detail_id: str
    message_level: str
    user_message: str
    created_at: int
    expires_at: int


class VolumeWithAttachments(msgspec.Struct, frozen=True):
    """What the volume's views show: the row, its live attachments, the name of its type."""

    volume: Volume
    attachments: tuple[Attachment, ...]
    type_name: str


class VolumeNow(msgspec.Struct, frozen=True):
    """A volume (a deleted one too) and its live attachments, as they are at this moment of a transaction."""

    volume: Volume
    attachments: tuple[Attachment, ...]


class Hold(msgspec.Struct, frozen=True):
    """What an outside caller took with os-reserve or os-begin_detaching."""

    volume_id: str
    kind: str
    user_id: str
    request_id: str | None
    created_at: int
    expires_at: int
