"""What is measured in a round, in this order; each case notes its measurements in the ledger.

The cloud has the settings that `pumice serve` has by itself (access log, health reports, reconciler and all).
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.client import SECONDS, Api, Events, now
from tests.bench.ledger import Ledger
from tests.bench.load import measure, post
from tests.bench.rest import at_rest, family, pss_mb
from tests.demo.cloud import Cloud
from tests.drivers.time_pool import DATA, durations
from tests.lab.guest import guest_image
from tests.support.waiting import wait_until

MB = 1_000_000
CONNECTIONS = 16
REST_SECONDS = 30.0
LOAD_SECONDS = 5.0
SETTLE_SECONDS = 3.0
VOLUMES = 20
ATTACHMENTS = 10
COPIES = 5
BURST = 160
LISTS = (100, 1000)


@contextmanager
def temporary_cloud(directory: Path | None = None) -> Iterator[Cloud]:
    """A cloud that is not started, with the default settings; ended at the end."""
    with tempfile.TemporaryDirectory(prefix="pumice-bench-", dir=directory) as path:
        cloud = Cloud(Path(path), settings={})
        try:
            yield cloud
        finally:
            cloud.close()


class Bench:
    """One running cloud with a volume of 1.5 GB and a booted guest, and what is asked of it round after round."""

    def __init__(self, cloud: Cloud, ledger: Ledger) -> None:
        self.cloud, self.ledger = cloud, ledger
        cloud.start()
        self.events = Events(cloud.state / "pumice.db")
        self.api = Api(cloud.user("demo"))
        self._unlimited()
        self.volume_id = self.volume()
        self.attached = self.volume()
        self.source = self.volume(size=2)
        self._fill(self.source)
        self.server = ""

    def close(self) -> None:
        self.api.close()
        self.events.close()

    # -- what the cases stand on

    def _unlimited(self) -> None:
        """No quota ends a measurement."""
        admin = Api(self.cloud.user("admin"))
        limits = {"volumes": -1, "snapshots": -1, "gigabytes": -1}
        admin.call("PUT", "block-storage", f"/os-quota-sets/{self.api.project_id}", {"quota_set": limits})
        admin.close()

    def volume(self, **wish: object) -> str:
        """A new volume's id, once it is available."""
        made = self.api.call("POST", "block-storage", "/volumes", {"volume": {"size": 1, **wish}})["volume"]["id"]
        self.events.wait(made, "volume.create.end")
        return str(made)

    def delete(self, volume_id: str) -> None:
        self.api.call("DELETE", "block-storage", f"/volumes/{volume_id}")
        self.events.wait(volume_id, "volume.delete.end")

    def _fill(self, volume_id: str) -> None:
        """1.5 GB that no file system can keep small."""
        part = os.urandom(MB)
        with self.cloud.volume_file(volume_id).open("r+b") as file:
            for _ in range(DATA // MB):
                file.write(part)
            os.fsync(file.fileno())

    def boot(self) -> None:
        """The lab's guest, as a server of the demo user."""
        lab = guest_image()
        ids = {}
        for kind, data in (("aki", lab.kernel.read_bytes()), ("ari", lab.ramdisk.read_bytes())):
            ids[kind] = self._image(data, disk_format=kind, container_format=kind)
        root = self._image(
            bytes(1 << 20), disk_format="raw", container_format="bare", kernel_id=ids["aki"], ramdisk_id=ids["ari"]
        )
        flavors = self.api.call("GET", "compute", "/flavors")["flavors"]
        flavor = next(one["id"] for one in flavors if one["name"] == "m1.tiny")
        wish = {"name": "bench", "imageRef": root, "flavorRef": flavor, "networks": "none"}
        self.server = self.api.call("POST", "compute", "/servers", {"server": wish})["server"]["id"]
        self._console(0, "GUEST-UP")
        time.sleep(SETTLE_SECONDS)

    def _image(self, data: bytes, **wish: object) -> str:
        made = self.api.call("POST", "image", "/v2/images", {"name": "bench", **wish})["id"]
        self.api.upload(f"/v2/images/{made}/file", data)
        return str(made)

    def _console(self, offset: int, words: str) -> float:
        """When these words stood in the guest's console log behind the offset, to a millisecond."""
        log = self.cloud.hypervisor / "console" / f"{self.server}.log"
        end = time.monotonic() + SECONDS
        seen = offset
        while time.monotonic() < end:
            size = log.stat().st_size if log.exists() else 0
            if size > seen:
                seen = size
                if words.encode() in log.read_bytes()[offset:]:
                    return now()
            time.sleep(0.001)
        raise AssertionError(f"{words!r} is not in the guest's console within {SECONDS:g} s")

    def _console_size(self) -> int:
        return (self.cloud.hypervisor / "console" / f"{self.server}.log").stat().st_size

    # -- the cases

    def start_again(self) -> None:
        self.cloud.stop()
        begin = time.monotonic()
        self.cloud.launch()
        wait_until(self.cloud.healthy, SECONDS, "/healthz answers 200")
        self.ledger.note("/healthz after `pumice serve`, existing state", "s", time.monotonic() - begin, goal=2)
        wait_until(self.cloud.reported, SECONDS, "the agent reports")
        self.api.close()
        self.api = Api(self.cloud.user("demo"))

    def rest(self) -> None:
        time.sleep(SETTLE_SECONDS)
        memory, processor = at_rest(self.cloud.pid, REST_SECONDS)
        self.ledger.note("all processes at rest, sum of PSS", "MB", memory, goal=250)
        self.ledger.note("all processes at rest, processor", "% of a core", processor, goal=2)

    def get(self) -> None:
        url = f"{self.api.urls['block-storage']}/volumes/{self.volume_id}"
        measure(url, self.api.token, CONNECTIONS, 1)
        found = measure(url, self.api.token, CONNECTIONS, LOAD_SECONDS)
        name = f"GET a volume, {CONNECTIONS} connections"
        self.ledger.note(name, "1/s", found["requests_per_second"], goal=2000, at_least=True)
        self.ledger.note(f"{name}: median of a run", "ms", found["p50_ms"])
        self.ledger.note(f"{name}: p99 of a run", "ms", found["p99_ms"])

    def create(self) -> None:
        made = []
        for _ in range(VOLUMES):
            start = now()
            answer = self.api.call("POST", "block-storage", "/volumes", {"volume": {"size": 1}})["volume"]
            answered = now()
            there = self.events.wait(answer["id"], "volume.create.end")
            made.append(answer["id"])
            self.ledger.note("POST a volume, to its create.end", "ms", 1000 * (there - start), goal=30)
            self.ledger.note("POST a volume, to its answer", "ms", 1000 * (answered - start))
        for volume_id in made:
            self.delete(volume_id)

    def attach(self) -> None:
        volume_id = self.attached
        path = f"/servers/{self.server}/os-volume_attachments"
        for _ in range(ATTACHMENTS):
            offset, start = self._console_size(), now()
            self.api.call("POST", "compute", path, {"volumeAttachment": {"volumeId": volume_id}})
            seen = self._console(offset, f"serial={volume_id}")
            self.ledger.note("attach, call to seen in the guest", "ms", 1000 * (seen - start), goal=250)
            self._until(volume_id, "in-use")
            offset, start = self._console_size(), now()
            self.api.call("DELETE", "compute", f"{path}/{volume_id}")
            gone = self._console(offset, "BLOCK remove")
            self.ledger.note("detach, call to gone in the guest", "ms", 1000 * (gone - start), goal=250)
            self._until(volume_id, "available")
            self.ledger.note("detach, call to available", "ms", 1000 * (now() - start))

    def _until(self, volume_id: str, status: str) -> None:
        def reached() -> bool:
            found = self.api.call("GET", "block-storage", f"/volumes/{volume_id}")["volume"]
            return bool(found["status"] == status)

        wait_until(reached, SECONDS, f"volume {volume_id} is {status}")

    def copy(self) -> None:
        for _ in range(COPIES):
            start = now()
            wish = {"snapshot": {"volume_id": self.source}}
            made = self.api.call("POST", "block-storage", "/snapshots", wish)["snapshot"]["id"]
            there = self.events.wait(made, "snapshot.create.end")
            self.ledger.note("snapshot of 1.5 GB, to its create.end", "ms", 1000 * (there - start), goal=100)
            self.api.call("DELETE", "block-storage", f"/snapshots/{made}")
            self.events.wait(made, "snapshot.delete.end")
            start = now()
            copy = {"volume": {"source_volid": self.source, "size": 2}}
            made = self.api.call("POST", "block-storage", "/volumes", copy)["volume"]["id"]
            there = self.events.wait(made, "volume.create.end")
            self.ledger.note("clone of 1.5 GB, to its create.end", "ms", 1000 * (there - start), goal=100)
            self.delete(made)

    def burst(self) -> None:
        """Many volumes at once; the first round makes as many as the longest list has."""
        body = b'{"volume": {"size": 1}}'
        url = f"{self.api.urls['block-storage']}/volumes"
        missing = max(LISTS) - self.events.count("volume.create.end", 0)
        if missing > 0:
            self.events.wait_count("volume.create.end", post(url, self.api.token, body, CONNECTIONS, missing), missing)
        begin = post(url, self.api.token, body, CONNECTIONS, BURST)
        seconds = self.events.wait_count("volume.create.end", begin, BURST) - begin
        self.ledger.note(f"POST volumes to available, {CONNECTIONS} connections", "1/s", BURST / seconds, at_least=True)

        self._forget_latest(BURST)

    def _forget_latest(self, count: int) -> None:
        """A pool promises only so many times its space."""
        path = f"/volumes?limit={count}&sort=created_at:desc"
        latest = [one["id"] for one in self.api.call("GET", "block-storage", path)["volumes"]]
        for volume_id in latest:
            self.api.call("DELETE", "block-storage", f"/volumes/{volume_id}")
        for volume_id in latest:
            self.events.wait(volume_id, "volume.delete.end")

    def details(self) -> None:
        for count in LISTS:
            url = f"{self.api.urls['block-storage']}/volumes/detail?limit={count}"
            found = measure(url, self.api.token, CONNECTIONS, LOAD_SECONDS)
            name = f"GET details of {count} volumes, {CONNECTIONS} connections"
            self.ledger.note(name, "1/s", found["requests_per_second"], at_least=True)

    def memory(self) -> None:
        """After all that."""
        time.sleep(SETTLE_SECONDS)
        self.ledger.note("all processes after the round's load, sum of PSS", "MB", pss_mb(family(self.cloud.pid)))


def start_new(ledger: Ledger, directory: Path | None) -> None:
    """An empty state directory."""
    with temporary_cloud(directory) as cloud:
        begin = time.monotonic()
        cloud.launch()
        wait_until(cloud.healthy, SECONDS, "/healthz answers 200")
        ledger.note("/healthz after `pumice serve`, new state", "s", time.monotonic() - begin, goal=5)
        wait_until(cloud.reported, SECONDS, "the agent reports")


def driver(ledger: Ledger, directory: Path | None) -> None:
    """The file driver alone."""
    with tempfile.TemporaryDirectory(prefix="pumice-pool-", dir=directory) as path:
        for name, times in durations(Path(path)):
            if name in ("snapshot", "clone"):
                ledger.note(f"{name} of 1.5 GB, the driver alone", "ms", *times, goal=100)
