"""A terminal at which the stock clients are typed, quickly: all of them in one process that stays.

    terminal = Terminal(environment)                 one user's, with the OS_* variables that were exported
    answer = terminal.run("cinder list")             Answer(status, output, errors)
    fields(answer.output); rows(answer.output)       what a printed table says

The tests of single commands use it; the demo and the stories start each command as a user does (tests/demo/shell.py).
"""

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.demo.shell import CLIENTS, clean_environment

PROGRAM = Path(__file__).parent / "scripts" / "run_commands.py"


class Answer(msgspec.Struct, frozen=True):
    """What a command printed, and its exit status."""

    status: int
    output: str
    errors: str


class Terminal:
    """One process that runs one user's commands (the clients keep what they once read of their environment)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [CLIENTS / "python", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**clean_environment(), **environment},
        )

    def run(self, line: str) -> Answer:
        """Type one line; waits until it has ended."""
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None and answers is not None
        pipe.write(msgspec.json.encode(shlex.split(line)) + b"\n")
        pipe.flush()
        answer = answers.readline()
        assert answer, f"the process of the clients has ended at: {line}"
        return msgspec.json.decode(answer, type=Answer)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def rows(output: str) -> list[dict[str, str]]:
    """The rows of the printed tables, by column. A value that spans lines has newlines in it."""
    found: list[dict[str, str]] = []
    header: list[str] = []
    borders = 0
    for line in output.splitlines():
        if line.startswith("+-"):
            borders = (borders + 1) % 3
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.strip()[1:-1].split(" | ")]
            if borders == 1:
                header = cells
                continue
            assert len(cells) == len(header), f"not a row below {header}: {line}"
            if cells[0]:
                found.append(dict(zip(header, cells, strict=True)))
            else:
                for name, cell in zip(header, cells, strict=True):
                    found[-1][name] += f"\n{cell}" if cell else ""
    return found


def fields(output: str) -> dict[str, str]:
    """The printed tables of two columns as one mapping: the first column names the second."""
    pairs = [list(row.values()) for row in rows(output) if len(row) == 2]
    return dict(pairs)
