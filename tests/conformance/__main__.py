"""Start a fresh Pumice, run the chosen Tempest tests against it, and print what passed. Status 0: all did.

    make conformance
    .venv/bin/python -m tests.conformance [--only REGEX] [--workers N] [--output DIRECTORY]

In the output directory (.cache/conformance): tempest.log has every request and response, pumice's log is beside it.
"""

import argparse
import re
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.conformance.cloud import Cloud
from tests.conformance.configuration import write_configuration
from tests.conformance.pumice import running
from tests.conformance.results import Result, Tempest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def listed(name: str) -> list[str]:
    """The test ids of one of the list files."""
    lines = (line.split("#")[0].strip() for line in (HERE / name).read_text().splitlines())
    return [line for line in lines if line]


def choose(known: Iterable[str]) -> list[str]:
    """The listed tests, then the others of `known` that whole.txt asks for and later.txt does not leave out."""
    named, later = listed("tests.txt"), {*listed("later.txt")}
    patterns = [re.compile(pattern) for pattern in listed("whole.txt")]
    others = (test for test in known if any(pattern.match(test) for pattern in patterns))
    return [*named, *(test for test in others if test not in later and test not in named)]


def report(results: list[Result], missing: list[str], allowed: list[str]) -> bool:
    """Print the table, the failures and the skips; True when nothing is wrong."""
    modules: dict[str, Counter[str]] = {}
    for result in results:
        modules.setdefault(result.test.rsplit(".", 2)[0], Counter())[result.state] += 1
    width = max((len(name) for name in modules), default=6)
    print(f"{'module':<{width}} passed failed skipped")
    for name, counts in sorted(modules.items()):
        print(f"{name:<{width}} {counts['passed']:>6} {counts['failed']:>6} {counts['skipped']:>7}")
    wrong = [
        result
        for result in results
        if result.state == "failed" or (result.state == "skipped" and result.test not in allowed)
    ]
    for result in wrong:
        print(f"{result.state}: {result.test}\n    {result.reason}")
    for test in missing:
        print(f"listed, but Tempest has no such test: {test}")
    total = Counter(result.state for result in results)
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return bool(results) and not wrong and not missing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--only", default="", metavar="REGEX", help="of the chosen tests, only those that match")
    parser.add_argument(
        "--every", default="", metavar="REGEX", help="not the chosen tests: all of Tempest's that match"
    )
    parser.add_argument("--workers", type=int, default=4, help="tests at the same time; they wait more than they work")
    parser.add_argument("--output", type=Path, default=ROOT / ".cache" / "conformance")
    options = parser.parse_args()
    output = options.output.absolute()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    password = secrets.token_urlsafe(16)
    with (
        tempfile.TemporaryDirectory(prefix="pumice-conformance-") as state,
        running(Path(state), output, password) as url,
    ):
        write_configuration(Cloud(f"{url}/identity/v3", password), password, output)
        tempest = Tempest(ROOT / ".venv-conformance", output)
        tempest.prepare()
        known = tempest.full_ids()
        chosen = [test for test in known if re.search(options.every, test)] if options.every else choose(known)
        chosen = [test for test in chosen if re.search(options.only, test)]
        results = tempest.run([known[test] for test in chosen if test in known], options.workers)
    missing = [test for test in chosen if test not in known]
    return 0 if report(results, missing, listed("upstream_skips.txt")) else 1


if __name__ == "__main__":
    sys.exit(main())
