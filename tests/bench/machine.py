"""What the figures were measured on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from pumice.hypervisors.libvirt import kvm_works


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def file_system(directory: Path) -> str:
    """Type and device of what holds the directory."""
    command = ["findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", str(directory)]
    return " on ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def load() -> float:
    """How many processes wanted to run in the last minute."""
    return os.getloadavg()[0]


def describe(directory: Path) -> str:
    """One paragraph."""
    guests = "guests by KVM" if kvm_works() else "guests emulated (TCG: KVM does not work here)"
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {processor()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB,"
        f" {guests};"
        f" Linux {platform.release()}; Python {platform.python_version()}; state directory on {file_system(directory)},"
        f" pool: XFS in a file of it. The load generator runs on the same cores. Load before the start: {load():.2f}."
    )
