"""Real processes in tests: started in a group of their own, output collected, the whole group ended with the test.

process = processes.start("pumice", "serve", ...)      # the fixture `processes` of conftest
process.wait_for_output("listening", deadline=10)
process.kill()                                         # kill -9 of this one process
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support import sweeper
from tests.support.waiting import wait_until

BIN = Path(sys.executable).parent
"""Where the environment's own programs are, e.g. BIN / "pumice"."""


class Process:
    """One started process, the leader of a group of its own. Its output (both streams) goes to the file `log`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self.pid = self._popen.pid
        sweeper.watch(self.pid, *self._states())

    def _states(self) -> list[Path]:
        """The state directory that the command names."""
        following = zip(self.command, self.command[1:], strict=False)
        return [Path(word) for option, word in following if option == "--state"]

    @property
    def output(self) -> str:
        """All that it printed so far."""
        return self.log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def wait_for_output(self, text: str, deadline: float) -> None:
        """Wait until it has printed the text; fails at once, showing its output, if it ends before that."""

        def printed() -> bool:
            ended = not self.running
            if text in self.output:
                return True
            if ended:
                raise AssertionError(f"{self.command} ended with {self._popen.returncode}:\n{self.output}")
            return False

        wait_until(printed, deadline, f"{text!r} in the output of {self.command}")

    def wait(self, deadline: float) -> int:
        """Its exit status (negative: the signal that ended it), once it has ended by itself."""
        try:
            return self._popen.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} runs on after {deadline:g} s:\n{self.output}") from None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this one process, not to its group."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """kill -9 of this one process; returns when it is gone. What it started goes on until `end`."""
        self._popen.kill()
        self._popen.wait()

    def end(self, grace: float = 10) -> int:
        """Ask it to end, kill what is left of its group, and return its exit status."""
        if self.running:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        status = self._popen.wait()
        sweeper.forget(self.pid)
        return status


class Processes:
    """All processes of one test; leaving the `with` block ends them, the last started first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[Process] = []

    def start(
        self,
        *command: str | Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Process:
        """Start a command; a bare word that names one of the environment's programs means that program."""
        first, *rest = command
        program = BIN / first if (BIN / first).exists() else Path(first)
        log = self.directory / f"{len(self._started)}-{program.name}.log"
        process = Process([program, *rest], log, environment=environment, directory=directory)
        self._started.append(process)
        return process

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._started):
            process.end()
