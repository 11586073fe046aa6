"""What systemd is told: ready, alive, ending. Datagrams to the socket that it names; without one nothing is sent.

    manager = ServiceManager.from_environment()
    manager.ready("serves at https://cloud.example")
    manager.alive()                                     as often as `alive_period`, from the loop whose life matters

The variables are taken out of the environment: a guest or a helper program must not speak in our name.
"""

import os
import socket
import threading
import time
from collections.abc import MutableMapping

_TRIES, _PAUSE = 10, 0.02
_SOCKET, _WATCHDOG, _WATCHDOG_PROCESS = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"


class ServiceManager:
    """The service's end of the protocol of sd_notify(3)."""

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._period = watchdog_seconds / 3
        self._alive_at = 0.0

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "ServiceManager":
        address = environment.pop(_SOCKET, "")
        period, process = environment.pop(_WATCHDOG, "0"), environment.pop(_WATCHDOG_PROCESS, "")
        watched = period.isdigit() and process in ("", str(os.getpid()))
        return cls(address, int(period) / 1e6 if watched else 0.0)

    def ready(self, status: str) -> None:
        """Requests are served. status: one line for `systemctl status`."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")

    def status(self, text: str) -> None:
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Keep the watchdog quiet; call it as often as you like."""
        now = time.monotonic()
        if self._period and now - self._alive_at >= self._period:
            self._alive_at = now
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=finishing what is under way")

    def _send(self, text: str) -> None:
        """A service manager that is away, or does not listen, is no reason to fail or to wait."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            for _ in range(_TRIES):
                try:
                    sender.sendto(text.encode(), self._address)
                    return
                except BlockingIOError:  # its queue is full
                    threading.Event().wait(_PAUSE)
                except OSError:
                    return
