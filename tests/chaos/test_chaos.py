"""A short part of the chaos each time, another one for each commit; `make chaos` runs it at length."""

import os
from pathlib import Path

import pytest

from tests.chaos.torment import torment
from tests.support.campaign import commit_number

pytestmark = pytest.mark.real

SECONDS = 40.0


def test_nothing_is_stuck_or_left_over(tmp_path: Path) -> None:
    """PUMICE_TEST_CHAOS=SEED repeats a run whose seed was printed."""
    seed = int(os.environ.get("PUMICE_TEST_CHAOS") or commit_number())
    print(f"PUMICE_TEST_CHAOS={seed}")
    summary = torment(tmp_path, seconds=SECONDS, seed=seed)
    print(summary.text)
    assert not summary.findings, summary.text
