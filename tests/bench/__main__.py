"""`python -m tests.bench`: the benchmark's table, after so many interleaved rounds of all cases."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import cases, machine
from tests.bench.cases import Bench, temporary_cloud
from tests.bench.ledger import Ledger

CALM = 0.7
"""A higher load before the start is said, for the figures then are of a busy machine."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="where the state directories are made  [the system's temporary]")
    parser.add_argument("--only", action="append", metavar="CASE", help="only this case; may be given again")
    options = parser.parse_args()
    directory = options.directory
    print(machine.describe(directory or Path(tempfile.gettempdir())), flush=True)
    if machine.load() > CALM:
        print(f"Note: the machine is busy (load {machine.load():.2f}).", flush=True)
    ledger = Ledger()
    try:
        with temporary_cloud(directory) as cloud:
            bench = Bench(cloud, ledger)
            try:
                measure(bench, options.rounds, options.only, directory)
            finally:
                bench.close()
    finally:
        print(ledger.table(), flush=True)  # also what there is when a case fails
    for name in ledger.missed:
        print(f"Missed: {name}")
    return 1 if ledger.missed else 0


def measure(bench: Bench, rounds: int, only: list[str] | None, directory: Path | None) -> None:
    """Every case once a round; the guest boots before the first."""
    ledger = bench.ledger
    listed: dict[str, Callable[[], object]] = {
        "new": lambda: cases.start_new(ledger, directory),
        "again": bench.start_again,
        "rest": bench.rest,
        "get": bench.get,
        "create": bench.create,
        "attach": bench.attach,
        "copy": bench.copy,
        "driver": lambda: cases.driver(ledger, directory),
        "burst": bench.burst,
        "details": bench.details,
        "memory": bench.memory,
    }
    chosen = {name: case for name, case in listed.items() if not only or name in only}
    if "attach" in chosen:
        bench.boot()
    for number in range(rounds):
        for name, case in chosen.items():
            print(f"round {number + 1} of {rounds}: {name} (load {machine.load():.2f})", file=sys.stderr, flush=True)
            case()


if __name__ == "__main__":
    raise SystemExit(main())
