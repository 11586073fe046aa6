"""Ends what tests started when they themselves were killed: a process that outlives them, one for each of theirs.

    watch(process.pid, state)       the leader of a group of processes, and their state directories
    forget(process.pid)             the group has ended; guests and mounts below the directories may go on

Fixtures clean up after failures and after Ctrl-C; SIGTERM and SIGKILL leave them no time. The sweeper reads a pipe that
ends with the tests' process, however that ends. The groups that are still watched then are killed, and the guests below
the directories too, and what is mounted there is unmounted. Files stay.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.lab.guest import end_guests
from tests.support.waiting import wait_until

_REPOSITORY = Path(__file__).parent.parent.parent
_SECONDS = 20.0
_sweepers: dict[int, subprocess.Popen[str]] = {}


def watch(leader: int, *directories: Path) -> None:
    """`leader`: 0 when there is no process but this one. Nobody else may mount anything below the directories."""
    _tell("\t".join(("watch", str(leader), *(str(directory.absolute()) for directory in directories))))


def forget(leader: int) -> None:
    _tell(f"forget\t{leader}")


def _tell(line: str) -> None:
    """A forked child has a sweeper of its own: it does not know what its parent watches."""
    if os.getpid() not in _sweepers:
        command = [sys.executable, "-m", "tests.support.sweeper"]
        # In a session of its own: Ctrl-C is not for it.
        _sweepers[os.getpid()] = subprocess.Popen(
            command, stdin=subprocess.PIPE, cwd=_REPOSITORY, text=True, start_new_session=True
        )
    pipe = _sweepers[os.getpid()].stdin
    assert pipe is not None
    pipe.write(f"{line}\n")
    pipe.flush()


def main() -> None:
    leaders: dict[int, str] = {}
    directories: set[Path] = set()
    for line in sys.stdin:
        what, leader, *paths = line.rstrip("\n").split("\t")
        directories.update(map(Path, paths))
        if what == "forget":
            leaders.pop(int(leader), None)
        elif int(leader):
            leaders[int(leader)] = _started(int(leader))
    for leader, started in leaders.items():
        if _started(leader) in (started, ""):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)
    for directory in directories:
        sweep(directory)


def _started(pid: int) -> str:
    """When the process was started, in ticks: a number that was given to another process says otherwise."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def sweep(directory: Path) -> None:
    """No guest of a hypervisor below the directory runs, and nothing is mounted below it."""
    for folder in [directory, *directory.glob("*"), *directory.glob("*/*")]:
        if (folder / "run" / "qemu").is_dir():
            end_guests(folder)
    with contextlib.suppress(AssertionError):
        # A guest that was killed may need a moment to let go of its files.
        wait_until(lambda: _unmounted(directory), _SECONDS, "nothing is mounted")


def _unmounted(directory: Path) -> bool:
    """Is nothing mounted there? If not, try the innermost."""
    points = _mounted_below(directory)
    if points:
        subprocess.run(["umount", points[-1]], capture_output=True)
    return not points


def _mounted_below(directory: Path) -> list[str]:
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{directory.resolve()}/")]


if __name__ == "__main__":
    main()
