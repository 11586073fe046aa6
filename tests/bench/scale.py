"""`python -m tests.bench.scale`: large clouds, on SQLite and PostgreSQL side by side.

With 10,000 volumes: GET, details of 100 and of 1,000, POST to available, the whole cycle through the attachments API.
With 10,000 and with 100,000 live volumes (and as many deleted), of many projects and hosts: pages of 100, the first and
the last, and those filtered by id, status, name, project, type and host. One API process, 16 keep-alive connections,
the token in the cache; any answer but 2xx voids the run. PostgreSQL runs here with fsync.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import uvloop

from pumice.db.engine import Database
from tests.bench import machine
from tests.bench.client import SECONDS, Api
from tests.bench.ledger import Ledger
from tests.bench.load import Talker, measure, post
from tests.bench.seed import body, grow
from tests.demo.cloud import Cloud
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

CONNECTIONS = 16
LOAD_SECONDS = 5.0
VOLUMES = 10_000
BURST = 600
CYCLES = 400
SMALL, LARGE = 10_000, 100_000
PAGE = 100
GOALS = {
    "sqlite": {"get": 4000, "100": 600, "1000": 60, "post": 300, "cycle": 200},
    "postgresql": {"get": 2000, "100": 300, "1000": 30},
}
SETTINGS = {"PUMICE_RECONCILE_PERIOD": "3600"}
CONFIGURATION = '[[backends]]\nname = "file"\nmax_over_subscription = 1000000.0\n'


@contextmanager
def durable_postgres() -> Iterator[PostgresServer]:
    """The tests' server, made as durable as an operator's."""
    server = PostgresServer()
    try:
        with server.connect("postgres") as connection:
            connection.execute("CHECKPOINT")
        server.stop()
        server.settings = {**server.settings, "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
        server.start()
        yield server
    finally:
        server.close()


class Scale:
    """One running cloud on one kind of database."""

    def __init__(self, kind: str, directory: Path, url: str | None, ledger: Ledger) -> None:
        self.kind, self.ledger = kind, ledger
        self.cloud = Cloud(directory, settings=SETTINGS | ({"PUMICE_DATABASE": url} if url else {}))
        self.cloud.state.mkdir(mode=0o700)
        (self.cloud.state / "pumice.toml").write_text(CONFIGURATION)
        self.cloud.launch()
        wait_until(self.cloud.healthy, SECONDS, "/healthz answers 200")
        wait_until(self._takes_volumes, SECONDS, "a backend takes volumes")
        self.database = Database(url or f"sqlite:///{self.cloud.state / 'pumice.db'}")
        self.api, self.admin = Api(self.cloud.user("demo")), Api(self.cloud.user("admin"))
        limits = {"volumes": -1, "snapshots": -1, "gigabytes": -1}
        self.admin.call("PUT", "block-storage", f"/os-quota-sets/{self.api.project_id}", {"quota_set": limits})
        self.model = self.volume()

    def close(self) -> None:
        self.api.close()
        self.admin.close()
        self.database.close()
        self.cloud.close()

    def _takes_volumes(self) -> bool:
        return bool(httpx.get(f"{self.cloud.url}/healthz", timeout=5).json()["backends"])

    def volume(self) -> str:
        made = str(self.api.call("POST", "block-storage", "/volumes", {"volume": {"size": 1}})["volume"]["id"])
        wait_until(lambda: self.status(made) == "available", SECONDS, "a volume")
        return made

    def status(self, volume_id: str) -> str:
        return str(self.api.call("GET", "block-storage", f"/volumes/{volume_id}")["volume"]["status"])

    def note(self, name: str, value: float, goal: str | None = None) -> None:
        self.ledger.note(f"{self.kind}: {name}", "1/s", value, goal=GOALS[self.kind].get(goal or ""), at_least=True)

    # -- the cases

    def case(self, name: str) -> None:
        if name == "small":
            grow(self.database, self.model, SMALL, deleted=SMALL, spread=True)
            self.pages(SMALL)
        elif name == "reads":
            grow(self.database, self.model, VOLUMES)
            self.reads()
        elif name == "posts":
            self.posts()
        elif name == "cycles":
            self.cycles()
        else:
            grow(self.database, self.model, LARGE, deleted=LARGE, spread=True)
            self.pages(LARGE)

    def reads(self) -> None:
        base = self.api.urls["block-storage"]
        for name, path, goal in (
            ("GET a volume", f"/volumes/{self.model}", "get"),
            ("details of 100", "/volumes/detail?limit=100", "100"),
            ("details of 1,000", "/volumes/detail?limit=1000", "1000"),
        ):
            found = measure(base + path, self.api.token, CONNECTIONS, LOAD_SECONDS)
            self.note(f"{name}, of {VOLUMES:,}", found["requests_per_second"], goal)

    def posts(self) -> None:
        url = f"{self.api.urls['block-storage']}/volumes"
        begin = post(url, self.api.token, body({"volume": {"size": 1, "name": "burst"}}), CONNECTIONS, BURST)
        answered = time.time()
        wait_until(self._all_available, SECONDS, "the burst is available")
        end = self._last_event(begin)
        self.note(f"POST, answers, of {VOLUMES:,}", BURST / (answered - begin))
        self.note(f"POST to available, of {VOLUMES:,}", BURST / (end - begin), "post")

    def _all_available(self) -> bool:
        path = "/volumes?name=burst&status=creating&limit=1"
        return not self.api.call("GET", "block-storage", path)["volumes"]

    def _last_event(self, begin: float) -> float:
        statement = "SELECT max(generated) FROM events WHERE event_type = 'volume.create.end'"
        with self.database.read() as tx:
            return float(tx.connection.exec_driver_sql(statement).scalar_one()) / 1e6

    def cycles(self) -> None:
        """Reserve, connect, complete, delete; each connection has a volume of its own."""
        mine = [self.volume() for _ in range(CONNECTIONS)]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seconds = runner.run(self._cycle(mine))
        self.note(f"attachments, whole cycles, of {VOLUMES:,}", CYCLES / seconds, "cycle")
        for volume_id in mine:
            assert self.status(volume_id) == "available"

    async def _cycle(self, mine: list[str]) -> float:
        left = itertools.count()
        begin = time.perf_counter()
        await asyncio.gather(*(self._cycle_of(volume_id, left) for volume_id in mine))
        return time.perf_counter() - begin

    async def _cycle_of(self, volume_id: str, left: Iterator[int]) -> None:
        url = urlsplit(f"{self.api.urls['block-storage']}/attachments")
        host, port = str(url.hostname), int(url.port or 80)
        headers = {**self.api.headers, "OpenStack-API-Version": "volume 3.44"}
        loop = asyncio.get_running_loop()
        _, talker = await loop.create_connection(lambda: Talker(host, port, headers), host, port)
        connector = {"host": "pumice", "initiator": "iqn.2026-01.test:one", "ip": "127.0.0.1", "multipath": False}
        reserve, connect = {"volume_uuid": volume_id, "connector": None}, {"connector": connector}
        while next(left) < CYCLES:
            made = msgspec.json.decode(await talker.ask("POST", url.path, body({"attachment": reserve})))["attachment"]
            one = f"{url.path}/{made['id']}"
            await talker.ask("PUT", one, body({"attachment": connect}))
            await talker.ask("POST", f"{one}/action", body({"os-complete": {}}))
            await talker.ask("DELETE", one)
        talker.close()

    def pages(self, count: int) -> None:
        """Milliseconds of one page; the median of as many as fit into the seconds."""
        self.admin.close()
        self.admin = Api(self.cloud.user("admin"))  # growing took longer than an idle connection is kept
        base = self.admin.urls["block-storage"]
        everything = f"{base}/volumes/detail?all_tenants=1&limit={PAGE}"
        listed = self.admin.call("GET", "block-storage", f"/volumes?all_tenants=1&limit={PAGE + 1}&sort=created_at:asc")
        model = self.admin.call("GET", "block-storage", f"/volumes/{self.model}")["volume"]
        marker = listed["volumes"][-1]["id"]
        cases = {
            "first page": everything,
            "last page": f"{everything}&marker={marker}",
            "by id": f"{everything}&id={self.model}",
            "by status": f"{everything}&status=error",
            "by name": f"{everything}&name=volume-7",
            "by project": f"{everything}&project_id={self.api.project_id}",
            "by type": f"{everything}&volume_type_id={model['volume_type_id']}",
            "by host": f"{everything}&host=node3@file",
        }
        for name, url in cases.items():
            found = measure(url, self.admin.token, 1, 1.5)
            self.ledger.note(f"{self.kind}: {name} of {count:,}", "ms", found["p50_ms"])


def run(
    kind: str, new: Callable[[], str | None], ledger: Ledger, directory: Path | None, only: list[str] | None
) -> None:
    """`new()` is the URL of an empty database (None: the cloud makes its own). The small cloud is one of its own: its
    volumes are spread over projects and hosts, those of the rates belong to one."""
    for names in (("small",), ("reads", "posts", "cycles", "large")):
        wanted = [name for name in names if not only or name in only]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="pumice-scale-", dir=directory) as path:
            scale = Scale(kind, Path(path), new(), ledger)
            try:
                for name in wanted:
                    print(f"{kind}: {name} (load {machine.load():.2f})", file=sys.stderr, flush=True)
                    scale.case(name)
            finally:
                scale.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--only", action="append", metavar="CASE", help="small, reads, posts, cycles, large")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    options = parser.parse_args()
    print(machine.describe(options.directory or Path(tempfile.gettempdir())), flush=True)
    ledger = Ledger()
    try:
        for _ in range(options.rounds):
            if not options.database or "sqlite" in options.database:
                run("sqlite", lambda: None, ledger, options.directory, options.only)
            if not options.database or "postgresql" in options.database:
                with durable_postgres() as server:

                    def new(server: PostgresServer = server) -> str:
                        return server.url(server.create_database())

                    run("postgresql", new, ledger, options.directory, options.only)
    finally:
        print(ledger.table(), flush=True)
    for name in ledger.missed:
        print(f"Missed: {name}")
    return 1 if ledger.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
