"""The catalogue: which faces there are and where, as clients look for them (by type, some by name)."""

import uuid
from typing import Any

_SPACE = uuid.UUID("6f2d3c1e-9d0e-4d37-9c0f-2f64b1a3a7c5")

SERVICES = (
    ("identity", "keystone", "/identity/v3"),
    ("block-storage", "cinder", "/volume/v3/{project_id}"),
    ("volumev3", "cinderv3", "/volume/v3/{project_id}"),
    ("image", "glance", "/image"),
    ("compute", "nova", "/compute/v2.1"),
    ("metering", "ceilometer", "/metering"),
)
"""(type, name, path below the public URL)"""


def catalog(root: str, region: str, project_id: str | None) -> list[dict[str, Any]]:
    """The catalogue of a token; without a project the block storage URLs have none. root: the public URL."""
    return [_entry(kind, name, path, root, region, project_id) for kind, name, path in SERVICES]


def _entry(kind: str, name: str, path: str, root: str, region: str, project_id: str | None) -> dict[str, Any]:
    url = root + path.replace("/{project_id}", f"/{project_id}" if project_id else "")
    return {
        "id": uuid.uuid5(_SPACE, kind).hex,
        "type": kind,
        "name": name,
        "endpoints": [
            {
                "id": uuid.uuid5(_SPACE, f"{kind} {interface} {region}").hex,
                "interface": interface,
                "region": region,
                "region_id": region,
                "url": url,
            }
            for interface in ("public", "internal", "admin")
        ],
    }
