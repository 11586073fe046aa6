"""/v2/schemas: what an image looks like, for clients that build themselves by it (glance)."""

from typing import Any

from pumice.api.edge.route import Call, Route
from pumice.db.engine import Transaction
from pumice.images.members import STATUSES
from pumice.images.model import CONTAINER_FORMATS, DISK_FORMATS, VISIBILITIES

_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _read(kind: Any, description: str) -> dict[str, Any]:
    return {"type": kind, "readOnly": True, "description": description}


IMAGE: dict[str, Any] = {
    "name": "image",
    "properties": {
        "id": _text("An identifier for the image", pattern=_UUID),
        "name": {"type": ["null", "string"], "maxLength": 255, "description": "Descriptive name for the image"},
        "status": _read("string", "Status of the image")
        | {"enum": ["queued", "saving", "active", "deactivated", "deleted"]},
        "visibility": _text("Scope of image accessibility", enum=list(VISIBILITIES)),
        "protected": {"type": "boolean", "description": "If true, image will not be deletable."},
        "os_hidden": {"type": "boolean", "description": "If true, image will not appear in default lists."},
        "owner": {"type": ["null", "string"], "maxLength": 255, "description": "Owner of the image"},
        "checksum": _read(["null", "string"], "MD5 of the image's data"),
        "os_hash_algo": _read(["null", "string"], "Algorithm of os_hash_value"),
        "os_hash_value": _read(["null", "string"], "Hash of the image's data"),
        "size": _read(["null", "integer"], "Size of the image's data in bytes"),
        "virtual_size": _read(["null", "integer"], "Size of the image's disk in bytes"),
        "disk_format": {
            "type": ["null", "string"],
            "enum": [None, *DISK_FORMATS],
            "description": "Format of the disk",
        },
        "container_format": {
            "type": ["null", "string"],
            "enum": [None, *CONTAINER_FORMATS],
            "description": "Format of the container",
        },
        "min_disk": {"type": "integer", "description": "Disk space (GiB) that the image needs to boot."},
        "min_ram": {"type": "integer", "description": "RAM (MiB) that the image needs to boot."},
        "tags": {
            "type": "array",
            "items": {"type": "string", "maxLength": 255},
            "description": "List of strings related to the image",
        },
        "kernel_id": {
            "type": ["null", "string"],
            "pattern": _UUID,
            "is_base": False,
            "description": "ID of the image that holds the kernel to boot with.",
        },
        "ramdisk_id": {
            "type": ["null", "string"],
            "pattern": _UUID,
            "is_base": False,
            "description": "ID of the image that holds the initial RAM disk to boot with.",
        },
        "created_at": _read("string", "Date and time of the image's creation"),
        "updated_at": _read("string", "Date and time of the last change"),
        "self": _read("string", "Path of the image"),
        "file": _read("string", "Path of the image's data"),
        "schema": _read("string", "Path of this schema"),
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}

IMAGES: dict[str, Any] = {
    "name": "images",
    "properties": {
        "images": {"type": "array", "items": IMAGE},
        "schema": {"type": "string"},
        "next": {"type": "string"},
        "first": {"type": "string"},
    },
    "links": [
        {"rel": "first", "href": "{first}"},
        {"rel": "next", "href": "{next}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}


MEMBER: dict[str, Any] = {
    "name": "member",
    "properties": {
        "member_id": _text("Project with which the image is shared"),
        "image_id": _text("Identifier of the image", pattern=_UUID),
        "created_at": _read("string", "Date and time of the sharing"),
        "updated_at": _read("string", "Date and time of the last answer"),
        "status": _text("What the project says to it", enum=list(STATUSES)),
        "schema": _read("string", "Path of this schema"),
    },
}

MEMBERS: dict[str, Any] = {
    "name": "members",
    "properties": {"members": {"type": "array", "items": MEMBER}, "schema": {"type": "string"}},
    "links": [{"rel": "describedby", "href": "{schema}"}],
}


def image(tx: Transaction, call: Call) -> Any:
    return IMAGE


def images(tx: Transaction, call: Call) -> Any:
    return IMAGES


def member(tx: Transaction, call: Call) -> Any:
    return MEMBER


def members(tx: Transaction, call: Call) -> Any:
    return MEMBERS


ROUTES: tuple[Route, ...] = (
    Route("GET", "/schemas/image", image, name="schemas.image"),
    Route("GET", "/schemas/images", images, name="schemas.images"),
    Route("GET", "/schemas/member", member, name="schemas.member"),
    Route("GET", "/schemas/members", members, name="schemas.members"),
)
