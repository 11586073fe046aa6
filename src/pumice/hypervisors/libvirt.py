"""Guests by libvirt: embedded in this process by default, or a libvirtd at any other URI.

    guests    define, start, stop, pause, resume, reset, undefine, state -> one libvirt call each, made idempotent
    disks     attach, complete, detach, disk_grew, disks                 -> `guest_disks.py`
    host      start, close, check, host_info, stuck_since

With the embedded driver exactly one process owns the directory; guests outlive it, `kill -9` included, and the next
owner's `start()` finds them again. XML is in `domain_xml.py`, errors and the watch over calls in
`libvirt_connection.py`, the directory in `libvirt_root.py`.
"""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pumice.hypervisors import consoles, libvirt_root
from pumice.hypervisors.contract import (
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
from pumice.hypervisors.domain_xml import Definition, Place, domain_name, domain_xml
from pumice.hypervisors.guest_disks import ASK_AGAIN_SECONDS, GRACE_SECONDS, GuestDisks
from pumice.hypervisors.libvirt_connection import CALL_SECONDS, LibvirtConnection, embedded_uri
from pumice.outcomes import Problem

QEMU = "qemu-system-x86_64"
PROOF_SECONDS = 10
"""How long an empty machine may take to start and end under KVM."""
CALM_SECONDS = 10.0
"""How long start() waits for guests that another process left running."""
POLL_SECONDS = 0.05
SAVE_SECONDS = 600.0
"""How long a guest's memory may take to be saved."""
OURS = "pumice-"
PAUSE_REASONS = {"USER": "asked", "IOERROR": "io-error", "WATCHDOG": "watchdog", "CRASHED": "crashed"}
"""libvirt's VIR_DOMAIN_PAUSED_... in the contract's words; of the others the number is told."""


class LibvirtHypervisor:
    """See the top of this file."""

    def __init__(
        self,
        *,
        host: str,
        root: Path,
        uri: str | None = None,
        my_ip: str = "127.0.0.1",
        rbd_features: int = 0,
        command_channel: bool = False,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """`root` holds consoles and, when `uri` is None, the embedded driver's state. `rbd_features` is what this
        host's Ceph client knows (0: it has none). `command_channel`: guests get the port "lab.cmd" of a test guest.
        `grace_seconds`: what attach and detach may take beyond their deadline before they count as stuck."""
        self.host = host
        self._root = root.absolute()
        self._short = self._root
        self._uri = uri
        self._my_ip = my_ip
        self._rbd_features = rbd_features
        self._command_channel = command_channel
        self._type = "qemu"
        self._starting = threading.Lock()
        self._opening: LibvirtConnection | None = None
        self._connection: LibvirtConnection | None = None
        self._disks = GuestDisks(grace_seconds)

    # -- the host -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the connection and wait until running guests are under control. Idempotent. Raises HypervisorDown.

        Nobody else gets the connection before that: a call about a guest whose monitor libvirt is still opening fails
        ("monitor must not be NULL"), or ends the whole process."""
        with self._starting:
            if self._connection is not None:
                self._connection.open()
                return
            self._short = libvirt_root.prepare_root(self._root)
            if self._uri is None:
                libvirt_root.end_probes(self._root)
            self._type = "kvm" if kvm_works() else "qemu"
            uri = self._uri or embedded_uri(self._short)
            opening = self._opening = LibvirtConnection(uri, self._short / "libvirt.log", self._disks)
            opening.open()
            with opening.call("find the running guests"):
                guests = [domain for domain in opening.open().listAllDomains() if domain.name().startswith(OURS)]
                # One that is not calm by then has a monitor that does not answer: calls about it fail, others not.
                self._disks.wait(
                    lambda: all(calm(opening.libvirt, guest) for guest in guests), CALM_SECONDS, POLL_SECONDS
                )
            self._disks.connection = self._connection = opening
            self._opening = None

    def close(self) -> None:
        """Close the connection. Guests go on running."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def stuck_since(self) -> float | None:
        """When (time.monotonic) the oldest call into libvirt that is past its time was due, None when there is none.
        The process is then to be replaced: such a call cannot be interrupted."""
        connection = self._connection or self._opening
        return None if connection is None else connection.stuck_since()

    def check(self) -> list[Problem]:
        """Prove that guests can be started; the first time QEMU is asked what it can do (up to 4 s)."""
        if self._uri is None and shutil.which(QEMU) is None:
            return [Problem("program-missing", f"program {QEMU} not found", "install qemu-system-x86")]
        try:
            self._prove()
        except HypervisorDown as down:
            fix = "install libvirt-daemon-driver-qemu and python3-libvirt; see to it that no other process has it open"
            return [Problem("libvirt-down", str(down), fix)]
        except HypervisorError as error:
            fix = "install qemu-system-x86 of this machine's release, and look into libvirt.log"
            return [Problem("guests-impossible", str(error), fix)]
        except OSError as error:
            fix = "make room, and let the service's user write there"
            return [Problem("directory-unusable", f"{self._root} cannot be written: {error.strerror}", fix)]
        return []

    def _prove(self) -> None:
        with self._call("ask libvirt what guests it can run"):
            self._open().getDomainCapabilities(None, "x86_64", "q35", self._type, 0)
        proof = self._root / f"proof.{os.getpid()}.{threading.get_ident()}"
        try:
            proof.write_bytes(b"written")
        finally:
            proof.unlink(missing_ok=True)
        for log in (self._root / "console").glob("*.log"):
            consoles.trim(log)

    def host_info(self) -> HostInfo:
        """What this host is; the connector names what its client supports."""
        with self._call("ask libvirt about this host"):
            connection = self._open()
            model, _memory, vcpus = connection.getInfo()[:3]
            version = self._version(connection)
        return HostInfo(
            host=self.host,
            hypervisor_type="KVM" if self._type == "kvm" else "QEMU",
            hypervisor_version=version,
            vcpus=int(vcpus),
            memory_mib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (1 << 20),
            connector={
                "host": self.host,
                "initiator": libvirt_root.initiator(self._root),
                "ip": self._my_ip,
                "os_type": sys.platform,
                "platform": str(model) or platform.machine(),
                "multipath": False,
                "supported": {"driver_volume_types": sorted(SOURCES), "rbd_features": self._rbd_features},
            },
        )

    def _version(self, connection: Any) -> str:
        """QEMU's version. Embedded, the program is asked itself: libvirt would first probe every emulator (4 s)."""
        if self._uri is None:
            said = subprocess.run([QEMU, "--version"], capture_output=True, text=True, timeout=PROOF_SECONDS).stdout
            found = re.search(r"version (\d+(\.\d+)*)", said)
            return found[1] if found else "unknown"
        number = connection.getVersion()
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

    # -- guests -------------------------------------------------------------------------------------------------

    def define(self, guest: Guest) -> None:
        """Store the definition. Of a running guest only the same one again is accepted."""
        xml = domain_xml(guest, self._place(guest.server_id))
        with self._call(f"define the server {guest.server_id}", verb="define"):
            if not gone(self.state(guest.server_id)):
                stored = self._disks.stored(self._domain(guest.server_id))
                if not same_definition(stored, guest):
                    raise HypervisorError(
                        f"the server {guest.server_id} is running or suspended: it cannot be defined anew"
                    )
            else:
                self._open().defineXML(xml)

    def start_guest(self, server_id: str) -> None:
        """Start it. A guest that is paused stays paused: it is running for QEMU."""
        self._make("start_guest", f"start the server {server_id}", server_id, lambda domain: domain.create(), running)

    def stop_guest(self, server_id: str, graceful_seconds: float = 0.0) -> None:
        """Ask by ACPI, wait, then by force."""
        try:
            if self.state(server_id) is GuestState.SUSPENDED:
                return self._forget_memory(server_id)
            self._ask_to_shut_down(server_id, graceful_seconds)
            self._make("stop_guest", f"stop the server {server_id}", server_id, lambda domain: domain.destroy(), off)
        except GuestMissing:
            return

    def _ask_to_shut_down(self, server_id: str, seconds: float) -> None:
        """By its power button, more than once: a guest that is just booting hears nothing yet."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self.state(server_id) is GuestState.RUNNING:
            with contextlib.suppress(HypervisorError):  # then it is stopped by force
                self._make("shutdown", "ask the guest to shut down", server_id, lambda domain: domain.shutdown(), off)
            self._disks.wait(lambda: off(self.state(server_id)), min(left, ASK_AGAIN_SECONDS))

    def _forget_memory(self, server_id: str) -> None:
        """A suspended guest is off from now on."""
        self._make(
            "stop_guest", f"stop the server {server_id}", server_id, lambda domain: domain.managedSaveRemove(), gone
        )

    def undefine(self, server_id: str) -> None:
        """Stop it, forget it and what it printed."""
        self.stop_guest(server_id)
        with self._call(f"remove the server {server_id}", verb="undefine"):
            flags = (
                self._libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                | self._libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                | self._libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
                | self._libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
            )
            with contextlib.suppress(GuestMissing):  # already forgotten: its files may still be there
                self._domain(server_id).undefineFlags(flags)
            self._disks.forget(server_id)
            consoles.forget(self._console(server_id))
            self.command_socket(server_id).unlink(missing_ok=True)
            (self._root / "log" / "qemu" / f"{domain_name(server_id)}.log").unlink(missing_ok=True)

    def pause(self, server_id: str) -> None:
        """Halt its processors. Already paused is success; a guest that is off is an error."""
        self._make(
            "pause",
            f"pause the server {server_id}",
            server_id,
            lambda domain: domain.suspend(),
            lambda state: state is GuestState.PAUSED,
        )

    def resume(self, server_id: str) -> None:
        """Let it go on. Already running is success; a guest that is off is an error."""
        self._make(
            "resume",
            f"resume the server {server_id}",
            server_id,
            lambda domain: domain.resume(),
            lambda state: state is GuestState.RUNNING,
        )

    def suspend(self, server_id: str) -> None:
        """libvirt writes its memory to a file of its own; how long that takes depends on how much of it is used."""
        self._make(
            "suspend",
            f"suspend the server {server_id}",
            server_id,
            lambda domain: domain.managedSave(0),
            lambda state: state is GuestState.SUSPENDED,
            SAVE_SECONDS,
        )

    def reset(self, server_id: str) -> None:
        """Power off and on: afterwards it runs, whatever it was before."""
        if not running(self.state(server_id)):
            return self.start_guest(server_id)
        with self._call(f"reset the server {server_id}", verb="reset"):
            self._domain(server_id).reset(0)
        self.resume(server_id)

    def state(self, server_id: str) -> GuestState:
        """What libvirt says of it, ABSENT when it knows no such guest."""
        with self._call(f"ask for the state of the server {server_id}"):
            try:
                return self._state(self._domain(server_id))
            except GuestMissing:
                return GuestState.ABSENT

    def pause_reason(self, server_id: str) -> str | None:
        """libvirt's reason, in the contract's words."""
        with self._call(f"ask why the server {server_id} is paused"):
            try:
                state, reason = self._domain(server_id).state()
            except GuestMissing:
                return None
        if state == self._libvirt.VIR_DOMAIN_PMSUSPENDED:
            return "asleep"
        if state != self._libvirt.VIR_DOMAIN_PAUSED:
            return None
        known = {getattr(self._libvirt, f"VIR_DOMAIN_PAUSED_{name}"): word for name, word in PAUSE_REASONS.items()}
        return known.get(reason, f"libvirt's reason {reason}")

    def guests(self) -> dict[str, GuestState]:
        """Every domain whose name is one of ours."""
        with self._call("list the guests"):
            domains = [(domain.name(), domain) for domain in self._open().listAllDomains()]
            return {name.removeprefix(OURS): self._state(domain) for name, domain in domains if name.startswith(OURS)}

    # -- disks and console --------------------------------------------------------------------------------------

    def disks(self, server_id: str) -> list[ObservedDisk]:
        """The disks of both definitions. Raises GuestMissing."""
        return self._plugs.observe(server_id)

    def attach(self, server_id: str, disk: Disk, deadline: float = 20.0) -> ObservedDisk:
        """See `GuestDisks.attach`."""
        return self._plugs.attach(server_id, disk, deadline)

    def complete(self, server_id: str, disk: Disk, deadline: float = 20.0) -> ObservedDisk | None:
        """See `GuestDisks.complete`."""
        return self._plugs.complete(server_id, disk, deadline)

    def detach(self, server_id: str, serial: str, deadline: float = 20.0) -> None:
        """See `GuestDisks.detach`."""
        self._plugs.detach(server_id, serial, deadline)

    def disk_grew(self, server_id: str, serial: str, size_bytes: int) -> None:
        """See `GuestDisks.grew`."""
        self._plugs.grew(server_id, serial, size_bytes)

    def console_log(self, server_id: str, lines: int | None = None) -> str:
        """The end of the serial console's log."""
        return consoles.tail(self._console(server_id), lines)

    def command_socket(self, server_id: str) -> Path:
        """Where a test guest takes commands, when guests are defined with a command channel."""
        return self._short / "command" / f"{server_id}.sock"

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _libvirt(self) -> Any:
        return self._opened().libvirt

    @property
    def _plugs(self) -> GuestDisks:
        """The disks of guests, once the connection may be used. Raises HypervisorDown."""
        self._opened()
        return self._disks

    def _opened(self) -> LibvirtConnection:
        if self._connection is None:
            raise HypervisorDown("the hypervisor is not started")
        return self._connection

    def _open(self) -> Any:
        return self._opened().open()

    def _domain(self, server_id: str) -> Any:
        return self._opened().domain(server_id)

    def _call(self, what: str, verb: str | None = None) -> AbstractContextManager[None]:
        return self._opened().call(what, verb=verb)

    def _place(self, server_id: str) -> Place:
        command = self.command_socket(server_id) if self._command_channel else None
        return Place(type=self._type, console=self._console(server_id), command=command)

    def _console(self, server_id: str) -> Path:
        return self._root / "console" / f"{server_id}.log"

    def _state(self, domain: Any) -> GuestState:
        libvirt = self._libvirt
        state, reason = domain.state()
        if state == libvirt.VIR_DOMAIN_CRASHED:
            return GuestState.CRASHED
        if state == libvirt.VIR_DOMAIN_SHUTOFF:
            if domain.hasManagedSaveImage(0):
                return GuestState.SUSPENDED
            return GuestState.CRASHED if reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED else GuestState.SHUTOFF
        if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED):
            return GuestState.PAUSED
        return GuestState.RUNNING

    def _make(
        self,
        verb: str,
        what: str,
        server_id: str,
        act: Callable[[Any], object],
        reached: Callable[[GuestState], bool],
        seconds: float = CALL_SECONDS,
    ) -> None:
        """Do it unless the guest is there already; libvirt's refusal counts only if it still is not there then."""
        with self._opened().call(what, seconds, verb):
            domain = self._domain(server_id)
            if reached(self._state(domain)):
                return
            try:
                act(domain)
            except self._libvirt.libvirtError as error:
                refused = error.get_error_code() == self._libvirt.VIR_ERR_OPERATION_INVALID
                if not (refused and reached(self._state(domain))):
                    raise


def calm(libvirt: Any, domain: Any) -> bool:
    """Whether the thread that takes a running guest up again is done with it, or the guest is off."""
    try:
        return not domain.isActive() or domain.controlInfo()[0] == libvirt.VIR_DOMAIN_CONTROL_OK
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            return True  # it went off while we looked
        raise


def kvm_works() -> bool:
    """Whether a machine really starts under KVM, found by starting an empty one (40 ms): /dev/kvm may be there with
    nothing or with an incomplete KVM behind it, as in some nested machines."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = f"{QEMU} -machine q35,accel=kvm -cpu max -m 16 -nodefaults -no-user-config -display none -S -qmp stdio"
    quit_at_once = b'{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'
    try:
        ended = subprocess.run(command.split(), input=quit_at_once, capture_output=True, timeout=PROOF_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0


def running(state: GuestState) -> bool:
    """QEMU runs, be it paused."""
    return state in (GuestState.RUNNING, GuestState.PAUSED)


def off(state: GuestState) -> bool:
    """QEMU does not run."""
    return not running(state)


def gone(state: GuestState) -> bool:
    """QEMU does not run, and nothing of the guest's memory is kept."""
    return off(state) and state is not GuestState.SUSPENDED


def same_definition(stored: Definition, guest: Guest) -> bool:
    """Whether the stored definition is this guest's as far as we look at it."""
    return (
        stored.memory_mib == guest.memory_mib
        and stored.vcpus == guest.vcpus
        and set(stored.disks) == {disk.serial for disk in guest.disks}
    )
