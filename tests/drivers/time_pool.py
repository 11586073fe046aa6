"""Prints how long clone and snapshot of a volume with 1.5 GB of data take on an XFS pool; not a test.

`python -m tests.drivers.time_pool DIRECTORY` (5 GB free, root). Leaves the directory as it was.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.drivers.pools import MIB, OpenedPool, new_id, opened, quiet

DATA = 1500 * MIB
ROUNDS = 9


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def filled(pool: OpenedPool) -> str:
    volume_id = new_id()
    pool.driver.create(volume_id, 2048 * MIB, 1)
    part = os.urandom(MIB)
    with Path(pool.driver.locate(volume_id).path).open("r+b") as file:
        for _ in range(DATA // MIB):
            file.write(part)
        os.fsync(file.fileno())
    return volume_id


def durations(directory: Path) -> Iterator[tuple[str, list[float]]]:
    """What was done to the volume, and how long it took each time, in milliseconds."""
    with opened("xfs", directory, size_bytes=4 << 30) as pool:
        volume_id = filled(pool)
        for name, work in (
            ("create", lambda: pool.driver.create(new_id(), 2048 * MIB, 1)),
            ("clone", lambda: pool.driver.clone(volume_id, new_id(), 2048 * MIB, 1, quiet)),
            ("snapshot", lambda: pool.driver.create_snapshot(volume_id, new_id(), 1, quiet)),
            ("locate", lambda: pool.driver.locate(volume_id)),
            ("stats", pool.driver.stats),
            ("check", pool.driver.check),
        ):
            yield name, [timed(work) for _ in range(ROUNDS)]


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as directory:
        for name, times in durations(Path(directory)):
            print(f"{name:9} median {statistics.median(times):6.2f} ms, worst {max(times):6.2f} ms")


if __name__ == "__main__":
    main()
