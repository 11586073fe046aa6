"""A hypervisor in memory: the complete behaviour of the contract, with no guest behind it.

Ships with the product, for tests of operations and for trying Pumice on a machine without QEMU. With a `path` the
guests live in that JSON file, are found again by the next process, and may be looked at and told to misbehave from
another one. What it can be told (`behave`):

    refuse_attach="reason"     attach fails with this sentence
    lie_on_attach=True         attach reports success and attaches nothing
    refuse_detach="reason"     a running guest does not let go
    grow_fails="reason"        disk_grew fails

Fault points are those of the real driver: `hypervisor.VERB:before`, `hypervisor.VERB:done`, `hypervisor.detach:live`.
"""

import fcntl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pumice import faults
from pumice.hypervisors.contract import (
    DetachRefused,
    Disk,
    Guest,
    GuestMissing,
    GuestState,
    HostInfo,
    HypervisorDown,
    HypervisorError,
    ObservedDisk,
)
from pumice.hypervisors.disk_sources import SOURCES
from pumice.hypervisors.domain_xml import device_name, free_slot
from pumice.outcomes import Problem

RUNNING = (GuestState.RUNNING, GuestState.PAUSED)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What the hypervisor is told to do wrong."""

    refuse_attach: str | None = None
    lie_on_attach: bool = False
    refuse_detach: str | None = None
    grow_fails: str | None = None


class HeldDisk(msgspec.Struct):
    """A disk of a guest, as the definitions have it."""

    disk: Disk
    device: str
    live: bool
    stored: bool


class HeldGuest(msgspec.Struct):
    """A guest, its definitions and what it printed."""

    guest: Guest
    state: GuestState = GuestState.SHUTOFF
    pause_reason: str = "asked"
    disks: dict[str, HeldDisk] = {}
    console: str = ""


class Everything(msgspec.Struct):
    """What the file holds."""

    guests: dict[str, HeldGuest] = {}
    behaviour: Behaviour = Behaviour()


class MemoryHypervisor:
    """See the top of this file. Every method may be called from any thread."""

    def __init__(
        self,
        *,
        host: str = "memory",
        path: Path | None = None,
        my_ip: str = "127.0.0.1",
        driver_volume_types: tuple[str, ...] = tuple(SOURCES),
        rbd_features: int = 0,
    ) -> None:
        self.host = host
        self._path = path
        self._my_ip = my_ip
        self._driver_volume_types = driver_volume_types
        self._rbd_features = rbd_features
        self._lock = threading.RLock()
        self._held = Everything()
        self._open = False

    # -- the simulator's own -------------------------------------------------------------------------------------

    def behave(self, behaviour: Behaviour) -> None:
        """Misbehave so from now on; `Behaviour()` is good behaviour again."""
        with self._everything(asked=False) as held:
            held.behaviour = behaviour

    def crash(self, server_id: str) -> None:
        """The guest's process dies."""
        with self._everything(asked=False) as held:
            switch_off(found(held, server_id), GuestState.CRASHED)

    def stall(self, server_id: str, reason: str = "io-error") -> None:
        """The guest stands still by itself."""
        with self._everything(asked=False) as held:
            guest = found(held, server_id)
            switch(guest, server_id, GuestState.PAUSED)
            guest.pause_reason = reason

    def halve(self, server_id: str, serial: str, *, live: bool, stored: bool) -> None:
        """Somebody else has changed in which definitions the disk is."""
        with self._everything(asked=False) as held:
            disk = found(held, server_id).disks[serial]
            disk.live, disk.stored = live, stored

    def print_console(self, server_id: str, text: str) -> None:
        """The guest prints."""
        with self._everything(asked=False) as held:
            guest = found(held, server_id)
            guest.console = (guest.console + text)[-(1 << 20) :]

    # -- the host ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Guests of the file are there again. Raises HypervisorDown when it cannot be used."""
        self._open = True
        with self._everything():
            pass

    def close(self) -> None:
        """Answer no more; the file stays."""
        self._open = False

    def check(self) -> list[Problem]:
        """A started one always works, unless its file cannot be used."""
        try:
            with self._everything():
                return []
        except HypervisorDown as down:
            return [Problem("hypervisor-down", str(down), "start it, and let the service's user write its file")]

    def stuck_since(self) -> float | None:
        """Nothing here can get stuck."""
        return None

    def host_info(self) -> HostInfo:
        """A host of a fixed size."""
        return HostInfo(
            host=self.host,
            hypervisor_type="memory",
            hypervisor_version="1.0.0",
            vcpus=64,
            memory_mib=262_144,
            connector={
                "host": self.host,
                "initiator": f"iqn.2026-11.org.pumice:{self.host}",
                "ip": self._my_ip,
                "os_type": sys.platform,
                "platform": "memory",
                "multipath": False,
                "supported": {
                    "driver_volume_types": sorted(self._driver_volume_types),
                    "rbd_features": self._rbd_features,
                },
            },
        )

    # -- guests --------------------------------------------------------------------------------------------------

    def define(self, guest: Guest) -> None:
        """Store the definition. Of a running guest only the same one again is accepted."""
        with self._everything("define") as held:
            old = held.guests.get(guest.server_id)
            if old is not None and old.state in (*RUNNING, GuestState.SUSPENDED):
                if not same_definition(old, guest):
                    raise HypervisorError(
                        f"the server {guest.server_id} is running or suspended: it cannot be defined anew"
                    )
                return
            fresh = HeldGuest(guest=guest, console=old.console if old else "")
            for disk in guest.disks:
                self._supported(disk)
                put(fresh, disk, live=False, stored=True)
            held.guests[guest.server_id] = fresh

    def start_guest(self, server_id: str) -> None:
        """Its stored disks become live ones."""
        with self._everything("start_guest") as held:
            guest = found(held, server_id)
            if guest.state not in RUNNING:
                if guest.state is not GuestState.SUSPENDED:
                    guest.console += f"GUEST-UP 0.00 {server_id}\n"
                guest.state = GuestState.RUNNING
                for disk in guest.disks.values():
                    disk.live = True

    def stop_guest(self, server_id: str, graceful_seconds: float = 0.0) -> None:
        """Guests here always obey at once."""
        with self._everything("stop_guest") as held:
            if server_id in held.guests:
                switch_off(held.guests[server_id], GuestState.SHUTOFF)

    def undefine(self, server_id: str) -> None:
        """Nothing of it is left."""
        self.stop_guest(server_id)
        with self._everything("undefine") as held:
            held.guests.pop(server_id, None)

    def pause(self, server_id: str) -> None:
        """Already paused is success; a guest that is off is an error."""
        with self._everything("pause") as held:
            switch(found(held, server_id), server_id, GuestState.PAUSED)

    def resume(self, server_id: str) -> None:
        """Already running is success; a guest that is off is an error."""
        with self._everything("resume") as held:
            switch(found(held, server_id), server_id, GuestState.RUNNING)

    def suspend(self, server_id: str) -> None:
        """Already suspended is success; a guest that is off is an error."""
        with self._everything("suspend") as held:
            guest = found(held, server_id)
            if guest.state is not GuestState.SUSPENDED:
                switch(guest, server_id, GuestState.PAUSED)
                switch_off(guest, GuestState.SUSPENDED)

    def reset(self, server_id: str) -> None:
        """Power off and on: afterwards it runs, whatever it was before."""
        self.start_guest(server_id)
        self.resume(server_id)

    def state(self, server_id: str) -> GuestState:
        """ABSENT when it is unknown."""
        with self._everything() as held:
            guest = held.guests.get(server_id)
            return GuestState.ABSENT if guest is None else guest.state

    def pause_reason(self, server_id: str) -> str | None:
        """ "asked", unless it was told to stall."""
        with self._everything() as held:
            guest = held.guests.get(server_id)
            return guest.pause_reason if guest is not None and guest.state is GuestState.PAUSED else None

    def guests(self) -> dict[str, GuestState]:
        """All of them."""
        with self._everything() as held:
            return {server_id: guest.state for server_id, guest in held.guests.items()}

    # -- disks ---------------------------------------------------------------------------------------------------

    def disks(self, server_id: str) -> list[ObservedDisk]:
        """The disks of both definitions. Raises GuestMissing."""
        with self._everything() as held:
            return [observed(disk) for disk in found(held, server_id).disks.values()]

    def attach(self, server_id: str, disk: Disk, deadline: float = 20.0) -> ObservedDisk:
        """Put the disk into each definition that the guest has, unless told to refuse or to lie."""
        with self._everything("attach") as held:
            guest = found(held, server_id)
            self._supported(disk)
            if guest.state is GuestState.SUSPENDED:
                raise HypervisorError(f"could not attach the volume {disk.serial}: the guest is suspended")
            old = guest.disks.get(disk.serial)
            live = guest.state in RUNNING
            if old is not None and old.live and old.disk.connection_info != disk.connection_info:
                del guest.disks[disk.serial]
                raise HypervisorError(f"could not attach the volume {disk.serial}: attached from elsewhere already")
            if held.behaviour.refuse_attach is not None:
                guest.disks.pop(disk.serial, None)
                raise HypervisorError(f"could not attach the volume {disk.serial}: {held.behaviour.refuse_attach}")
            if held.behaviour.lie_on_attach:
                return ObservedDisk(serial=disk.serial, device="sdz", live=live, stored=True)
            return observed(put(guest, disk, live=live, stored=True))

    def complete(self, server_id: str, disk: Disk, deadline: float = 20.0) -> ObservedDisk | None:
        """What is in one definition only is in both, unless told to refuse."""
        with self._everything("attach") as held:
            guest = found(held, server_id)
            old = guest.disks.get(disk.serial)
            if old is None:
                return None
            if guest.state is GuestState.SUSPENDED:
                raise HypervisorError(f"could not complete the volume {disk.serial}: the guest is suspended")
            if old.live and old.disk.connection_info != disk.connection_info:
                raise HypervisorError(f"could not complete the volume {disk.serial}: attached from elsewhere already")
            if held.behaviour.refuse_attach is not None:
                raise HypervisorError(f"could not complete the volume {disk.serial}: {held.behaviour.refuse_attach}")
            return observed(put(guest, disk, live=guest.state in RUNNING, stored=True))

    def detach(self, server_id: str, serial: str, deadline: float = 20.0) -> None:
        """Out of the live definition, then out of the stored one. A refusal leaves both as they are."""
        with self._everything("detach") as held:
            guest = held.guests.get(server_id)
            disk = guest.disks.get(serial) if guest else None
            if guest is None or disk is None:
                return
            if guest.state is GuestState.SUSPENDED:
                raise DetachRefused(f"the guest is suspended with the volume {serial}; resume it first")
            if disk.live and held.behaviour.refuse_detach is not None:
                raise DetachRefused(f"the volume {serial} is still attached: {held.behaviour.refuse_detach}")
            disk.live = False
            self._save()
            faults.point("hypervisor.detach:live")
            del guest.disks[serial]

    def disk_grew(self, server_id: str, serial: str, size_bytes: int) -> None:
        """Nothing to do but to fail when told so."""
        with self._everything("disk_grew") as held:
            guest = held.guests.get(server_id)
            if guest is None or serial not in guest.disks or not guest.disks[serial].live:
                return
            if held.behaviour.grow_fails is not None:
                raise HypervisorError(f"could not grow the volume {serial}: {held.behaviour.grow_fails}")

    def console_log(self, server_id: str, lines: int | None = None) -> str:
        """What it printed."""
        with self._everything() as held:
            guest = held.guests.get(server_id)
            text = guest.console if guest else ""
        if lines is None:
            return text
        return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""

    # -- inside --------------------------------------------------------------------------------------------------

    def _supported(self, disk: Disk) -> None:
        kind = disk.connection_info.get("driver_volume_type")
        if kind not in self._driver_volume_types:
            supported = ", ".join(sorted(self._driver_volume_types))
            raise HypervisorError(f"this host cannot attach volumes of the type {kind!r}; it supports: {supported}")

    @contextmanager
    def _everything(self, verb: str | None = None, asked: bool = True) -> Iterator[Everything]:
        """All guests, under the lock, read from the file before and written to it after. Raises HypervisorDown.
        What was changed before an error is kept. `asked`: by a caller of the contract, who must have started it."""
        if asked and not self._open:
            raise HypervisorDown("the hypervisor is not started")
        try:
            with self._lock, self._file_lock():
                self._load()
                if verb:
                    faults.point(f"hypervisor.{verb}:before")
                try:
                    yield self._held
                finally:
                    self._save()
                if verb:
                    faults.point(f"hypervisor.{verb}:done")
        except OSError as error:
            raise HypervisorDown(f"the hypervisor in memory failed: {error}") from error

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            self._held = msgspec.json.decode(self._path.read_bytes(), type=Everything)
        except FileNotFoundError:
            self._held = Everything()

    def _save(self) -> None:
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(self._held))
        fresh.replace(self._path)


