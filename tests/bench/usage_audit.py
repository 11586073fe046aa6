"""Measure `pumice usage-audit` over many volumes: time, peak memory, and the first pages of what can be read back.

    python -m tests.bench.usage_audit [--volumes 1000000] [--state DIR] [--keep]

Makes a SQLite database of that many volumes (1 in 10 deleted, 1 in 20 attached, metadata in each) and a tenth as many
snapshots, runs the audit as a process of its own, once and again, and prints a line for each run.
"""

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from pumice.clock import DAY, parse
from pumice.db.engine import Database
from pumice.db.schema import attachments, snapshots, volume_types, volumes
from pumice.db.upgrade import upgrade

BEGIN, END = "2026-10-01 00:00:00", "2026-11-01 00:00:00"
BATCH = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=1_000_000)
    parser.add_argument("--state", type=Path, help="where to make the database (default: a temporary directory)")
    parser.add_argument("--keep", action="store_true", help="leave the database there")
    options = parser.parse_args()
    state = options.state or Path(tempfile.mkdtemp(prefix="pumice-audit-"))
    state.mkdir(parents=True, exist_ok=True)
    try:
        start = time.monotonic()
        generate(state, options.volumes)
        print(f"generated {options.volumes} volumes in {time.monotonic() - start:.0f} s")
        for name in ("first run", "same again"):
            print(f"{name}: {measure(state)}")
    finally:
        if not options.keep:
            shutil.rmtree(state)


def measure(state: Path) -> str:
    """Run the audit and say how long it took and what memory it needed at most.

    Memory is the process's own (anonymous pages); the database file's pages in the page cache are counted apart."""
    start = time.monotonic()
    command = [str(Path(sys.executable).parent / "pumice"), "usage-audit", "--json", "--state", str(state)]
    output = state / "summary.json"
    with output.open("wb") as target:
        child = subprocess.Popen([*command, "--start_time", BEGIN, "--end_time", END], stdout=target)
        own = mapped = 0
        while child.poll() is None:
            memory = _memory(child.pid)
            own, mapped = max(own, memory["RssAnon"]), max(mapped, memory["RssFile"])
            time.sleep(0.05)
    seconds = time.monotonic() - start
    summary = json.loads(output.read_bytes())
    return (
        f"{summary['sent']} events, {summary['failed']} failed, exit {child.returncode},"
        f" {seconds:.1f} s ({summary['sent'] / seconds:.0f}/s),"
        f" peak memory {own / 1024:.0f} MiB, mapped files {mapped / 1024:.0f} MiB"
    )


def _memory(pid: int) -> dict[str, int]:
    """Sizes in KiB, as the kernel says now; zeros when the process is gone."""
    found = {"RssAnon": 0, "RssFile": 0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0])
    return found


def generate(state: Path, count: int) -> None:
    database = Database(f"sqlite:///{state / 'pumice.db'}")
    upgrade(database)
    chosen = random.Random(1)
    type_id = str(uuid.UUID(int=1, version=4))
    with database.write() as tx:
        tx.execute(insert(volume_types), _type_row(type_id))
    for first in range(0, count, BATCH):
        rows = list(_volume_rows(chosen, type_id, min(BATCH, count - first)))
        with database.write() as tx:
            tx.execute(insert(volumes), rows)
            tx.execute(insert(attachments), [_attachment_row(chosen, row) for row in rows[::20]])
            tx.execute(insert(snapshots), [_snapshot_row(chosen, row) for row in rows[::10]])
    database.close()


def _type_row(type_id: str) -> dict[str, Any]:
    return {
        "id": type_id,
        "name": "default",
        "is_public": True,
        "is_default": True,
        "extra_specs": {},
        "created_at": parse("2026-01-01"),
    }


def _id(chosen: random.Random) -> str:
    return str(uuid.UUID(int=chosen.getrandbits(128), version=4))


def _volume_rows(chosen: random.Random, type_id: str, count: int) -> Iterator[dict[str, Any]]:
    for index in range(count):
        created = parse("2026-09-01") + chosen.randrange(30 * DAY)
        deleted = parse(BEGIN) + chosen.randrange(30 * DAY) if chosen.random() < 0.1 else None
        yield {
            "id": _id(chosen),
            "project_id": f"{chosen.randrange(1000):032x}",
            "user_id": f"{chosen.randrange(1000):032x}",
            "name": f"volume-{index}",
            "size": chosen.randrange(1, 100),
            "volume_type_id": type_id,
            "availability_zone": "nova",
            "backend": "node1@file",
            "pool": "node1@file#pool",
            "metadata": {"purpose": "benchmark", "index": str(index)},
            "bootable": False,
            "multiattach": False,
            "read_only": False,
            "consumes_quota": True,
            "life": "gone" if deleted else "there",
            "status": "deleted" if deleted else "available",
            "attach_status": "detached",
            "created_at": created,
            "launched_at": created,
            "deleted_at": deleted,
        }


def _attachment_row(chosen: random.Random, volume: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _id(chosen),
        "volume_id": volume["id"],
        "project_id": volume["project_id"],
        "user_id": volume["user_id"],
        "server_id": _id(chosen),
        "host": "node1",
        "mode": "rw",
        "origin": "compute",
        "shared": False,
        "connector": {"host": "node1"},
        "connection_info": {"driver_volume_type": "local"},
        "stage": "attached",
        "attach_status": "attached",
        "created_at": volume["created_at"],
    }


def _snapshot_row(chosen: random.Random, volume: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _id(chosen),
        "volume_id": volume["id"],
        "project_id": volume["project_id"],
        "user_id": volume["user_id"],
        "name": "snapshot",
        "size": volume["size"],
        "backend": "node1@file",
        "metadata": {},
        "consumes_quota": True,
        "life": "there",
        "status": "available",
        "created_at": volume["created_at"],
    }


if __name__ == "__main__":
    main()
