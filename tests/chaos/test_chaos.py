"""A short part of the chaos each time, another one for each commit; `make chaos` runs it at length."""

import json
import os
import random
from pathlib import Path

import pytest

from tests.chaos.cloud import ChaosCloud
from tests.chaos.inspection import findings
from tests.chaos.torment import torment
from tests.support.campaign import commit_number

pytestmark = pytest.mark.real

SECONDS = 40.0
STRAY = "00000000-0000-4000-8000-000000000000"


def test_nothing_is_stuck_or_left_over(tmp_path: Path) -> None:
    """PUMICE_TEST_CHAOS=SEED repeats a run whose seed was printed."""
    seed = int(os.environ.get("PUMICE_TEST_CHAOS") or commit_number())
    print(f"PUMICE_TEST_CHAOS={seed}")
    summary = torment(tmp_path, seconds=SECONDS, seed=seed)
    print(summary.text)
    assert not summary.findings, summary.text


def test_what_is_stuck_or_left_over_is_found(tmp_path: Path) -> None:
    cloud = ChaosCloud(tmp_path, random.Random(0))
    try:
        cloud.start()
        assert findings(cloud) == []
        with cloud.login("demo") as http:
            volume = http.post("/volume/v3/volumes", json={"volume": {"size": 1}}).json()["volume"]["id"]
            cloud.wait_settled(30)
            http.post("/volume/v3/attachments", json={"attachment": {"volume_uuid": volume}}).raise_for_status()
        cloud.volume_file(volume).unlink()
        stray = cloud.volume_file(STRAY)
        stray.touch()
        (cloud.state / "backends" / "file" / "exports" / f"{STRAY}.{STRAY}.json").touch()
        (cloud.state / "servers" / STRAY).mkdir(parents=True)
        guests = cloud.hypervisor / "memory.json"
        told = json.loads(guests.read_text()) if guests.exists() else {}
        guest = {"guest": {"server_id": STRAY, "name": "g", "vcpus": 1, "memory_mib": 1}}
        cloud.stop()
        guests.write_text(json.dumps({**told, "guests": {STRAY: guest}}))
        found = "\n".join(findings(cloud))
    finally:
        cloud.close()
    for sentence in (
        f"volumes {volume} is reserved",
        "is reserved",
        f"volume {volume} has no data",
        f"volume data {STRAY} has no row",
        f"export {STRAY}.{STRAY}.json is left over",
        f"guest {STRAY} is left over",
        f"files of server {STRAY} are left over",
        "no agent runs",
    ):
        assert sentence in found, found