def found(held: Everything, server_id: str) -> HeldGuest:
    """The guest. Raises GuestMissing."""
    try:
        return held.guests[server_id]
    except KeyError:
        raise GuestMissing(f"the server {server_id} has no guest on this host") from None


def put(guest: HeldGuest, disk: Disk, live: bool, stored: bool) -> HeldDisk:
    """The disk is in these definitions now."""
    old = guest.disks.get(disk.serial)
    if old is None:
        slot = free_slot(disk, [other.device for other in guest.disks.values()])
        device = device_name(disk.bus, slot)
    else:
        device = old.device
    guest.disks[disk.serial] = HeldDisk(disk=disk, device=device, live=live, stored=stored)
    return guest.disks[disk.serial]


def switch_off(guest: HeldGuest, state: GuestState) -> None:
    """The guest stops, or forgets its memory; only its stored definition is left."""
    if guest.state in (*RUNNING, GuestState.SUSPENDED):
        guest.state = state
    for disk in guest.disks.values():
        disk.live = False
    guest.disks = {serial: disk for serial, disk in guest.disks.items() if disk.stored}


def switch(guest: HeldGuest, server_id: str, state: GuestState) -> None:
    """Pause or resume. Raises HypervisorError for a guest that is off."""
    if guest.state not in RUNNING:
        raise HypervisorError(f"the server {server_id} is not running")
    if guest.state is not state:
        guest.pause_reason = "asked"
    guest.state = state


def observed(disk: HeldDisk) -> ObservedDisk:
    """The disk as the contract shows it."""
    return ObservedDisk(serial=disk.disk.serial, device=disk.device, live=disk.live, stored=disk.stored)


def same_definition(old: HeldGuest, guest: Guest) -> bool:
    """Whether the stored definition is this guest's, by the same measure as the real driver's."""
    return (
        old.guest.memory_mib == guest.memory_mib
        and old.guest.vcpus == guest.vcpus
        and {serial for serial, disk in old.disks.items() if disk.stored} == {disk.serial for disk in guest.disks}
    )
