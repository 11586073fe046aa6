"""The stock client programs, run one command at a time with the environment that a user exports.

shell.run("openstack volume create --size 1 first")     shown with its output; raises NotHeld when it fails
shell.run("...", fails=True)                            it has to fail
rows(output)                                            the rows of a printed table, by column
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.demo.narration import MOST_LINES, Narrator, NotHeld

REPOSITORY = Path(__file__).parent.parent.parent
CLIENTS = REPOSITORY / ".venv-clients" / "bin"
OURS = Path(sys.executable).parent
SCRIPTS = Path(__file__).parent / "scripts"
SECONDS = 90
VERSIONS = {"OS_VOLUME_API_VERSION": "3.70", "OS_COMPUTE_API_VERSION": "2.90", "OS_IMAGE_API_VERSION": "2"}


def variables(clouds_yaml: Path, cloud: str) -> dict[str, str]:
    """The OS_* variables of a cloud of `clouds.yaml`."""
    found: dict[str, str] = {}
    section = clouds_yaml.read_text().split(f"\n  {cloud}:\n")[1]
    for line in section.splitlines():
        if re.match(r"  \S", line):
            break
        name, _, value = line.strip().partition(": ")
        if value:
            found[f"OS_{name.upper()}"] = value.strip('"')
    return {**found, **VERSIONS, "OS_IDENTITY_API_VERSION": "3"}


def rows(output: str) -> list[dict[str, str]]:
    """The rows of a table as the clients print it; a value that spans lines is one with newlines in it."""
    lines = [line for line in output.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]
    if not cells:
        return []
    header, found = cells[0], []
    for row in cells[1:]:
        if len(row) == len(header):
            found.append(dict(zip(header, row, strict=True)))
    return found


def properties(output: str) -> dict[str, str]:
    """A printed table of two columns as a mapping."""
    return {next(iter(row.values())): list(row.values())[1] for row in rows(output) if len(row) == 2}


class Shell:
    """One user at a terminal. `environment`: what was exported."""

    def __init__(self, tell: Narrator, environment: Mapping[str, str], state: Path) -> None:
        self.tell = tell
        self.environment = dict(environment)
        self.state = state

    def run(
        self,
        line: str,
        *,
        shown: str | None = None,
        fails: bool | None = False,
        quiet: bool = False,
        most: int = MOST_LINES,
    ) -> str:
        """Run a command line and show it (as `shown`, where the real one holds long paths); both streams come back.

        fails: whether it must end with an error; None: either way."""
        words = shlex.split(line)
        ended = subprocess.run(
            [self._program(words[0]), *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**clean_environment(), **self.environment},
            cwd=REPOSITORY,
            timeout=SECONDS,
            text=True,
            errors="replace",
        )
        if not quiet:
            self.tell.command(shown or line, ended.stdout, most=most)
        if fails is not None and (ended.returncode != 0) != fails:
            wanted = "an error" if fails else "success"
            raise NotHeld(self.tell.where, f"{wanted} of: {line}", f"exit status {ended.returncode}: {ended.stdout}")
        return ended.stdout

    def pumice(self, line: str, *, fails: bool | None = False, most: int = MOST_LINES) -> str:
        """`pumice ... --state DIR`, as the operator types it."""
        return self.run(f"pumice {line} --state {self.state}", shown=f"pumice {line}", fails=fails, most=most)

    def script(self, name: str, *arguments: object, fails: bool | None = False, most: int = MOST_LINES) -> str:
        """A program of `scripts/` with the clients' Python."""
        words = " ".join(str(one) for one in arguments)
        return self.run(f"python {SCRIPTS / name} {words}", shown=f"python {name} {words}", fails=fails, most=most)

    def begin(self, name: str, *arguments: object) -> subprocess.Popen[str]:
        """The same, in the background; its standard output is the caller's to read."""
        self.tell.command(f"python {name} {' '.join(str(one) for one in arguments)} &", "")
        return subprocess.Popen(
            [self._program("python"), str(SCRIPTS / name), *(str(one) for one in arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**clean_environment(), **self.environment},
            text=True,
        )

    @staticmethod
    def _program(name: str) -> str:
        return str(OURS / name if name == "pumice" else CLIENTS / name)


def clean_environment() -> dict[str, str]:
    """The environment without anybody's own cloud, and without the settings of another Pumice."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PUMICE_"))}
    return {**kept, "COLUMNS": "200", "PYTHONWARNINGS": "ignore"}
