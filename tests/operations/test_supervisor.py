"""The supervisor with real children: what dies starts again, what is silent is killed, all end with it."""

import os
import signal
import sys
from pathlib import Path

import pytest

from pumice.subprocesses import TimedOut, run
from tests.support.processes import Process, Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

CHILD = """
import os, signal, sys, threading, time
from pathlib import Path
from pumice.processes.liveness import Liveness
liveness, notes, silent = Liveness.from_environment(), Path(sys.argv[1]), sys.argv[2] == "silent"
with notes.open("a") as file:
    file.write(f"{os.getpid()}\\n")
asked = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: asked.set())
liveness.beat()
while not asked.wait(0.1):
    if not silent:
        liveness.beat()
notes.with_suffix(".ended").touch()
"""

SUPERVISOR = """
import sys
from pumice.processes.supervisor import Child, Supervisor
from pathlib import Path
script, folder, *modes = sys.argv[1:]
children = [
    Child(name=mode, command=[sys.executable, script, str(Path(folder) / mode), mode], silence=1.0, start_time=30)
    for mode in modes
]
raise SystemExit(Supervisor(children).run())
"""


def start(processes: Processes, folder: Path, *modes: str) -> Process:
    child, supervisor = folder / "child.py", folder / "supervisor.py"
    child.write_text(CHILD)
    supervisor.write_text(SUPERVISOR)
    return processes.start(sys.executable, supervisor, child, folder, *modes)


def started(folder: Path, mode: str) -> list[int]:
    """The process ids of the child's lives so far."""
    notes = folder / mode
    return [int(line) for line in notes.read_text().splitlines()] if notes.exists() else []


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_that_is_killed_starts_again_and_the_other_lives_on(processes: Processes, tmp_path: Path) -> None:
    start(processes, tmp_path, "api", "agent")
    wait_until(lambda: started(tmp_path, "api") and started(tmp_path, "agent"), 20, "both have started")
    os.kill(started(tmp_path, "agent")[0], signal.SIGKILL)
    wait_until(lambda: len(started(tmp_path, "agent")) == 2, 20, "the agent has started again")
    assert len(started(tmp_path, "api")) == 1
    assert lives(started(tmp_path, "api")[0])


def test_a_silent_child_is_killed_and_starts_again(processes: Processes, tmp_path: Path) -> None:
    start(processes, tmp_path, "silent")
    wait_until(lambda: len(started(tmp_path, "silent")) == 2, 30, "the silent child was replaced")
    assert not lives(started(tmp_path, "silent")[0])


def test_a_stopped_child_is_killed_too(processes: Processes, tmp_path: Path) -> None:
    start(processes, tmp_path, "agent")
    wait_until(lambda: started(tmp_path, "agent"), 20, "it has started")
    os.kill(started(tmp_path, "agent")[0], signal.SIGSTOP)
    wait_until(lambda: len(started(tmp_path, "agent")) == 2, 30, "it was replaced")


def test_a_signal_ends_the_children_in_order(processes: Processes, tmp_path: Path) -> None:
    supervisor = start(processes, tmp_path, "api", "agent")
    wait_until(lambda: started(tmp_path, "api") and started(tmp_path, "agent"), 20, "both have started")
    pids = [started(tmp_path, mode)[0] for mode in ("api", "agent")]
    supervisor.send(signal.SIGTERM)
    assert supervisor.wait(20) == 0
    assert not any(lives(pid) for pid in pids)
    assert (tmp_path / "api.ended").exists()
    assert (tmp_path / "agent.ended").exists()


def test_children_die_with_a_killed_supervisor(processes: Processes, tmp_path: Path) -> None:
    supervisor = start(processes, tmp_path, "agent")
    wait_until(lambda: started(tmp_path, "agent"), 20, "it has started")
    supervisor.kill()
    pid = started(tmp_path, "agent")[0]
    wait_until(lambda: not lives(pid), 10, "the child is gone")


def test_a_helper_program_ends_at_its_time_limit_and_with_its_process(processes: Processes, tmp_path: Path) -> None:
    with pytest.raises(TimedOut, match="sleep did not end"):
        run(["sleep", "60"], timeout=0.2)
    assert run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10).status == 3
    assert run(["no-such-program"], timeout=10).status == 127
    code = "from pumice.subprocesses import run; run(['sh', '-c', 'echo $$ > \"$0\"; exec sleep 60', '{}'], timeout=99)"
    holder = processes.start(sys.executable, "-c", code.format(tmp_path / "pid"))
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), 20, "it runs")
    pid = int((tmp_path / "pid").read_text())
    assert lives(pid)
    holder.kill()
    wait_until(lambda: not lives(pid), 10, "the helper is gone")
