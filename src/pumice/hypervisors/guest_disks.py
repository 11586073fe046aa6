"""Disks of libvirt guests: attached, detached and observed in the live and the stored definition.

What libvirt answers is not believed: a detach returns success with the disk still there, and a detach that is asked
for again fails although the first one works on. Only the two XML definitions count:

    attach   both definitions are read, the disk is put where it is missing, both are read again
    complete the same for a disk that is in one of them; a failure takes nothing away, for a guest may be using it
    detach   live first, and only when it is gone there, the stored one: a guest that does not let go keeps both
             (between the two a crash leaves the disk in the stored definition only; detaching again finishes it)

A guest that refused may let go later, when it is resumed or has booted: then the disk is in the stored definition
only, which `observe` shows, and both verbs finish. Called by `libvirt.py`.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from pumice import faults
from pumice.hypervisors.contract import DetachRefused, Disk, GuestMissing, HypervisorError, ObservedDisk
from pumice.hypervisors.disk_sources import disk_source
from pumice.hypervisors.domain_xml import Definition, alias_of, disk_xml, free_slot, slot_of
from pumice.hypervisors.libvirt_connection import LibvirtConnection, sentence

GRACE_SECONDS = 30.0
"""What a call may take beyond its caller's deadline before it counts as stuck: libvirt's own wait for a lock."""
ASK_AGAIN_SECONDS = 5.0
"""Pause between two requests to a guest that has not answered (it may just be booting)."""
LOOK_SECONDS = 0.25
"""Pause between two looks at the XML when no event comes."""
LOOKS = 4
"""How often attach looks at both definitions: a guest may go off or be started between a look and a call."""


class GuestDisks:
    """See the top of this file. Every method may be called from any thread."""

    connection: LibvirtConnection

    def __init__(self, grace_seconds: float = GRACE_SECONDS) -> None:
        self._grace_seconds = grace_seconds
        self._changes = threading.Condition()
        self._count = 0
        self._refused: set[tuple[str, str]] = set()
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    # -- events of libvirt, in its own thread --------------------------------------------------------------------

    def changed(self) -> None:
        """Something happened to some guest: whoever waits looks again."""
        with self._changes:
            self._count += 1
            self._changes.notify_all()

    def removal_refused(self, server_id: str, alias: str) -> None:
        """A guest said that it keeps a device."""
        with self._changes:
            self._refused.add((server_id, alias))
        self.changed()

    def wait(self, reached: Callable[[], bool], seconds: float, look_seconds: float = LOOK_SECONDS) -> bool:
        """Wait until it is so: looked at after every event and every `look_seconds`. False when the time is over."""
        until = time.monotonic() + seconds
        while True:
            with self._changes:
                seen = self._count
            if reached():
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            with self._changes:
                self._changes.wait_for(lambda: self._count != seen, min(look_seconds, left))  # noqa: B023

    # -- looking -------------------------------------------------------------------------------------------------

    def live(self, domain: Any) -> Definition | None:
        """The live definition, None when the guest does not run."""
        if not domain.isActive():
            return None
        xml = domain.XMLDesc(0)
        # Asked again: a guest that went off meanwhile has answered with its stored definition.
        return Definition.parse(xml) if domain.isActive() else None

    def stored(self, domain: Any) -> Definition:
        """The definition that the next start uses."""
        return Definition.parse(domain.XMLDesc(self.connection.libvirt.VIR_DOMAIN_XML_INACTIVE))

    def observe(self, server_id: str) -> list[ObservedDisk]:
        """Every disk of ours in either definition. Raises GuestMissing."""
        with self.connection.call(f"list the disks of the server {server_id}"):
            domain = self.connection.domain(server_id)
            live, stored = self.live(domain), self.stored(domain)
        on_live = {} if live is None else live.disks
        return [
            ObservedDisk(serial=disk.serial, device=disk.device, live=serial in on_live, stored=serial in stored.disks)
            for serial, disk in (stored.disks | on_live).items()
        ]

    # -- attach --------------------------------------------------------------------------------------------------

    def attach(self, server_id: str, disk: Disk, deadline: float) -> ObservedDisk:
        """Put the disk into each definition that the guest has, and see it there. What was in one only is healed.
        After any failure it is taken out of both again."""
        what = f"attach the volume {disk.serial} to the server {server_id}"
        with self._lock(server_id), self.connection.call(what, deadline + self._grace_seconds, "attach"):
            domain = self.connection.domain(server_id)
            try:
                return self._attach(domain, disk)
            except (HypervisorError, self.connection.libvirt.libvirtError) as error:
                self._take_back(domain, disk.serial, deadline, error)
                raise

    def complete(self, server_id: str, disk: Disk, deadline: float) -> ObservedDisk | None:
        """What is in one definition only is in both; None where it is in neither."""
        what = f"put the volume {disk.serial} into both definitions of the server {server_id}"
        with self._lock(server_id), self.connection.call(what, deadline + self._grace_seconds, "attach"):
            domain = self.connection.domain(server_id)
            live = self.live(domain)
            if disk.serial in self.stored(domain).disks or (live is not None and disk.serial in live.disks):
                return self._attach(domain, disk)
            return None

    def _attach(self, domain: Any, disk: Disk) -> ObservedDisk:
        libvirt = self.connection.libvirt
        if domain.hasManagedSaveImage(0):
            raise HypervisorError("the guest is suspended with its disks; resume it first")
        source = disk_source(disk.connection_info).name
        for _look in range(LOOKS):
            live, stored = self.live(domain), self.stored(domain)
            on_live = {} if live is None else live.disks
            known = on_live.get(disk.serial)
            if known is not None and known.source != source:
                raise HypervisorError(f"it is attached already, from {known.source} and not from {source}")
            old = stored.disks.get(disk.serial)
            if old is not None and old.source != source:
                domain.detachDeviceAlias(alias_of(disk.serial), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
                continue
            flags = libvirt.VIR_DOMAIN_AFFECT_LIVE if live is not None and known is None else 0
            flags |= libvirt.VIR_DOMAIN_AFFECT_CONFIG if old is None else 0
            known = known or old
            if not flags and known is not None:
                return ObservedDisk(serial=disk.serial, device=known.device, live=live is not None, stored=True)
            taken = [other.device for other in (*on_live.values(), *stored.disks.values()) if other != known]
            kept = known is not None and known.device not in taken
            slot = slot_of(known.device) if known is not None and kept else free_slot(disk, taken)
            try:
                domain.attachDeviceFlags(disk_xml(disk, slot), flags)
            except libvirt.libvirtError as error:
                # It went off between the look and the call: then look again. Everything else is a refusal.
                if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID or live is None:
                    raise
        raise HypervisorError("libvirt reports success, but the disk is not in the guest")

    def _take_back(self, domain: Any, serial: str, deadline: float, error: Exception) -> None:
        """After a failed attach: neither definition keeps the disk. Says so where that fails too."""
        try:
            self._detach(domain, serial, time.monotonic() + deadline)
        except (HypervisorError, self.connection.libvirt.libvirtError) as second:
            raise HypervisorError(f"{sentence(error)}; and taking it back failed: {sentence(second)}") from error

    # -- detach --------------------------------------------------------------------------------------------------

    def detach(self, server_id: str, serial: str, deadline: float) -> None:
        """Take the disk out of the running guest, then out of the stored definition, and see it gone.
        Raises DetachRefused when the guest still has it at the deadline."""
        what = f"detach the volume {serial} from the server {server_id}"
        try:
            with self.connection.call(what, deadline + self._grace_seconds, "detach"):
                self._detach(self.connection.domain(server_id), serial, time.monotonic() + deadline)
        except GuestMissing:
            return

    def _detach(self, domain: Any, serial: str, until: float) -> None:
        if domain.hasManagedSaveImage(0) and serial in self.stored(domain).disks:
            raise DetachRefused(f"the guest is suspended with the volume {serial}; resume it first")
        self._detach_live(domain, serial, until)
        faults.point("hypervisor.detach:live")
        if serial in self.stored(domain).disks:
            self._ask(domain, serial, self.connection.libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        live, stored = self.live(domain), self.stored(domain)
        if serial in stored.disks or (live is not None and serial in live.disks):
            raise HypervisorError(f"libvirt reports success, but the disk {serial} is still in the guest")

    def _detach_live(self, domain: Any, serial: str, until: float) -> None:
        """Ask the guest until the live XML has no such disk. Raises DetachRefused at the deadline."""
        key = (domain.UUIDString(), alias_of(serial))
        with self._changes:
            self._refused.discard(key)

        def settled() -> bool:
            return key in self._refused or self._gone(domain, serial)

        reason = "the guest has not let go of it"
        while not self._gone(domain, serial):
            reason = self._ask(domain, serial, self.connection.libvirt.VIR_DOMAIN_AFFECT_LIVE) or reason
            left = until - time.monotonic()
            self.wait(settled, max(0.0, min(ASK_AGAIN_SECONDS, left)))
            if self._gone(domain, serial):
                return
            if key in self._refused:
                raise DetachRefused(f"the guest refuses to let go of the volume {serial}; it is still attached")
            if time.monotonic() >= until:
                raise DetachRefused(f"the volume {serial} is still attached: {reason}")

    def _gone(self, domain: Any, serial: str) -> bool:
        live = self.live(domain)
        return live is None or serial not in live.disks

    def _ask(self, domain: Any, serial: str, flags: int) -> str | None:
        """Ask libvirt to detach it; what it says against it, None when it says nothing. Only the XML decides:
        a request while another works on is refused, and a disk that has just gone is "not found"."""
        libvirt = self.connection.libvirt
        try:
            domain.detachDeviceAlias(alias_of(serial), flags)
        except libvirt.libvirtError as error:
            undecided = (
                libvirt.VIR_ERR_DEVICE_MISSING,
                libvirt.VIR_ERR_OPERATION_INVALID,
                libvirt.VIR_ERR_OPERATION_FAILED,
                libvirt.VIR_ERR_INTERNAL_ERROR,
            )
            if error.get_error_code() not in undecided:
                raise
            return sentence(error)
        return None

    # -- growing -------------------------------------------------------------------------------------------------

    def grew(self, server_id: str, serial: str, size_bytes: int) -> None:
        """Tell a running guest. One that is off, absent or without the disk sees the size when it next starts."""
        libvirt = self.connection.libvirt
        try:
            with self.connection.call(f"tell the server {server_id} that the volume {serial} grew"):
                domain = self.connection.domain(server_id)
                live = self.live(domain)
                disk = None if live is None else live.disks.get(serial)
                if disk is None:
                    return
                try:
                    domain.blockResize(disk.device, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
                except libvirt.libvirtError:
                    if not self._gone(domain, serial):
                        raise
        except GuestMissing:
            return

    def _lock(self, server_id: str) -> threading.Lock:
        """One attach at a time for each guest: two would choose the same address."""
        with self._locks_lock:
            return self._locks.setdefault(server_id, threading.Lock())

    def forget(self, server_id: str) -> None:
        """The guest is gone: keep nothing of it."""
        with self._locks_lock:
            self._locks.pop(server_id, None)
