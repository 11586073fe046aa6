"""Helper programs that die with the process that needs them, and processes that die with their parent.

    run(["qemu-img", "convert", ...], timeout=3600)     a helper program of a driver or a step
    guarded(["tgtd", ...])                               the same command, made to die with its parent
    die_with_parent()                                    this very process asks to be ended with its parent
    run(..., limits=Limits(...))                         a program that reads what strangers made

The kernel does it (PR_SET_PDEATHSIG), so it holds after `kill -9` too. It counts from the *thread* that started the
program: `run` waits in that thread. Nothing here imports any other part of Pumice.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.2


class Finished(msgspec.Struct, frozen=True):
    """A program that has ended: its exit status (negative: the signal that ended it) and what it printed."""

    status: int
    output: str
    errors: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a program may use; beyond that its call fails, or it is ended. No new privileges, no core file."""

    address_space: int
    """Bytes."""
    cpu_seconds: int
    file_size: int
    """Bytes of any file that it writes."""


class TimedOut(Exception):
    """The program ran longer than it may; it has been killed."""


def guarded(command: Sequence[str | Path]) -> list[str]:
    """The command, run so that it gets SIGKILL when the thread that started it ends (util-linux's setpriv)."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *(str(word) for word in command)]


def limited(command: Sequence[str | Path], limits: Limits) -> list[str]:
    """The command, run within the limits from its first instruction on (util-linux's prlimit and setpriv)."""
    return [
        "prlimit",
        f"--as={limits.address_space}",
        f"--cpu={limits.cpu_seconds}",
        f"--fsize={limits.file_size}",
        "--core=0",
        "setpriv",
        "--no-new-privs",
        "--",
        *(str(word) for word in command),
    ]


def run(
    command: Sequence[str | Path],
    *,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    alive: Callable[[], None] | None = None,
    limits: Limits | None = None,
    output: int | None = None,
) -> Finished:
    """Run a program to its end, in the C locale, with nothing on its standard input.

    timeout: seconds; then it is killed and TimedOut raised. alive: called a few times a second; what it raises (an
    operation's `progress` raises Fenced or Cancelled) ends the program and is passed on. limits: what the program may
    use. output: a descriptor that gets what the program prints, in place of `Finished.output`. The program's process
    group is its own, and is ended as a whole.
    FileNotFoundError is never raised for a missing program: that is status 127, as in a shell."""
    process = subprocess.Popen(
        guarded(command if limits is None else limited(command, limits)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if output is None else output,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
        text=True,
        errors="replace",
        process_group=0,
    )
    try:
        remaining = timeout
        while True:
            step = remaining if alive is None else min(_POLL_SECONDS, remaining)
            try:
                printed, errors = process.communicate(timeout=step)
                return Finished(process.returncode, printed or "", errors)
            except subprocess.TimeoutExpired:
                remaining -= step
            if remaining <= 0:
                raise TimedOut(f"{Path(command[0]).name} did not end within {timeout:g} s")
            if alive is not None:
                alive()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Get this signal when the parent's thread that started this process ends; at once if it has ended already."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
