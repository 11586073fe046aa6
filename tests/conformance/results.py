"""Runs Tempest in its own environment, and reads its results.

Results come as a stream of subunit, which only Tempest's environment can decode: DECODE runs there and prints JSON.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tests.support import sweeper

DECODE = """
import json, subunit, sys, testtools
def show(test):
    details = {}
    for name, content in test["details"].items():
        if content.content_type.type == "text":
            details[name] = content.as_text()
    print(json.dumps({"id": test["id"], "status": test["status"], "details": details}))
result = testtools.StreamToDict(show)
result.startTestRun()
subunit.ByteStreamToStreamResult(open(sys.argv[1], "rb"), non_subunit_name="stdout").run(result)
result.stopTestRun()
"""
PASSED = ("success", "xfail")


class Result(msgspec.Struct, frozen=True):
    """What became of one chosen test. `state`: passed, failed or skipped; `reason` is one line."""

    test: str
    state: str
    reason: str


class Tempest:
    """Tempest in one environment, working in one directory that holds its tempest.conf, log and results."""

    def __init__(self, environment: Path, directory: Path) -> None:
        self.python = environment.absolute() / "bin" / "python"
        self.directory = directory
        self.variables = {
            **os.environ,
            "TEMPEST_CONFIG_DIR": str(directory),
            "TEMPEST_CONFIG": "tempest.conf",
            "PYTHONWARNINGS": "ignore",
            "OS_TEST_TIMEOUT": "600",
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def prepare(self) -> None:
        """Tell stestr where the tests are."""
        package = Path(self._ask("-c", "import tempest; print(tempest.__file__)").strip()).parent
        discover = package / "test_discover"
        configuration = f"[DEFAULT]\ntest_path={discover}\ntop_dir={package}\ngroup_regex=([^\\.]*\\.)*\n"
        (self.directory / ".stestr.conf").write_text(configuration)
        if not (self.directory / ".stestr").exists():
            self._ask("-m", "stestr", "init")

    def _ask(self, *words: str) -> str:
        command: list[str | Path] = [self.python, *words]
        done = subprocess.run(command, cwd=self.directory, env=self.variables, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{' '.join(words[:3])}: {done.stderr or done.stdout}")
        return done.stdout

    def full_ids(self) -> dict[str, str]:
        """Every test: its id without the bracketed attributes, and with them."""
        listed = re.findall(r"^[\w.]+\.test_\w+.*$", self._ask("-m", "stestr", "list"), re.MULTILINE)
        return {base_id(full): full for full in listed}

    def run(self, full_ids: Sequence[str], workers: int) -> list[Result]:
        """Run these tests and return what became of each."""
        names = self.directory / "load-list.txt"
        names.write_text("\n".join(full_ids) + "\n")
        stream = self.directory / "result.subunit"
        options = ["--subunit", "--load-list", str(names), "--concurrency", str(workers)]
        with stream.open("wb") as output, (self.directory / "stestr.err").open("wb") as errors:
            command: list[str | Path] = [self.python, "-m", "stestr", "run", *options]
            stestr = subprocess.Popen(
                command, cwd=self.directory, env=self.variables, stdout=output, stderr=errors, start_new_session=True
            )
            sweeper.watch(stestr.pid)
            try:
                stestr.wait()
            finally:
                # Its workers too, when we were told to end.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(stestr.pid, signal.SIGKILL)
                stestr.wait()
                sweeper.forget(stestr.pid)
        decoded = [json.loads(line) for line in self._ask("-c", DECODE, str(stream)).splitlines()]
        return judge([base_id(full) for full in full_ids], decoded)


def base_id(full: str) -> str:
    return re.sub(r"\[[^\]]*\]$", "", full)


def judge(chosen: Sequence[str], decoded: Sequence[Mapping[str, object]]) -> list[Result]:
    """Each chosen test with its state. A class that could not be set up, or was skipped, counts for all its tests."""
    own: dict[str, Mapping[str, object]] = {}
    classes: dict[str, Mapping[str, object]] = {}
    for one in decoded:
        name = str(one["id"])
        if set_up := re.match(r"setUpClass \((.+?)\)", name):
            classes[set_up.group(1)] = one
        elif one["status"] != "exists":
            own[base_id(name)] = one
    results = []
    for test in chosen:
        found = own.get(test) or classes.get(test.rpartition(".")[0])
        if found is None:
            results.append(Result(test, "failed", "no result: the run ended before it"))
        elif found["status"] in PASSED:
            results.append(Result(test, "passed", ""))
        else:
            state = "skipped" if found["status"] == "skip" else "failed"
            results.append(Result(test, state, reason(found["details"])))
    return results


def reason(details: object) -> str:
    """What names the cause: why it was skipped, or the end of the traceback with the answer's own words."""
    assert isinstance(details, dict)
    text = str(details.get("reason") or next((details[name] for name in details if name.startswith("traceback")), ""))
    lines = [line for line in text.strip().splitlines() if line and not line.startswith(" ")]
    wanted = [line for line in lines if not line.startswith("Traceback")]
    told = [*wanted[:1], *(line for line in wanted[1:] if line.startswith("Details:"))]
    return " ".join(told)[:600] or "no reason given"
