"""Which part of the fault campaign runs: all of it takes many minutes, so each run takes a part, chosen by the commit.

PUMICE_TEST_CAMPAIGN: "all", or "SEED/PARTS": one of PARTS parts, by the seed. By default the seed is the commit.
"""

import os
import subprocess
import zlib
from pathlib import Path

import pytest

PARTS = 8


def campaign_part() -> str:
    """ "all", or "SEED/PARTS"."""
    return os.environ.get("PUMICE_TEST_CAMPAIGN") or f"{_commit()}/{PARTS}"


def divide(items: list[pytest.Item], part: str) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests that run and those that are left for another time; only tests marked `campaign` are ever left."""
    if part == "all":
        return items, []
    seed, _, parts = part.partition("/")
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        is_left = item.get_closest_marker("campaign") is not None and _number(seed, item.nodeid) % int(parts) != 0
        (left if is_left else kept).append(item)
    return kept, left


def _number(seed: str, name: str) -> int:
    return zlib.crc32(f"{seed} {name}".encode())


def _commit() -> str:
    """The commit's short name, the same in every worker of a run; "none" outside a checkout."""
    root = Path(__file__).parent.parent.parent
    command = ["git", "-c", f"safe.directory={root}", "rev-parse", "--short=12", "HEAD"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "none"


def commit_number() -> int:
    """A seed that is another one for each commit."""
    return zlib.crc32(_commit().encode())
