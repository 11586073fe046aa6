"""One running Pumice with a state directory of its own, and what lies beneath it.

    cloud = Cloud(directory); cloud.start(); ...; cloud.close()

`close` ends the processes and the guests, unmounts the pool and leaves nothing but the directory. What lies beneath
is looked at without Pumice: libvirt's XML files, the records of exports, the files of the pool, the rows.
"""

import os
import re
import signal
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import httpx

from pumice.storage import xfs_pool
from pumice.storage.contract import BackendDown
from tests.demo.shell import OURS, variables
from tests.lab.guest import end_guests, guest_pid
from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.waiting import wait_until

START_SECONDS = 60
QUIET = {
    "PUMICE_HYPERVISOR_COMMAND_CHANNEL": "true",
    "PUMICE_RECONCILE_PERIOD": "3600",
    "PUMICE_ACCESS_LOG": "false",
}
"""Settings of a cloud that is looked at closely: nothing is mended behind the story's back."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Cloud:
    """`pumice serve` on a free port of loopback. Restarted with `stop` and `start` it keeps its state.

    `others`: names of backends beside the usual one, with small pools: chosen only when they are asked for."""

    def __init__(self, directory: Path, settings: Mapping[str, str] = QUIET, *, others: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.settings = settings
        self.others = others
        self.state = directory / "state"
        self.hypervisor = self.state / "hypervisor"
        self.pool = self.pool_of("file")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "serve.log"
        self._process: Process | None = None
        self._starts = 0
        self._started = 0.0

    def start(self) -> None:
        """Start it and wait until it answers. Raises AssertionError, with its output, when it does not."""
        self.launch()
        wait_until(self.healthy, START_SECONDS, f"{self.url}/healthz answers 200")
        wait_until(self.reported, START_SECONDS, "the agent reports its pool and its hypervisor")

    def launch(self) -> Process:
        """Start it without waiting."""
        if self.others:
            tables = (f'name = "{name}"\npath = "pool-{name}"\npool_size_gib = 20\n' for name in self.others)
            self.state.mkdir(mode=0o700, exist_ok=True)
            (self.state / "pumice.toml").write_text("[[backends]]\n".join(("", 'name = "file"\n', *tables)))
        self._starts += 1
        self._started = time.time()
        self.log = self.directory / f"serve-{self._starts}.log"
        command = [OURS / "pumice", "serve", "--state", self.state, "--bind", f"127.0.0.1:{self.port}"]
        self._process = Process([str(word) for word in command], self.log, environment=self.settings)
        return self._process

    @property
    def pid(self) -> int:
        """Of `pumice serve` itself."""
        assert self._process is not None
        return self._process.pid

    def healthy(self) -> bool:
        """Can requests be served? Raises AssertionError once the process has ended."""
        assert self._process is not None
        assert self._process.running, f"pumice serve has ended:\n{self._process.output[-4000:]}"
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def reported(self) -> bool:
        """Has the agent that runs now said that its pool and its hypervisor work?"""
        since = int(self._started * 1e6)
        with self.database() as database:
            found = database.execute("SELECT problems FROM services WHERE reported_at > ?", (since,)).fetchall()
        return len(found) >= 3 + len(self.others) and all(row["problems"] == "[]" for row in found)

    def stop(self) -> None:
        """End `pumice serve` as an operator does; guests live on."""
        if self._process is not None:
            self._process.end(30)
            self._process = None

    def close(self) -> None:
        """End everything, the guests too, and unmount the pool."""
        self.stop()
        end_guests(self.hypervisor)
        for image in (self.state / "backends").glob("*/pool.xfs"):
            wait_until(partial(self._unmounted, image), 20, f"the pool of {image.parent.name} is unmounted")
        note = self.hypervisor / "short_name"
        if note.exists():
            Path(note.read_text()).unlink(missing_ok=True)

    def _unmounted(self, image: Path) -> bool:
        """A guest that was killed may need a moment to let go of the pool's files."""
        try:
            xfs_pool.unmount(str(image), str(self.pool_of(image.parent.name)))
        except BackendDown:
            return False
        return True

    def user(self, name: str) -> dict[str, str]:
        """The OS_* variables of `admin` or `demo`."""
        return variables(self.state / "clouds.yaml", name)

    # -- its processes

    def process(self, name: str) -> int | None:
        """The pid of the child `api` or `agent`; None while there is none."""
        assert self._process is not None
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = int(re.search(r"^PPid:\s+(\d+)", (entry / "status").read_text(), re.MULTILINE)[1])  # type: ignore[index]
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, TypeError):
                continue
            if parent == self._process.pid and name.encode() in words:
                return int(entry.name)
        return None

    def wait_for_process(self, name: str) -> int:
        """The pid of that child, once there is one."""
        return int(wait_until(lambda: self.process(name), 30, f"a process {name}") or 0)

    def kill(self, name: str) -> int:
        """kill -9 of that child; its pid."""
        pid = self.wait_for_process(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def guest_process(self, server_id: str) -> int | None:
        """The QEMU process of a server."""
        return guest_pid(self.hypervisor, server_id)

    # -- beneath

    def disks(self) -> dict[str, set[str]]:
        """By server id: the serials (volume ids) in libvirt's own files, stored and live definitions together."""
        found: dict[str, set[str]] = {}
        for folder in ("etc", "run"):
            for path in (self.hypervisor / folder / "qemu").glob("pumice-*.xml"):
                tree = ElementTree.parse(path)
                serials = {element.text or "" for element in tree.iterfind(".//disk/serial")}
                found.setdefault(path.stem.removeprefix("pumice-"), set()).update(serials)
        return found

    def attached(self) -> set[str]:
        """Ids of the volumes that are a disk of any guest."""
        serials = set[str]().union(*self.disks().values())
        return {serial for serial in serials if not serial.endswith("-root")}

    def exports(self) -> set[str]:
        """Names of the records of exports."""
        return {path.name for path in (self.state / "backends").glob("*/exports/*")}

    def pool_files(self) -> set[str]:
        """Ids of the volumes whose files are in the pool; anything else in that folder by its name."""
        names = [path.name for path in (self.pool / "volumes").iterdir()]
        return {match[0] if (match := _UUID.search(name)) and name.startswith("volume-") else name for name in names}

    def snapshot_file(self, snapshot_id: str) -> Path:
        return self.pool / "snapshots" / f"snapshot-{snapshot_id}.raw"

    def volume_file(self, volume_id: str, backend: str = "file") -> Path:
        return self.pool_of(backend) / "volumes" / f"volume-{volume_id}.raw"

    def pool_of(self, backend: str) -> Path:
        """The directory where its pool is."""
        return self.state / ("pool" if backend == "file" else f"pool-{backend}")

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """The database's file, opened by hand: what operators did with SQL. Commits at the end."""
        with closing(sqlite3.connect(self.state / "pumice.db", timeout=20)) as connection:
            connection.row_factory = sqlite3.Row
            with connection:
                yield connection
