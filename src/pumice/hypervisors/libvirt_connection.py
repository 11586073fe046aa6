"""One connection to libvirt: opened, watched, reopened; its errors in our words; its calls under a watch.

    connection = LibvirtConnection("qemu:///embed?root=...", log)
    connection.open()
    with connection.call("attach a disk", seconds=50):    # libvirt's errors become HypervisorError and its kinds
        connection.domain(server_id).attachDeviceFlags(...)
    connection.stuck_since()                              # a call is past its time: replace this process

A call into libvirt cannot be interrupted, so nothing here tries: it is only seen by whoever watches the process.
Called by `libvirt.py`. The binding is imported on first use: hosts without guests need not have it.
"""

import importlib
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import quote

from pumice import faults
from pumice.hypervisors.contract import GuestMissing, HypervisorDown, HypervisorError
from pumice.hypervisors.domain_xml import domain_name

CALL_SECONDS = 60.0
"""How long a call may take that has no deadline of its own: libvirt itself waits 30 s for another call's end."""
EMBED = "qemu:///embed?root="
QUIET = threading.Lock()
LOADED: list[ModuleType] = []
EMBEDDED: dict[str, Any] = {}
"""The one connection to each embedded driver, kept until the process ends: every open registers the driver again
(after a few dozen libvirt says "Too many drivers"). A process can open one root in its life."""


class Listener(Protocol):
    """Who is told of libvirt's events, in libvirt's own thread."""

    def changed(self) -> None:
        """Some guest's state or disks changed."""

    def removal_refused(self, server_id: str, alias: str) -> None:
        """The guest said that it keeps this device."""


LISTENERS: set[Listener] = set()


def tell_changed(*_event: object) -> None:
    """libvirt's callback for everything that may end a wait."""
    for listener in list(LISTENERS):
        listener.changed()


def tell_refused(_connection: object, domain: Any, alias: str, _opaque: object) -> None:
    """libvirt's callback for a device that a guest keeps."""
    for listener in list(LISTENERS):
        listener.removal_refused(domain.UUIDString(), alias)


def listen(libvirt: ModuleType, connection: Any) -> None:
    """Register for events, once for each connection: libvirt takes the same callback only once."""
    for event, callback in (
        (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, tell_changed),
        (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, tell_changed),
        (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, tell_refused),
    ):
        connection.domainEventRegisterAny(None, event, callback, None)


def load_libvirt(log: Path | None = None) -> ModuleType:
    """The binding, with its event loop running in a thread; libvirt's own messages go to `log`.
    Raises HypervisorDown when it is not installed."""
    with QUIET:
        if LOADED:
            return LOADED[0]
        if log is not None:
            # Read by libvirt once, when the binding is imported; else its warnings land on our standard error.
            os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", f"3:file:{log}")
        try:
            libvirt = importlib.import_module("libvirt")
        except ImportError as error:
            raise HypervisorDown("the Python module libvirt is not installed (Debian: python3-libvirt)") from error
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=run_events, args=(libvirt,), name="libvirt-events", daemon=True).start()
        LOADED.append(libvirt)
        return libvirt


def run_events(libvirt: ModuleType) -> None:
    """libvirt's event loop: one for the process, for as long as it lives."""
    while True:
        libvirt.virEventRunDefaultImpl()


def embedded_uri(root: Path) -> str:
    """The URI of libvirt's QEMU driver inside this process."""
    return f"{EMBED}{quote(str(root))}"


def sentence(error: Exception) -> str:
    """libvirt's message in one line without QEMU's time stamps, at most 600 characters."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ", "", str(error))
    return " ".join(text.split())[:600]


class LibvirtConnection:
    """See the top of this file. Every method may be called from any thread."""

    def __init__(self, uri: str, log: Path | None, listener: Listener) -> None:
        """The listener is told of events while this is open."""
        self.uri = uri
        self._log = log
        self._listener = listener
        self._lock = threading.Lock()
        self._connection: Any = None
        self._running: dict[object, float] = {}

    @property
    def libvirt(self) -> Any:
        """The binding."""
        return load_libvirt(self._log)

    def open(self) -> Any:
        """The connection, opened anew when it is closed or broken. Raises HypervisorDown."""
        libvirt = self.libvirt
        with self._lock, self.watched(CALL_SECONDS):
            if self._connection is not None and self._connection.isAlive():
                return self._connection
            try:
                fresh = EMBEDDED.get(self.uri)
                if fresh is None:
                    fresh = libvirt.open(self.uri)
                    listen(libvirt, fresh)
                    if self.uri.startswith(EMBED):
                        EMBEDDED[self.uri] = fresh
            except libvirt.libvirtError as error:
                raise HypervisorDown(f"libvirt does not answer at {self.uri}: {sentence(error)}") from error
            LISTENERS.add(self._listener)
            self._connection = fresh
            return fresh

    def close(self) -> None:
        """Close it; guests go on. An embedded driver stays ours until the process ends."""
        with self._lock:
            old, self._connection = self._connection, None
        LISTENERS.discard(self._listener)
        if old is not None and not self.uri.startswith(EMBED):
            with self.call("close the connection"):
                old.close()

    def domain(self, server_id: str) -> Any:
        """libvirt's handle of our guest; to be called inside `call`. Raises GuestMissing, HypervisorDown."""
        connection = self.open()
        try:
            return connection.lookupByName(domain_name(server_id))
        except self.libvirt.libvirtError as error:
            if error.get_error_code() == self.libvirt.VIR_ERR_NO_DOMAIN:
                raise GuestMissing(f"the server {server_id} has no guest on this host") from error
            raise

    @contextmanager
    def call(self, what: str, seconds: float = CALL_SECONDS, verb: str | None = None) -> Iterator[None]:
        """Watch the calls inside, and turn libvirt's errors into ours: `what` completes "could not ...".
        With a `verb` there are fault points around them: hypervisor.VERB:before and hypervisor.VERB:done."""
        libvirt = self.libvirt
        try:
            with self.watched(seconds):
                if verb:
                    faults.point(f"hypervisor.{verb}:before")
                yield
                if verb:
                    faults.point(f"hypervisor.{verb}:done")
        except libvirt.libvirtError as error:
            raise self._translated(what, error) from error
        except OSError as error:
            raise HypervisorError(f"could not {what}: {error}") from error

    @contextmanager
    def watched(self, seconds: float) -> Iterator[None]:
        """Until it ends, what is inside counts as stuck once `seconds` have passed."""
        key = object()
        self._running[key] = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._running[key]

    def stuck_since(self) -> float | None:
        """When (time.monotonic) the oldest call that is past its time was due; None when no call is."""
        due = min(list(self._running.values()), default=None)
        return due if due is not None and due <= time.monotonic() else None

    def _translated(self, what: str, error: Any) -> HypervisorError:
        libvirt, code = self.libvirt, error.get_error_code()
        message = f"could not {what}: {sentence(error)}"
        if code == libvirt.VIR_ERR_NO_DOMAIN:
            return GuestMissing(message)
        broken = self._connection is None or not self._connection.isAlive()
        if broken or code in (libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_OPERATION_TIMEOUT):
            return HypervisorDown(message)
        return HypervisorError(message)
