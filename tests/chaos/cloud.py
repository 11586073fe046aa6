"""The cloud that is tormented: `pumice serve` with the file driver, the hypervisor in memory, and fault points armed.

It is looked at from beneath, without Pumice's own code: the rows, the pool's files, the exports' records, the
hypervisor's file. `tests.demo.cloud.Cloud` starts and kills its processes.
"""

import json
import random
from pathlib import Path
from typing import Any

import httpx

from tests.demo.cloud import Cloud
from tests.support.waiting import wait_until

SETTINGS = {
    "PUMICE_HYPERVISOR_DRIVER": "memory",
    "PUMICE_BACKENDS": json.dumps([{"name": "file", "mount": "never", "pool_size_gib": 1000}]),
    "PUMICE_ACCESS_LOG": "false",
    "PUMICE_RECONCILE_PERIOD": "3600",
    "PUMICE_LEASE": "5",
}
POINTS = (
    "operation:*",
    "operation:*/allocate:*",
    "operation:*/fill:*",
    "operation:*/export:*",
    "operation:*/plug:*",
    "operation:*/finish:*",
    "file.*:made",
    "file.*:opened",
    "file.*:published",
    "file.copy:chunk",
    "durable.write_file:made",
    "local.connect:*",
    "local.disconnect:*",
    "hypervisor.*:before",
    "hypervisor.*:done",
)
"""Where a process kills itself, as globs over the names of fault points."""
MAY_FAIL = ("file.", "durable.", "local.")
"""Where the disk may also answer with an error instead."""


class ChaosCloud(Cloud):
    """See the head of this file. Every start arms other fault points."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.chance = chance
        self._armed = 0
        super().__init__(directory, SETTINGS)

    def arm(self, faults: int) -> None:
        """At the next start, so many points kill the process that passes them, or fail, once each."""
        planned = []
        for _ in range(faults):
            self._armed += 1
            marker = self.directory / f"fault-{self._armed}"
            point = self.chance.choice(POINTS)
            action = "fail" if point.startswith(MAY_FAIL) and self.chance.random() < 0.4 else "kill"
            error = self.chance.choice(("EIO", "ENOSPC"))
            nth = self.chance.randint(1, 6)
            planned.append({"point": point, "action": action, "error": error, "nth": nth, "once": str(marker)})
        self.settings = {**SETTINGS, **({"PUMICE_FAULTS": json.dumps(planned)} if planned else {})}

    def fired(self) -> int:
        """How many of the armed faults have struck."""
        return len(list(self.directory.glob("fault-*")))

    def kill_all(self) -> None:
        """kill -9 of the supervisor; the kernel ends its children."""
        if self._process is not None:
            self._process.kill()
            self._process.end()
            self._process = None

    def agent_works_since(self, moment: float) -> bool:
        """Has an agent opened its session after that moment (seconds since the epoch)?"""
        with self.database() as database:
            statement = "SELECT 1 FROM worker_sessions WHERE started_at > ? AND ended_at IS NULL"
            return database.execute(statement, (int(moment * 1e6),)).fetchone() is not None

    # -- beneath

    def rows(self, statement: str) -> list[dict[str, Any]]:
        with self.database() as database:
            return [dict(row) for row in database.execute(statement)]

    def live_operations(self) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT id, kind, state, position, attempts, last_error FROM operations WHERE finished_at IS NULL"
        )

    def wait_settled(self, seconds: float) -> None:
        """Until every operation has ended. Raises AssertionError naming those that have not."""

        def ended() -> bool:
            return not self.live_operations()

        try:
            wait_until(ended, seconds, "every operation has ended")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.live_operations()}") from None

    def pool_contents(self, kind: str) -> set[str]:
        """Ids of the pool's "volume"s or "snapshot"s; whatever else lies there by its file's name."""
        names = [path.name for path in (self.pool / f"{kind}s").iterdir()]
        return {
            name.removeprefix(f"{kind}-").removesuffix(".raw") if name.startswith(f"{kind}-") else name
            for name in names
        }

    def guests(self) -> dict[str, set[str]]:
        """By server id: the volumes that the hypervisor says are disks of the guest, live or stored."""
        path = self.hypervisor / "memory.json"
        held = json.loads(path.read_text())["guests"] if path.exists() else {}
        return {
            server: {serial for serial in guest.get("disks", {}) if not serial.endswith("-root")}
            for server, guest in held.items()
        }

    # -- its users

    def login(self, name: str) -> httpx.Client:
        """A client with a token of `admin` or `demo`, both for the project demo."""
        account = self.user(name)
        user = {"name": account["OS_USERNAME"], "domain": {"id": "default"}, "password": account["OS_PASSWORD"]}
        scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
        with httpx.Client(base_url=self.url, timeout=30) as client:
            answer = client.post("/identity/v3/auth/tokens", json={"auth": auth})
        assert answer.status_code == 201, answer.text
        headers = {"X-Auth-Token": answer.headers["x-subject-token"], "OpenStack-API-Version": "volume 3.70"}
        return httpx.Client(base_url=self.url, timeout=30, headers=headers)
