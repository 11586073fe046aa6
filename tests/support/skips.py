"""A skipped test is a failed one, unless `tests/allowed_skips.txt` names it: a skip hides a missing part."""

from pathlib import Path

import pytest

ALLOWED = Path(__file__).parent.parent / "allowed_skips.txt"


def allowed_skips() -> frozenset[str]:
    """The node ids that may be skipped: one a line, comments after a "#"."""
    lines = (line.split("#")[0].strip() for line in ALLOWED.read_text().splitlines())
    return frozenset(line for line in lines if line)


def refuse_skip(report: pytest.TestReport | pytest.CollectReport, allowed: frozenset[str]) -> None:
    """Turn a report of a skip, or of an expected failure, into one of a failure."""
    if report.outcome == "skipped" and report.nodeid not in allowed:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "xfail")
        report.outcome = "failed"
        report.longrepr = (
            f"{reason}\nA skip is a failure: install the missing part, or list the test in {ALLOWED.name}."
        )
        if hasattr(report, "wasxfail"):
            del report.wasxfail
