"""Helper programs that die with the process that needs them, and processes that die with their parent.

    run(["qemu-img", "convert", ...], timeout=3600)     a helper program of a driver or a step
    guarded(["tgtd", ...])                               the same command, made to die with its parent
    die_with_parent()                                    this very process asks to be ended with its parent

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


class TimedOut(Exception):
    """The program ran longer than it may; it has been killed."""


def guarded(command: Sequence[str | Path]) -> list[str]:
    """The command, run so that it gets SIGKILL when the thread that started it ends (util-linux's setpriv)."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *(str(word) for word in command)]


def run(
    command: Sequence[str | Path],
    *,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    alive: Callable[[], None] | None = None,
) -> Finished:
    """Run a program to its end, in the C locale, with nothing on its standard input.

    timeout: seconds; then it is killed and TimedOut raised. alive: called a few times a second; what it raises (an
    operation's `progress` raises Fenced or Cancelled) ends the program and is passed on.
    FileNotFoundError is never raised for a missing program: that is status 127, as in a shell."""
    process = subprocess.Popen(
        guarded(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
        text=True,
        errors="replace",
    )
    try:
        remaining = timeout
        while True:
            step = remaining if alive is None else min(_POLL_SECONDS, remaining)
            try:
                output, errors = process.communicate(timeout=step)
                return Finished(process.returncode, output, errors)
            except subprocess.TimeoutExpired:
                remaining -= step
            if remaining <= 0:
                raise TimedOut(f"{Path(command[0]).name} did not end within {timeout:g} s")
            if alive is not None:
                alive()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Get this signal when the parent's thread that started this process ends; at once if it has ended already."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
