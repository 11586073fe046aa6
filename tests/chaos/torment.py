"""The torment: for a while, processes are killed, stopped and started with new faults; then it is seen what is left.

summary = torment(directory, seconds=60, seed=7, clients=4)
print(summary.text)
assert not summary.findings
"""

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.chaos.cloud import ChaosCloud
from tests.chaos.inspection import clear_away, findings, let_go_outside
from tests.chaos.load import Load
from tests.support.waiting import wait_until

HEAL_SECONDS = 60.0
SETTLE_SECONDS = 120.0
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_QUIET = (0.2, 2.5)
"""Seconds between two strikes, at least and at most."""


@dataclass
class Summary:
    """What happened. `findings` must be empty."""

    seed: int
    strikes: Counter[str] = field(default_factory=Counter)
    fired: int = 0
    heals: dict[str, list[float]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why operations were undone, without the ids."""
    findings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        lines = [f"chaos, seed {self.seed}"]
        lines.append("  strikes      " + _counted(self.strikes) + f"; {self.fired} by fault points")
        for name, times in sorted(self.heals.items()):
            ordered = sorted(times)
            middle = ordered[len(ordered) // 2]
            lines.append(f"  {name} again after  {middle:.1f} s (median), {ordered[-1]:.1f} s (worst of {len(times)})")
        lines.append("  accepted     " + _counted(self.asked) + f"; {self.unanswered} without an answer")
        lines.append("  operations   " + _counted(self.operations))
        lines += [f"    undone: {count} times {reason}" for reason, count in self.reasons.most_common(12)]
        lines.append("  findings     " + (str(len(self.findings)) if self.findings else "none"))
        return "\n".join(lines + [f"    {one}" for one in self.findings])


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items())) or "none"


def torment(directory: Path, *, seconds: float, seed: int, clients: int = 4) -> Summary:
    """Run it all. Raises AssertionError where the cloud does not come back."""
    chance = random.Random(seed)
    cloud = ChaosCloud(directory, chance)
    summary = Summary(seed)
    try:
        cloud.start()
        _allow_much(cloud)
        load = Load(cloud, upload_image(cloud), clients, seed)
        load.start()
        try:
            _Tormentor(cloud, chance, summary).strike_for(seconds)
        finally:
            load.stop()
        summary.asked, summary.unanswered = load.asked, load.unanswered
        summary.findings += load.wrong
        _heal(cloud, summary)
        let_go_outside(cloud)
        summary.findings += findings(cloud)
        summary.findings += clear_away(cloud)
        summary.fired = cloud.fired()
    finally:
        cloud.kill_all()
        cloud.close()
    return summary


class _Tormentor:
    def __init__(self, cloud: ChaosCloud, chance: random.Random, summary: Summary) -> None:
        self._cloud, self._chance, self._summary = cloud, chance, summary

    def strike_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        strikes = [self.kill_agent] * 5 + [self.kill_api] * 3 + [self.stop_agent] + [self.restart_with_faults] * 3
        while time.monotonic() < end:
            until = time.monotonic() + self._chance.uniform(*_QUIET)
            wait_until(lambda until=until: time.monotonic() >= until, 10, "a quiet moment has passed")  # type: ignore[misc]
            self._chance.choice(strikes)()

    def kill_agent(self) -> None:
        began = time.time()
        if self._signal("agent", signal.SIGKILL):
            self._healed("agent", began, lambda: self._cloud.agent_works_since(began))

    def kill_api(self) -> None:
        began = time.time()
        if self._signal("api", signal.SIGKILL):
            self._healed("api", began, self._cloud.healthy)

    def stop_agent(self) -> None:
        """It does not answer for a while: its session may be taken over, or the supervisor ends it."""
        if self._signal("agent", signal.SIGSTOP):
            until = time.monotonic() + self._chance.uniform(1, 8)
            wait_until(lambda: time.monotonic() >= until, 20, "the agent was stopped for a while")
            self._signal("agent", signal.SIGCONT, count=False)

    def restart_with_faults(self) -> None:
        """kill -9 of the supervisor; the next one's children meet other faults."""
        began = time.time()
        self._cloud.kill_all()
        self._summary.strikes["supervisor killed"] += 1
        self._cloud.arm(self._chance.randint(1, 5))
        self._cloud.launch()
        self._healed("supervisor", began, self._cloud.healthy)

    def _signal(self, name: str, number: signal.Signals, *, count: bool = True) -> bool:
        pid = self._cloud.process(name)
        if pid is None:  # it starts again just now
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        if count:
            self._summary.strikes[f"{name} {'killed' if number == signal.SIGKILL else 'stopped'}"] += 1
        return True

    def _healed(self, name: str, began: float, well: Callable[[], bool]) -> None:
        """Wait until it works again; where the supervisor waits because it died too often, start another one."""
        try:
            wait_until(well, 8, f"{name} works again")
        except AssertionError:
            self._cloud.kill_all()
            self._summary.strikes["supervisor killed"] += 1
            self._cloud.arm(0)
            self._cloud.launch()
            wait_until(self._cloud.healthy, HEAL_SECONDS, f"{name} works again with a new supervisor")
        self._summary.heals.setdefault(name, []).append(time.time() - began)


def _heal(cloud: ChaosCloud, summary: Summary) -> None:
    """Everything is killed once more, started without faults, and left alone."""
    cloud.kill_all()
    cloud.arm(0)
    began = time.time()
    cloud.start()
    cloud.wait_settled(SETTLE_SECONDS)
    summary.heals["everything"] = [time.time() - began]
    rows = cloud.rows("SELECT kind, state, count(*) AS many FROM operations GROUP BY kind, state")
    for row in cloud.rows("SELECT kind, error FROM operations WHERE state = 'undone'"):
        summary.reasons[f"{row['kind']}: {_ID.sub('...', row['error'])}"] += 1
    summary.operations.update({f"{row['kind']} {row['state']}": row["many"] for row in rows})


def _allow_much(cloud: ChaosCloud) -> None:
    with cloud.login("admin") as http:
        project = cloud.rows("SELECT id FROM projects WHERE name = 'demo'")[0]["id"]
        quota = {"quota_set": {"volumes": 100, "snapshots": 100, "gigabytes": 10_000}}
        http.put(f"/volume/v3/{project}/os-quota-sets/{project}", json=quota).raise_for_status()


def upload_image(cloud: ChaosCloud) -> str:
    """What servers boot from: a small disk that names a kernel and a ramdisk."""
    with cloud.login("demo") as http:
        kernel, ramdisk = _image(http, "aki", {}), _image(http, "ari", {})
        return _image(http, "raw", {"kernel_id": kernel, "ramdisk_id": ramdisk})


def _image(http: httpx.Client, kind: str, properties: dict[str, str]) -> str:
    container = "bare" if kind == "raw" else kind
    body = {"name": f"chaos {kind}", "disk_format": kind, "container_format": container, **properties}
    made = http.post("/image/v2/images", json=body)
    assert made.status_code == 201, made.text
    identifier = str(made.json()["id"])
    headers = {"Content-Type": "application/octet-stream"}
    sent = http.put(f"/image/v2/images/{identifier}/file", content=bytes(1 << 16), headers=headers)
    assert sent.status_code == 204, sent.text
    return identifier
