"""Images as records, and the words of the Image API about them.

    queued --upload begins--> saving --all bytes are there--> active <--reactivate, deactivate--> deactivated
      ^                         |                               |                                     |
      +---- upload ends badly --+                               +------------ delete -> deleted ------+

"saving" belongs to exactly one upload (`upload_id`), whose file is locked while it lives; see `store`.
"""

from typing import Literal

import msgspec

from pumice.images.formats.inspect import OPAQUE, READERS

Status = Literal["queued", "saving", "active", "deactivated", "deleted"]
Visibility = Literal["public", "private", "shared", "community"]

VISIBILITIES = ("public", "private", "shared", "community")
DISK_FORMATS = (*OPAQUE, *READERS)
"""What may be stored: plain bytes of a disk (raw, ami), a kernel (aki), an initial RAM disk (ari), a CD (iso); a disk
in a format that is inspected when it comes and converted where its bytes are needed (qcow2, vdi, vmdk)."""

CONTAINER_FORMATS = ("bare", "aki", "ari", "ami")

READABLE: tuple[Status, ...] = ("active", "deactivated")
"""With data in the store."""

READ_ONLY = frozenset(
    {
        "id",
        "status",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "size",
        "virtual_size",
        "created_at",
        "updated_at",
        "self",
        "file",
        "schema",
        "direct_url",
        "locations",
        "stores",
    }
)
"""Attributes that a client can read and never set."""

RESERVED = frozenset({"location", "deleted", "deleted_at", "project_id", "upload_id"})
"""Names that no property may have."""

RESERVED_BEGINNING = "os_glance_"
"""Properties that begin so are the image service's own."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image. Times in microseconds; `size` and `virtual_size` in bytes, `min_disk` GiB, `min_ram` MiB."""

    id: str
    project_id: str
    """The owner."""
    name: str | None
    status: Status
    disk_format: str | None
    container_format: str | None
    visibility: Visibility
    protected: bool
    hidden: bool
    min_disk: int
    min_ram: int
    size: int | None
    virtual_size: int | None
    checksum: str | None
    """MD5."""
    hash_algorithm: str | None
    hash_value: str | None
    properties: dict[str, str]
    tags: list[str]
    upload_id: str | None
    created_at: int
    updated_at: int
    deleted_at: int | None


class NewImage(msgspec.Struct, frozen=True, kw_only=True):
    """What the maker of an image decides; parsed and checked by `attributes.new_image`."""

    id: str | None = None
    project_id: str | None = None
    """None: the caller's project."""
    name: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    visibility: Visibility = "shared"
    protected: bool = False
    hidden: bool = False
    min_disk: int = 0
    min_ram: int = 0
    properties: dict[str, str] = {}
    tags: list[str] = []
