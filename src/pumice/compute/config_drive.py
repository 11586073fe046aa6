"""The config drive: how user data, the key pair, metadata and names reach the guest. There is no metadata service.

    openstack/latest/meta_data.json, user_data, vendor_data.json, vendor_data2.json, network_data.json

and the same below the version that cloud-init asks for first. Pure: from rows to files; the disk (ISO 9660, label
config-2) is made of them on the host by `operations/server_files.py`.
"""

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pumice.compute.model import BlockDeviceMapping, Server, WantedServer

VERSIONS = ("latest", "2018-08-27")
LABEL = "config-2"
MANDATORY = "img_config_drive"
"""Property of images that need one: "mandatory"."""


def is_needed(wanted: WantedServer, properties: Mapping[str, str]) -> bool:
    """Asked for, or there is something that reaches the guest no other way."""
    return bool(wanted.config_drive or wanted.user_data or wanted.key_name or properties.get(MANDATORY) == "mandatory")


def hostname_of(server: Server) -> str:
    """The host name in the guest: as asked for, else the server's name as far as it can be one."""
    if server.hostname:
        return server.hostname
    kept = re.sub(r"[^a-z0-9-]+", "-", (server.name or "").lower()).strip("-")[:63].strip("-")
    return kept or f"server-{server.id}"


def files_of(server: Server, mappings: Sequence[BlockDeviceMapping]) -> dict[str, bytes]:
    """Every file of the drive by its path."""
    content = {
        "meta_data.json": msgspec.json.encode(meta_data(server, mappings)),
        "vendor_data.json": b"{}",
        "vendor_data2.json": b"{}",
        "network_data.json": msgspec.json.encode({"links": [], "networks": [], "services": []}),
    }
    if server.user_data:
        content["user_data"] = b64decode(server.user_data)
    return {f"openstack/{version}/{name}": data for version in VERSIONS for name, data in content.items()}


def meta_data(server: Server, mappings: Sequence[BlockDeviceMapping]) -> dict[str, Any]:
    """As guests know it from other clouds; tagged disks are found by their serial, which is the volume's id."""
    found: dict[str, Any] = {
        "uuid": server.id,
        "name": server.name,
        "hostname": hostname_of(server),
        "launch_index": server.launch_index or 0,
        "availability_zone": server.availability_zone,
        "project_id": server.project_id,
        "meta": server.metadata,
        "devices": [
            {
                "type": "disk",
                "bus": mapping.disk_bus,
                "serial": mapping.volume_id,
                "tags": [mapping.tag],
            }
            for mapping in mappings
            if mapping.tag and mapping.volume_id
        ],
    }
    if server.public_key is not None and server.key_name is not None:
        kind = "x509" if server.public_key.startswith("-----BEGIN") else "ssh"
        found["public_keys"] = {server.key_name: server.public_key}
        found["keys"] = [{"name": server.key_name, "type": kind, "data": server.public_key}]
    if server.admin_password is not None:
        found["admin_pass"] = server.admin_password
    return found
