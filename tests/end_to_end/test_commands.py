"""Each command for volumes, typed once at its highest version; another client, or the disk, tells what it did.

The tables are in `commands`; their form is explained in `table.py`. What programs do is in `scripts/use_sdk.py`.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.shell import CLIENTS, clean_environment
from tests.demo.stage import Stage
from tests.end_to_end.commands import SCENES
from tests.end_to_end.conftest import staged
from tests.end_to_end.table import Scene, World
from tests.support.waiting import wait_until

USE_SDK = Path(__file__).parent / "scripts" / "use_sdk.py"

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """With a second backend, so that volumes can move."""
    with staged("second") as stage:
        yield stage


@pytest.fixture(scope="module")
def world(stage: Stage) -> Iterator[World]:
    made = World(stage.cloud)
    made.keep("demo_project", "openstack project show demo", "admin")
    made.keep("lab", "openstack image show lab", "demo")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def tidy(world: World) -> Iterator[None]:
    """Servers and volumes that a scene has left, also where it failed, are none of the next one's."""
    yield
    eyes = world.eyes["admin"]

    def left(service: str, kind: str) -> list[str]:
        found = eyes.get(service, f"/{kind}?all_tenants=1")
        assert found is not None
        return [one["id"] for one in found[kind]]

    for server in left("compute", "servers"):
        eyes.delete("compute", f"/servers/{server}")
    wait_until(lambda: not left("compute", "servers"), 60, "no server is left")
    for volume in left("block-storage", "volumes"):
        eyes.delete("block-storage", f"/volumes/{volume}?cascade=true&force=true")
    wait_until(lambda: not left("block-storage", "volumes"), 60, "no volume is left")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_each_command_does_what_others_see(stage: Stage, world: World, scene: Scene) -> None:
    if scene.server:
        world.ids["guest"] = stage.start_boot(f"guest-of-{scene.name.replace(' ', '-')}").id
    for row in scene.rows:
        row.run(world)


@pytest.mark.parametrize(
    "story", ["volumes", "snapshots", "attachments", "types", "quotas", "services", "places", "images"]
)
def test_what_programs_do_with_openstacksdk(stage: Stage, story: str) -> None:
    ended = subprocess.run(
        [CLIENTS / "python", USE_SDK, story, stage.cloud.state / "clouds.yaml"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stderr
