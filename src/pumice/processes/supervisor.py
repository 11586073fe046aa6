"""The supervisor: starts the processes of `pumice serve`, restarts what dies, kills what does not answer.

    Supervisor([Child("api", [...]), Child("agent", [...])]).run()

A crash in a C library (libvirt, librbd) ends one child, never the others. A child that dies is started again at once;
one that keeps dying soon after its start, with growing pauses. A child that was silent for too long on its liveness
pipe is killed. SIGTERM and SIGINT are passed on as SIGTERM, to one child after the other: the API process first, so
that requests that wait for an operation still get their answer from the agent. Who does not end in time is killed.
SIGHUP is passed on to the children that know it (the API process reads its certificate again).
Children die with the supervisor, however it ends (the kernel sees to that). Guests are nobody's children: QEMU
daemonizes, and they live on.
"""

import contextlib
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import FrameType

import msgspec

from pumice.processes.liveness import VARIABLE
from pumice.processes.service_manager import ServiceManager
from pumice.subprocesses import guarded

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_SOON_SECONDS = 10.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """One process to keep running. Times in seconds."""

    name: str
    command: Sequence[str]
    start_time: float = 60.0
    """How long it may take until it answers for the first time."""
    silence: float = 15.0
    """How long it may be silent after that."""
    stop_time: float = 20.0
    """How long it may take to end when asked."""
    reloads: bool = False
    """It knows what to do on SIGHUP."""
    descriptors: Sequence[int] = ()
    """Open files that it gets under their numbers: a listening socket."""


class Supervisor:
    """Keeps the children running until a signal comes; they end in the order given. Use from the main thread: the
    kernel ties children to it."""

    def __init__(
        self,
        children: Sequence[Child],
        environment: Mapping[str, str] | None = None,
        manager: ServiceManager | None = None,
    ) -> None:
        self._kept = [_Kept(child, dict(environment or {})) for child in children]
        self._manager = manager or ServiceManager()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._signals = 0
        self._reload = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT and the end of every child; returns the exit status 0."""
        before = {number: signal.signal(number, self._asked) for number in (signal.SIGTERM, signal.SIGINT)}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._asked_to_reload)
        try:
            while not self._signals:
                for kept in self._kept:
                    kept.look()
                self._manager.alive()
                self._pass_reload_on()
                self._pause()
            self._manager.stopping()
            self._stop()
        finally:
            for kept in self._kept:
                kept.kill("the supervisor ends")
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self._wake()

    def _asked_to_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b".")

    def _pass_reload_on(self) -> None:
        """Not before a child has said that it lives: its handler is there then."""
        reloading = [kept for kept in self._kept if kept.child.reloads]
        if self._reload and all(kept.answered for kept in reloading):
            self._reload = False
            for kept in reloading:
                kept.send(signal.SIGHUP)

    def _pause(self) -> None:
        pipes = [kept.pipe for kept in self._kept if kept.pipe is not None]
        ready, _, _ = select.select([self._wake_read, *pipes], [], [], _LOOK_SECONDS)
        if self._wake_read in ready:
            os.read(self._wake_read, 64)
        for kept in self._kept:
            if kept.pipe in ready:
                kept.hear()

    def _stop(self) -> None:
        """Ask one after the other, and wait for each; a second signal ends the waiting."""
        for kept in self._kept:
            kept.send(signal.SIGTERM)
            deadline = time.monotonic() + kept.child.stop_time
            while kept.runs and time.monotonic() < deadline and self._signals < 2:
                self._manager.alive()
                self._pause()


class _Kept:
    """One child with its present process."""

    def __init__(self, child: Child, environment: dict[str, str]) -> None:
        self.child = child
        self.pipe: int | None = None
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._heard: float | None = None
        self._soon_dead = 0
        self._start_at = 0.0

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def answered(self) -> bool:
        return self.runs and self._heard is not None

    def look(self) -> None:
        """Start it, start it again, or kill it, as is due."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._start_at:
                self._start(now)
        elif self._process.poll() is not None:
            self._ended(now)
        elif self._heard is None and now - self._started > self.child.start_time:
            self.kill(f"it did not answer within {self.child.start_time:g} s")
        elif self._heard is not None and now - self._heard > self.child.silence:
            self.kill(f"it was silent for {self.child.silence:g} s")

    def _start(self, now: float) -> None:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(ours, False)
        try:
            self._process = subprocess.Popen(
                guarded(self.child.command),
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self._environment, VARIABLE: str(theirs)},
                pass_fds=(theirs, *self.child.descriptors),
                process_group=0,
            )
        finally:
            os.close(theirs)
        self.pipe, self._started, self._heard = ours, now, None
        _log.info("%s started as process %d", self.child.name, self._process.pid)

    def _ended(self, now: float) -> None:
        assert self._process is not None
        soon = now - self._started < _SOON_SECONDS
        pause = min(_FIRST_PAUSE * 2 ** min(self._soon_dead, 10), _LONGEST_PAUSE) if self._soon_dead else 0.0
        self._soon_dead = self._soon_dead + 1 if soon else 0
        _log.warning("%s ended with %d; again in %.1f s", self.child.name, self._process.returncode, pause)
        self._start_at = now + pause
        self._forget()

    def _forget(self) -> None:
        self._process = None
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None

    def hear(self) -> None:
        """Read what it said; a pipe at its end belongs to a process that is ending."""
        assert self.pipe is not None
        try:
            said = os.read(self.pipe, 4096)
        except BlockingIOError:
            return
        if said:
            self._heard = time.monotonic()
        else:
            os.close(self.pipe)
            self.pipe = None

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and self.runs:
            self._process.send_signal(number)

    def kill(self, reason: str) -> None:
        if self._process is not None and self.runs:
            _log.warning("%s (process %d) is killed: %s", self.child.name, self._process.pid, reason)
            self._process.kill()
            self._process.wait()
