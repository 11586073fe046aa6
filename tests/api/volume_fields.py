"""The fields of the volume face's answers, and the microversion from which each is there.

They are what the closed schemas of Tempest 47.0.0 (tempest/lib/api_schema/response/volume) allow: no other field may be
in an answer. Version 3.0 stands for "always".
"""

from collections.abc import Mapping

VERSIONS = ("3.0", "3.27", "3.48", "3.61", "3.65", "3.71")


def at(fields: Mapping[str, str], version: str) -> set[str]:
    """The names that an answer has at that version."""
    return {name for name, since in fields.items() if _number(since) <= _number(version)}


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _always(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "3.0")


VOLUME_SUMMARY = {"id", "name", "links"}
VOLUME_CREATED = {
    **_always(
        "attachments",
        "links",
        "availability_zone",
        "encrypted",
        "updated_at",
        "replication_status",
        "snapshot_id",
        "id",
        "size",
        "user_id",
        "metadata",
        "status",
        "description",
        "multiattach",
        "source_volid",
        "consistencygroup_id",
        "name",
        "bootable",
        "created_at",
        "volume_type",
    ),
    "group_id": "3.13",
    "service_uuid": "3.48",
    "shared_targets": "3.48",
    "volume_type_id": "3.63",
    "encryption_key_id": "3.64",
    "consumes_quota": "3.65",
}
VOLUME = {**VOLUME_CREATED, "os-vol-tenant-attr:tenant_id": "3.0"}
VOLUME_ADMIN = {
    **_always(
        "migration_status",
        "os-vol-host-attr:host",
        "os-vol-mig-status-attr:migstat",
        "os-vol-mig-status-attr:name_id",
    ),
    "provider_id": "3.21",
    "cluster_name": "3.61",
}
ATTACHMENT_IN_VOLUME = {"server_id", "attachment_id", "attached_at", "host_name", "volume_id", "device", "id"}

SNAPSHOT_CREATED = {
    **_always("id", "name", "description", "volume_id", "status", "size", "metadata", "created_at", "updated_at"),
    "group_snapshot_id": "3.14",
    "user_id": "3.41",
    "consumes_quota": "3.65",
}
SNAPSHOT = {
    **SNAPSHOT_CREATED,
    **_always("os-extended-snapshot-attributes:progress", "os-extended-snapshot-attributes:project_id"),
}

ATTACHMENT_SUMMARY = {"id", "volume_id", "instance", "status"}
ATTACHMENT = ATTACHMENT_SUMMARY | {"attached_at", "detached_at", "attach_mode", "connection_info"}

MESSAGE = {
    "id",
    "event_id",
    "message_level",
    "user_message",
    "request_id",
    "resource_type",
    "resource_uuid",
    "created_at",
    "guaranteed_until",
    "links",
}
SERVICE = {
    **_always("status", "binary", "zone", "state", "updated_at", "host", "disabled_reason"),
    "cluster": "3.7",
    "backend_state": "3.49",
}
