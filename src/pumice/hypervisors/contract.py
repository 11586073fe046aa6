"""The contract of a hypervisor: guests and their disks on one compute host.

Called by the compute operations and the reconciler only, inside the agent that owns the host. A hypervisor's own
answers can lie (libvirt returns success from a detach with the disk still there), so every method that changes a
disk ends with an observation of the live and the stored definition, and says what it saw.

    absent --define--> SHUTOFF --start--> RUNNING <--pause/resume--> PAUSED
       ^                  |  ^-----stop------+  |
       |                  |  ^----stop----+     | suspend
       +----undefine------+           SUSPENDED <
                                          +--start--> RUNNING (with its memory as it was)

Rules that the conformance suite (`tests/drivers/test_hypervisor_contract.py`) holds for every driver:
every method is idempotent; attach and detach work on a running guest (live and stored definition) and on a stopped
one (stored definition only; live at the next start); a disk is known by its serial, which is the volume's id.
"""

from enum import Enum
from typing import Any, Protocol

import msgspec

from pumice.outcomes import Problem


class GuestState(Enum):
    """What the hypervisor says of a guest."""

    ABSENT = "absent"
    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    """Off, its memory saved: the next start goes on where it was."""
    SHUTOFF = "shutoff"
    CRASHED = "crashed"


class HypervisorError(Exception):
    """The hypervisor refused or failed. `str()` is one sentence for the user with the hypervisor's own reason."""

    transient = False


class HypervisorDown(HypervisorError):
    """The hypervisor does not answer."""

    transient = True


class GuestMissing(HypervisorError):
    """There is no such guest on this host."""


class DetachRefused(HypervisorError):
    """The guest did not let go of the disk before the deadline; it is still attached."""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """One disk of a guest. `serial` is the volume's id, or the server's and a word for its own disks."""

    serial: str
    connection_info: dict[str, Any]
    """{"driver_volume_type", "data"} as a target made it."""
    bus: str = "scsi"
    """"scsi" (virtio-scsi, the default) or "virtio"."""
    device: str | None = None
    """Device name shown in the API, e.g. "/dev/sdb"; the guest need not use the same."""
    read_only: bool = False
    shareable: bool = False
    boot_index: int | None = None
    """1-based boot order, None: not booted from."""
    cdrom: bool = False
    """A CD-ROM drive with this disc in it; always read-only, on the bus "scsi"."""


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """What defines a guest."""

    server_id: str
    name: str
    memory_mib: int
    vcpus: int
    disks: tuple[Disk, ...] = ()
    kernel_path: str | None = None
    ramdisk_path: str | None = None
    kernel_arguments: str | None = None
    """Only with kernel_path; "console=ttyS0 quiet panic=-1" when None is given with a kernel."""


class ObservedDisk(msgspec.Struct, frozen=True, kw_only=True):
    """One disk as found in the definitions. `device` is the target name, e.g. "sdb"."""

    serial: str
    device: str
    live: bool
    stored: bool


class HostInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a compute host says of itself."""

    host: str
    hypervisor_type: str
    hypervisor_version: str
    vcpus: int
    memory_mib: int
    connector: dict[str, Any]
    """The connector sent to the volume side: host, initiator, ip, os_type, platform, multipath, and
    `supported` = {"driver_volume_types": [...], "rbd_features": int}."""


class Hypervisor(Protocol):
    """Guests on one host. Every method may be called from any thread; calls block up to their deadline (seconds)."""

    def start(self) -> None:
        """Open the connection; find running guests again. Raises HypervisorDown."""

    def close(self) -> None: ...

    def check(self) -> list[Problem]:
        """Prove that guests can be started: empty when they can."""

    def stuck_since(self) -> float | None:
        """When (time.monotonic) the oldest call that is past its time was due; None when no call is. Such a call
        cannot be interrupted: the agent that sees one is to be replaced. Never blocks."""

    def host_info(self) -> HostInfo: ...

    def define(self, guest: Guest) -> None:
        """Store the definition (replacing an older one of a guest that is not running). Of a running or suspended
        guest only the same one again is accepted. Raises HypervisorError."""

    def start_guest(self, server_id: str) -> None:
        """Start it; returns when it runs. Already running is success. Raises GuestMissing, HypervisorError."""

    def stop_guest(self, server_id: str, graceful_seconds: float = 0.0) -> None:
        """Stop it: asked by ACPI first when graceful_seconds > 0, then by force; the memory of a suspended guest is
        thrown away. Already off or absent is success."""

    def undefine(self, server_id: str) -> None:
        """Stop it by force and forget it, its console log too. Absent is success."""

    def pause(self, server_id: str) -> None: ...

    def resume(self, server_id: str) -> None: ...

    def suspend(self, server_id: str) -> None:
        """Save its memory to the host's disk and stop it; start_guest then goes on there. Already suspended is success.
        Raises GuestMissing, HypervisorError (it is off; no room for its memory): then it runs on."""

    def reset(self, server_id: str) -> None:
        """A hard reboot without changing the definition."""

    def state(self, server_id: str) -> GuestState: ...

    def pause_reason(self, server_id: str) -> str | None:
        """Why a paused guest stands still: "asked" (by `pause`, or by whoever else may ask the hypervisor), "asleep"
        (the guest itself), "io-error" (a disk could not be written: no room), or another word of the hypervisor's.
        None: it is not paused, or absent."""

    def guests(self) -> dict[str, GuestState]:
        """Every guest of ours on this host, by server id."""

    def disks(self, server_id: str) -> list[ObservedDisk]:
        """The disks of the guest's definitions, live and stored. Raises GuestMissing."""

    def attach(self, server_id: str, disk: Disk, deadline: float = 20.0) -> ObservedDisk:
        """Attach and observe: returned only when the disk is in the stored definition and, of a running or paused
        guest, in the live one. Already there is success. Raises HypervisorError (of a suspended guest always),
        GuestMissing; then neither definition has the disk."""

    def complete(self, server_id: str, disk: Disk, deadline: float = 20.0) -> ObservedDisk | None:
        """Put a disk that one of the guest's definitions has into the other too, and see it there. In both is success;
        in neither nothing is done (None). Raises HypervisorError, GuestMissing: then each keeps what it had."""

    def detach(self, server_id: str, serial: str, deadline: float = 20.0) -> None:
        """Detach and observe: returns only when neither definition has the disk. Absent disk or guest is success.
        Raises DetachRefused (of a suspended guest that has it always): then both definitions still have it."""

    def disk_grew(self, server_id: str, serial: str, size_bytes: int) -> None:
        """Tell a running guest the disk's new size. A guest that is not running, or has no such disk, is success."""

    def console_log(self, server_id: str, lines: int | None = None) -> str:
        """The end of what the guest printed, at most 1 MiB. "" when there is none."""
