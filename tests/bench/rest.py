"""Memory and processor time of a process and its children, guests not counted (they are nobody's children)."""

import contextlib
import os
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    return found


def children_of(pid: int) -> set[int]:
    return {child for child, parent in parents().items() if parent == pid}


def family(pid: int) -> list[int]:
    """The process and all below it."""
    above, found = parents(), [pid]
    for one in found:
        found.extend(child for child, parent in above.items() if parent == one)
    return found


def pss_mb(pids: list[int]) -> float:
    """Sum of the proportional set sizes, in MB (10^6 bytes)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


def cpu_seconds(pids: list[int]) -> float:
    """Processor time so far. What a helper used that has ended meanwhile is counted with its parent."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def at_rest(pid: int, seconds: float) -> tuple[float, float]:
    """(MB, percent of one core) of the family over so many seconds in which nobody asks anything.

    Raises AssertionError when a process of the cloud, not only a helper of one, was started anew meanwhile."""
    pids, children = family(pid), children_of(pid)
    before, begin = cpu_seconds(pids), time.monotonic()
    time.sleep(seconds)
    used = cpu_seconds(pids) - before
    assert children_of(pid) == children, "a process of the cloud ended while it was at rest"
    return pss_mb(family(pid)), 100 * used / (time.monotonic() - begin)
