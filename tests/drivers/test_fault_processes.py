"""Kills by the plan of the environment, in processes of their own; those inside the file pool are in its own tests."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest

from pumice import faults
from pumice.outcomes import Removed
from pumice.storage.contract import Location
from pumice.targets.config import TargetConfig
from pumice.targets.contract import Connector, Export
from pumice.targets.registry import DRIVERS

pytestmark = pytest.mark.real

HERE = Connector(host="node1")
VOLUME, ATTACHMENT = (str(uuid.UUID(int=number)) for number in (1, 2))
PLACE = Location(kind="file", path="/pool/volume.raw", size_bytes=1 << 30)

CONNECT = """
import sys
from pumice.storage.contract import Location
from pumice.targets.config import TargetConfig
from pumice.targets.contract import Connector
from pumice.targets.local import LocalTarget
target = LocalTarget(TargetConfig(name="test", host="node1", directory=sys.argv[1]))
target.start()
place = Location(kind="file", path="/pool/volume.raw", size_bytes=1 << 30)
target.connect(sys.argv[2], sys.argv[3], place, Connector(host="node1"), False)
target.disconnect(sys.argv[2], sys.argv[3])
"""


def test_a_kill_from_the_environment_happens_once_across_restarts(tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    plan = [{"point": "here", "action": "kill", "once": str(marker)}]
    environment = os.environ | {faults.VARIABLE: msgspec.json.encode(plan).decode()}
    command = [sys.executable, "-c", "from pumice import faults; faults.point('here'); print('passed')"]
    first = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert first.returncode == -signal.SIGKILL
    assert marker.exists()
    second = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    assert second.stdout == b"passed\n"


@pytest.mark.parametrize(
    "point",
    [
        "local.connect:before",
        "durable.write_file:made",
        "local.connect:made",
        "local.disconnect:before",
        "local.disconnect:made",
    ],
)
def test_a_target_killed_anywhere_the_same_calls_again_finish(point: str, tmp_path: Path) -> None:
    directory = tmp_path / "exports"
    plan = [{"point": point, "action": "kill"}]
    killed = subprocess.run(
        [sys.executable, "-c", CONNECT, str(directory), VOLUME, ATTACHMENT],
        env=os.environ | {faults.VARIABLE: msgspec.json.encode(plan).decode()},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    target = DRIVERS["local"](TargetConfig(name="test", host="node1", directory=str(directory)))
    target.start()
    assert not list(directory.glob(".*"))
    there = point in ("local.connect:made", "local.disconnect:before")
    assert target.exports() == ([Export(VOLUME, ATTACHMENT)] if there else [])
    target.connect(VOLUME, ATTACHMENT, PLACE, HERE, False)
    assert target.exports() == [Export(VOLUME, ATTACHMENT)]
    assert target.disconnect(VOLUME, ATTACHMENT) is Removed.DELETED
    assert list(directory.iterdir()) == []
