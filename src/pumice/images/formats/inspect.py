"""Is the file what the image says it is, and how large is the disk inside?

    begins_as(disk_format, first bytes)      refuse a wrong file at its first bytes, not after 100 GiB
    inspect(fd, disk_format, limit)          the virtual size in bytes; raises UnusableImage

Raw images, kernels and RAM disks are bytes and nothing else, whatever they look like: nobody ever guesses their format.
An ISO 9660 image is bytes too, once it has the signature of one.
"""

from collections.abc import Callable, Mapping

from pumice.images.formats import qcow2, vdi, vmdk
from pumice.images.formats.reading import Untrusted, UnusableImage

OPAQUE = ("raw", "aki", "ari", "ami", "iso")
"""What the file holds is what the disk holds."""

READERS: Mapping[str, Callable[[Untrusted], int]] = {
    "qcow2": qcow2.virtual_size,
    "vdi": vdi.virtual_size,
    "vmdk": vmdk.virtual_size,
}

SIGNATURES = (
    ("qcow2", 0, qcow2.MAGIC),
    ("vmdk", 0, vmdk.MAGIC),
    ("vmdk", 0, vmdk.DESCRIPTOR),
    ("vmdk", 0, b"COWD"),
    ("vdi", vdi.SIGNATURE_AT, vdi.SIGNATURE),
    ("vhdx", 0, b"vhdxfile"),
    ("vhd", 0, b"conectix"),
    ("luks", 0, b"LUKS\xba\xbe"),
    ("qed", 0, b"QED\0"),
    ("iso", 0x8001, b"CD001"),
    ("iso", 0x8001, b"BEA01"),
    ("gzip", 0, b"\x1f\x8b"),
    ("xz", 0, b"\xfd7zXZ"),
)
"""(what it is, where its signature stands, the signature)."""

HEAD_BYTES = 0x8006


def looks_like(head: bytes) -> str | None:
    """What the first HEAD_BYTES of a file look like; None: nothing that is known here."""
    return next((name for name, at, word in SIGNATURES if head[at : at + len(word)] == word), None)


def begins_as(disk_format: str | None, head: bytes) -> None:
    """Raises UnusableImage when a file with these first HEAD_BYTES (or that ends before) is not of that format."""
    if disk_format is None or (disk_format in OPAQUE and disk_format != "iso"):
        return
    found = looks_like(head)
    if found != disk_format:
        seems = f"it looks like {found}" if found else "it has no signature of one"
        raise UnusableImage(f"The data cannot be used as {_article(disk_format)} {disk_format} image: {seems}.")
    if disk_format == "vmdk" and not head.startswith(vmdk.MAGIC):
        raise UnusableImage(
            "The data cannot be used as a vmdk image: it is a descriptor that names other files, or of an old kind; "
            "put all into one file with qemu-img convert."
        )


def inspect(fd: int, disk_format: str | None, limit: int | None) -> int:
    """Bytes of the disk inside. limit: the most that it may have, None for any. Raises UnusableImage, OSError."""
    data = Untrusted(fd, disk_format or "raw", limit)
    begins_as(disk_format, data.read(0, min(HEAD_BYTES, data.size), "header"))
    if disk_format is None or disk_format in OPAQUE:
        return data.size
    return READERS[disk_format](data)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
