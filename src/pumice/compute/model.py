"""Records of compute. Fields are columns of the tables of the same noun, in this order (`db.rows.columns`)."""

from typing import Any, Literal

import msgspec


class Flavor(msgspec.Struct, frozen=True):
    """A size of server: memory in MiB, disks in GiB, swap in MiB."""

    id: str
    name: str
    description: str | None
    memory_mib: int
    vcpus: int
    disk: int
    ephemeral: int
    swap: int
    is_public: bool
    extra_specs: dict[str, str]
    created_at: int
    deleted_at: int | None


class Host(msgspec.Struct, frozen=True):
    """A compute host as its agent last reported it; `connector` is what the volume side is told."""

    host: str
    hypervisor_type: str
    hypervisor_version: str
    vcpus: int
    memory_mib: int
    connector: dict[str, Any]
    availability_zone: str
    reported_at: int


class Server(msgspec.Struct, frozen=True):
    """A server; `life`, `power` and `fault` are facts, `status` and its like are derived (`compute.status`)."""

    id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    flavor_id: str
    flavor: dict[str, Any]
    image_id: str | None
    kernel_id: str | None
    ramdisk_id: str | None
    host: str | None
    availability_zone: str
    metadata: dict[str, str]
    tags: list[str]
    key_name: str | None
    user_data: str | None
    config_drive: bool
    locked: bool
    locked_reason: str | None
    locked_by: str | None
    hostname: str | None
    asked_zone: str | None
    reservation_id: str | None
    launch_index: int | None
    public_key: str | None
    admin_password: str | None
    disk_config: str | None
    access_ip_v4: str | None
    access_ip_v6: str | None
    image_properties: dict[str, Any] | None
    life: str
    power: str
    fault: dict[str, Any] | None
    stage: str | None
    stage_since: int | None
    old_flavor: dict[str, Any] | None
    shelved_image_id: str | None
    status: str
    vm_state: str
    task_state: str | None
    created_at: int
    updated_at: int | None
    launched_at: int | None
    deleted_at: int | None


class BlockDeviceMapping(msgspec.Struct, frozen=True):
    """A disk of a server: where it comes from, and the volume and attachment behind it."""

    id: str
    server_id: str
    source_type: str
    destination_type: str
    volume_id: str | None
    snapshot_id: str | None
    image_id: str | None
    attachment_id: str | None
    volume_size: int | None
    volume_type: str | None
    boot_index: int | None
    device_name: str | None
    disk_bus: str
    delete_on_termination: bool
    tag: str | None
    guest_format: str | None
    created_at: int
    updated_at: int | None
    deleted_at: int | None


class KeyPair(msgspec.Struct, frozen=True):
    """The public half of a user's key pair; the private one is never kept."""

    id: int
    user_id: str
    name: str
    type: str
    fingerprint: str
    public_key: str
    created_at: int


class ServerWithVolumes(msgspec.Struct, frozen=True):
    """What the server's views show: the row and the mappings whose volume is attached or being attached."""

    server: Server
    mappings: tuple[BlockDeviceMapping, ...]


class WantedDisk(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of block_device_mapping_v2, parsed. `uuid` is a volume, snapshot or image by `source_type`."""

    source_type: Literal["volume", "snapshot", "image", "blank"]
    destination_type: Literal["volume", "local"] = "volume"
    uuid: str | None = None
    volume_size: int | None = None
    volume_type: str | None = None
    boot_index: int | None = None
    """None: it is not booted from."""
    device_name: str | None = None
    disk_bus: str | None = None
    guest_format: str | None = None
    """Of a local blank disk: "swap", or the file system to make on it."""
    delete_on_termination: bool = False
    tag: str | None = None
    field: str = "block_device_mapping_v2"
    """Where it stands in the request, for messages."""


class WantedServer(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /servers asks for, parsed."""

    name: str
    flavor_id: str
    image_id: str | None = None
    disks: tuple[WantedDisk, ...] = ()
    description: str | None = None
    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    availability_zone: str | None = None
    hostname: str | None = None
    key_name: str | None = None
    user_data: str | None = None
    """Base64, as it came."""
    config_drive: bool = False
    admin_password: str | None = None
    disk_config: str | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    min_count: int = 1
    max_count: int = 1
