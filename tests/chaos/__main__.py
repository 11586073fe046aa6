"""`python -m tests.chaos`: the fault campaign at length. Exit status 0 when nothing was stuck or left over.

1. Every operation of every campaign through every ordeal (--campaigns all), or parts chosen by seeds (--campaigns N).
2. Rounds of torment for --minutes, each with the next seed; the seed of a round that fails repeats it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.torment import torment
from tests.support.campaign import commit_number

ROOT = Path(__file__).parent.parent.parent
ROUND_SECONDS = 120.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the torment lasts (default 10)")
    parser.add_argument("--seed", type=int, default=None, help="of the first round (default: from the commit)")
    parser.add_argument("--clients", type=int, default=4, help="how many clients make the load (default 4)")
    parser.add_argument("--campaigns", default="all", help="all, none, or a number of parts by seed (default all)")
    asked = parser.parse_args()
    seed = commit_number() if asked.seed is None else asked.seed
    failed = campaigns(asked.campaigns, seed)
    end = time.monotonic() + asked.minutes * 60
    while (left := end - time.monotonic()) > 1:
        with tempfile.TemporaryDirectory(prefix="pumice-chaos-") as folder:
            summary = torment(Path(folder), seconds=min(left, ROUND_SECONDS), seed=seed, clients=asked.clients)
        print(summary.text, flush=True)
        if summary.findings:
            print(f"  repeat it: python -m tests.chaos --campaigns none --seed {seed}", flush=True)
            failed += 1
        seed += 1
    print("chaos: " + ("nothing was stuck or left over" if not failed else f"{failed} parts failed"))
    return 1 if failed else 0


def campaigns(which: str, seed: int) -> int:
    """Run the campaigns' ordeals; how many runs failed."""
    if which == "none":
        return 0
    parts = ["all"] if which == "all" else [f"{seed + number}/4" for number in range(int(which))]
    failed = 0
    for part in parts:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "campaign", "-n", "2", "--dist", "load", "tests"]
        print(f"campaigns, part {part}", flush=True)
        environment = {**os.environ, "PUMICE_TEST_CAMPAIGN": part}
        failed += subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
