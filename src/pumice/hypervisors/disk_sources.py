"""Where a disk's bytes come from: from connection info to what libvirt's <disk> element needs.

    SOURCES["local"]({"device_path": ...})  ->  DiskSource

One entry per driver_volume_type; a new transport (iscsi, rbd, nfs) is one function and one line in the table.
Called by `domain_xml.py` and, for what the host supports, by `libvirt.py`. Opens files only to find out what they are.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pumice.hypervisors.contract import HypervisorError


class DiskSource(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a <disk> element that depend on the transport."""

    type: str
    """libvirt's disk type: "file", "block" or "network"."""
    attributes: dict[str, str]
    """Attributes of <source>, e.g. {"file": path}."""
    name: str
    """What identifies the source within the live XML: its file, device or network name."""
    cache: str
    io: str
    format: str = "raw"
    """Always named, never probed: a guest could write a qcow2 header into a raw disk and read other files by it."""


def local_source(data: Mapping[str, Any]) -> DiskSource:
    """A regular file or block device of this host. Raises HypervisorError when it is not there."""
    path = data.get("device_path")
    if not isinstance(path, str) or not path.startswith("/"):
        raise HypervisorError(f"the connection info of a local disk has no absolute device_path, but {path!r}")
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise HypervisorError(f"the disk {path} cannot be used: {error.strerror}") from error
    if stat.S_ISREG(mode):
        type_, attribute = "file", "file"
    elif stat.S_ISBLK(mode):
        type_, attribute = "block", "dev"
    else:
        raise HypervisorError(f"the disk {path} is neither a regular file nor a block device")
    cache, io = ("none", "native") if direct_io_works(path) else ("writeback", "threads")
    return DiskSource(type=type_, attributes={attribute: path}, name=path, cache=cache, io=io)


def direct_io_works(path: str) -> bool:
    """Whether the file's system takes O_DIRECT (tmpfs and some network file systems do not): found by trying."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True


SOURCES: dict[str, Callable[[Mapping[str, Any]], DiskSource]] = {
    "local": local_source,
}


def disk_source(connection_info: Mapping[str, Any]) -> DiskSource:
    """The source for {"driver_volume_type", "data"}. Raises HypervisorError for an unknown or unusable one."""
    kind = connection_info.get("driver_volume_type")
    source = SOURCES.get(kind) if isinstance(kind, str) else None
    if source is None:
        raise HypervisorError(
            f"this host cannot attach volumes of the type {kind!r}; it supports: {', '.join(sorted(SOURCES))}"
        )
    data = connection_info.get("data")
    return source(data if isinstance(data, Mapping) else {})
