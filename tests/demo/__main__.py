"""`python -m tests.demo`: every story on a cloud of its own, told step by step. Exit status 0: all held.

--keep        leave the directory (database, logs) in any case
--only WORD   only stories whose number is in WORD, e.g. --only 14
--seed N      where story 3 kills
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import httpx

from tests.demo.cloud import Cloud
from tests.demo.first_volume import tell_first_volume
from tests.demo.narration import Narrator, NotHeld
from tests.demo.stage import Stage
from tests.demo.story_four import tell_story_four
from tests.demo.story_one import tell_story_one
from tests.demo.story_three import tell_story_three
from tests.demo.story_two import tell_story_two
from tests.lab.guest import guest_image


def main() -> int:
    """Tell them; the exit status."""
    options = arguments()
    for name in [name for name in os.environ if name.startswith(("OS_", "PUMICE_"))]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, interrupted)
    guest_image()
    directory = Path(tempfile.mkdtemp(prefix="pumice-demo-"))
    tell, cloud = Narrator(), Cloud(directory)
    began = time.monotonic()
    status = 1
    try:
        status = show(tell, cloud, options)
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started ends.", flush=True)
        status = 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        cloud.close()
        keep = options.keep or status not in (0, 130)
        if keep:
            print(f"Logs and database: {directory}", flush=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    if status == 0:
        times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in tell.times.items())
        print(f"\nAll held: {tell.held} checks in {time.monotonic() - began:.0f} s ({times}).", flush=True)
    return status


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description="Show the failure stories not happening.")
    parser.add_argument("--keep", action="store_true", help="leave the directory with database and logs")
    parser.add_argument("--only", default="1234", metavar="WORD", help="which stories, e.g. 14")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="where story 3 kills")
    return parser.parse_args()


def interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def show(tell: Narrator, cloud: Cloud, options: argparse.Namespace) -> int:
    """All of it; 0, or 1 after saying what did not hold."""
    try:
        tell.chapter("Set-up", "One command starts the cloud, on an empty state directory and a free port")
        cloud.start()
        tell.command(f"pumice serve --state ./state --bind 127.0.0.1:{cloud.port} &", cloud.url)
        tell.note("The commands below have the OS_* variables of clouds.yaml's cloud `demo` in their environment.")
        stage = Stage(tell, cloud)
        guest = tell_first_volume(stage)
        if "1" in options.only:
            tell_story_one(stage)
        if "2" in options.only:
            tell_story_two(stage, guest)
        if "3" in options.only:
            tell_story_three(stage, guest, options.seed)
        if "4" in options.only:
            tell_story_four(stage, guest)
        tell.finish()
    except (NotHeld, AssertionError, OSError, httpx.HTTPError, subprocess.TimeoutExpired) as error:
        where = error.step if isinstance(error, NotHeld) else tell.where
        print(f"\nDID NOT HOLD: {where}", flush=True)
        if isinstance(error, NotHeld):
            print(f"  expected: {error.expected}\n  found:    {str(error.found)[:3000]}", flush=True)
        else:
            print(f"  {type(error).__name__}: {str(error)[:3000]}", flush=True)
        print(f"  log of the cloud: {cloud.log}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
