"""Faults on purpose: named points in the code where a test may kill, fail or hang the process.

`point("file.create:published")` stands where a crash would be interesting; it costs one comparison while no
plan is set. A plan is a list of faults. It comes from one of two places:

- the variable `PUMICE_FAULTS` of the environment, read once at import, for the processes of a kill test:

      PUMICE_FAULTS='[{"point": "file.create:*", "action": "kill", "nth": 2, "once": "/path/of/a/marker"}]'

- `with planned(Plan(...)):` inside a test's own process; the simulators hold a `Plan` of their own.

Names read `part.method:moment`, e.g. `file.create:made` (the side effect is there, nobody was told yet) and
`file.create:published` (the name is there, the method has not returned). A plan notes every point that it is
asked about (`reached`), so a test finds the points of a method by running it once under an empty plan.

Nothing here imports any other part of Pumice.
"""

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

VARIABLE = "PUMICE_FAULTS"

_POLL_SECONDS = 0.01


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault of a plan that comes as JSON."""

    point: str
    """Glob over the names of points (`*`, `?`, `[abc]`; case matters)."""
    action: Literal["kill", "fail", "hang"]
    """kill: SIGKILL to this very process. fail: raise OSError with the number named by `error`.
    hang: wait until the file `until` is there, or for ever where none is given."""
    nth: int = 1
    """Which of this process's hits of matching points; counted from 1. 0 means every one."""
    error: str = "EIO"
    """Name of the errno for `fail`, e.g. "ENOSPC"."""
    until: str | None = None
    """Path of the file that ends a `hang`."""
    once: str | None = None
    """Path of a marker file: the fault acts only where it could make this file, so it happens once across all
    restarts of a process, and whoever waits for the fault watches for the file."""


class _Armed:
    """A fault that counts its hits and what it does when its turn has come."""

    def __init__(self, pattern: str, nth: int, act: Callable[[], None]) -> None:
        self.pattern = pattern
        self.nth = nth
        self.act = act
        self.hits = 0


class Hang:
    """A fault that holds whoever reaches its point until released."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._released = threading.Event()

    def wait_reached(self, seconds: float = 10.0) -> None:
        """Returns once somebody hangs here; TimeoutError when nobody came in time."""
        if not self._reached.wait(seconds):
            raise TimeoutError(f"nobody reached the fault within {seconds} s")

    def release(self) -> None:
        """Let everybody go on who hangs here, and whoever comes later."""
        self._released.set()

    def _hold(self) -> None:
        self._reached.set()
        self._released.wait()


class Plan:
    """Faults to come, and a record of the points passed. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._hangs: list[Hang] = []
        self.reached: list[str] = []

    def fail(self, pattern: str, error: Exception, nth: int = 1) -> None:
        """Raise `error` at the nth hit (0: at every hit) of a point that matches."""

        def act() -> None:
            raise error

        self._arm(pattern, nth, act)

    def hang(self, pattern: str, nth: int = 1) -> Hang:
        """Hold the caller at the nth hit until the returned handle is released."""
        hang = Hang()
        self._hangs.append(hang)
        self._arm(pattern, nth, hang._hold)
        return hang

    def call(self, pattern: str, action: Callable[[], None], nth: int = 1) -> None:
        """Run `action` in the thread that reaches the point; what it raises, the point raises."""
        self._arm(pattern, nth, action)

    def kill(self, pattern: str, nth: int = 1) -> None:
        """End this process at the nth hit, as `kill -9` does."""
        self._arm(pattern, nth, _kill)

    def clear(self) -> None:
        """Forget every fault and release whoever hangs."""
        with self._lock:
            self._armed.clear()
            hangs, self._hangs = self._hangs, []
        for hang in hangs:
            hang.release()

    def point(self, name: str) -> None:
        """The code passes the point: do what the plan says. Raises what the plan says."""
        with self._lock:
            self.reached.append(name)
            due = [armed for armed in self._armed if self._turn(armed, name)]
        for armed in due:
            armed.act()

    def _arm(self, pattern: str, nth: int, act: Callable[[], None]) -> None:
        with self._lock:
            self._armed.append(_Armed(pattern, nth, act))

    @staticmethod
    def _turn(armed: _Armed, name: str) -> bool:
        if not fnmatchcase(name, armed.pattern):
            return False
        armed.hits += 1
        return armed.nth in (0, armed.hits)


def point(name: str) -> None:
    """The place in the code that a plan may name. Raises only what a plan says."""
    if _plan is not None:
        _plan.point(name)


@contextmanager
def planned(plan: Plan) -> Iterator[Plan]:
    """The plan is in force in this process until the block ends; then whoever hangs in it is released."""
    global _plan
    before = _plan
    _plan = plan
    try:
        yield plan
    finally:
        _plan = before
        plan.clear()


def parse(text: str | bytes) -> Plan:
    """The plan of a JSON list. Raises msgspec.ValidationError or msgspec.DecodeError with what is wrong."""
    plan = Plan()
    for fault in msgspec.json.decode(text, type=list[Fault]):
        plan._arm(fault.point, fault.nth, _action(fault))
    return plan


def _action(fault: Fault) -> Callable[[], None]:
    number = getattr(errno, fault.error, None)
    if not isinstance(number, int):
        raise msgspec.ValidationError(f"error {fault.error!r} is not the name of an errno")

    def act() -> None:
        if fault.once is not None and not _made(fault.once):
            return
        if fault.action == "kill":
            _kill()
        elif fault.action == "fail":
            raise OSError(number, os.strerror(number))
        else:
            _hang(fault.until)

    return act


def _made(marker: str) -> bool:
    """True for the one process that made the file."""
    try:
        os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(until: str | None) -> None:
    never = threading.Event()
    while until is None or not Path(until).exists():
        never.wait(_POLL_SECONDS)


_plan: Plan | None = parse(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
