"""What systemd does with `deploy/systemd/pumice.service`, without systemd: the same way to start, to watch and to end.

unit = Unit.read()
cloud = UnitCloud(directory, unit)      started with the unit's capabilities, limits and sockets
cloud.start(); cloud.notes()            what it told the service manager so far
cloud.stop()                            SIGTERM to the main process only: KillMode=process
"""

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path

from tests.demo.cloud import QUIET, Cloud
from tests.demo.shell import OURS
from tests.support.processes import Process
from tests.support.waiting import wait_until

FILE = Path(__file__).parents[2] / "deploy" / "systemd" / "pumice.service"


class Unit:
    """The lines of a unit file; a name that stands several times has all its words."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        for line in text.splitlines():
            if "=" in line and not line.startswith(("#", ";")):
                name, _, value = line.partition("=")
                self._values.setdefault(name, []).append(value)

    @classmethod
    def read(cls) -> "Unit":
        return cls(FILE.read_text())

    @property
    def names(self) -> set[str]:
        return set(self._values)

    def __getitem__(self, name: str) -> str:
        return " ".join(self._values[name])

    @property
    def confined(self) -> list[str]:
        """The words before the command that give it the unit's privileges and no more."""
        capabilities = [word.removeprefix("CAP_").lower() for word in self["CapabilityBoundingSet"].split()]
        bounding = ",".join(["-all", *(f"+{name}" for name in capabilities)])
        return ["setpriv", "--no-new-privs", f"--bounding-set={bounding}", "--"]


class UnitCloud(Cloud):
    """A cloud that runs as the unit."""

    def __init__(self, directory: Path, unit: Unit) -> None:
        super().__init__(directory, dict(QUIET))
        self.unit = unit
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(directory / "notify"))
        self._manager.settimeout(0.1)
        self._notes: list[str] = []
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def launch(self) -> Process:
        """As ExecStart, with what systemd gives it."""
        self._starts += 1
        self._notes.clear()
        self.log = self.directory / f"serve-{self._starts}.log"
        command = [*self.unit.confined, OURS / "pumice", "serve", "--state", self.state]
        watchdog = {"NOTIFY_SOCKET": str(self.directory / "notify"), "WATCHDOG_USEC": "3000000"}
        environment = {**self.settings, **watchdog, "PUMICE_BIND": f"127.0.0.1:{self.port}"}
        self._process = Process([str(word) for word in command], self.log, environment=environment)
        return self._process

    def notes(self) -> list[str]:
        """Everything that was told since the last start."""
        return list(self._notes)

    def _read(self) -> None:
        """As systemd does: somebody listens always."""
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                self._notes += self._manager.recv(65536).decode().split("\n")

    def stop(self) -> None:
        """SIGTERM to the main process, and to nobody else."""
        self.end_main(signal.SIGTERM)

    def end_main(self, number: signal.Signals) -> int | None:
        """End the main process by a signal; its status. Its children end by themselves, guests do not."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        children = _children(process.pid)
        process.send(number)
        status = process.wait(60)
        wait_until(lambda: not any(_lives(pid) for pid in children), 20, "no process of the cloud is left")
        return status

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._closing.set()
            self._reader.join()
            self._manager.close()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(os.fsdecode(word).partition("=")[::2] for word in words if word)
