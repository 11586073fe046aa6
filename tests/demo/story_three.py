"""Story 3: detach right after attach, stuck in `detaching` for ever. Here: storms, and processes killed meanwhile."""

import json
import random
import threading

from tests.demo.narration import NotHeld
from tests.demo.stage import Guest, Stage
from tests.support.waiting import wait_until

CALM_SECONDS = 4
STORM_SECONDS = 10
VOLUMES = 3


def tell_story_three(stage: Stage, guest: Guest, seed: int) -> None:
    tell = stage.tell
    tell.chapter("Story 3", "Detach right after attach, stuck in `detaching` for ever")
    tell.step(f"A second server and {VOLUMES} volumes.")
    second = stage.start_boot("second")
    volumes = [stage.volume(f"storm-{number}") for number in range(VOLUMES)]
    second.wait_up()

    tell.step(f"For {CALM_SECONDS} s each volume is attached and detached again at once, without any sleep between.")
    counts = storm(stage, [guest, second], volumes, CALM_SECONDS, [])
    tell.check(counts.get("attach", 0) >= VOLUMES and counts.get("detach", 0) >= VOLUMES, "many came and went", counts)
    surprising = [name for name in counts if "answered" in name or "no answer" in name]
    tell.same(surprising, [], "every request was answered, none with an error of the server's")
    check_nothing_left(stage, [guest, second], volumes)

    tell.step(
        f"The same for {STORM_SECONDS} s, while the agent and the API are killed (kill -9) at random; seed {seed}."
    )
    chance = random.Random(seed)
    victims = ["agent", "api", "agent", "agent", "api"]
    chance.shuffle(victims)
    kills = [(chance.uniform(0.8, 1.8), victim) for victim in victims]
    counts = storm(stage, [guest, second], volumes, STORM_SECONDS, kills)
    surprising = [name for name in counts if "answered" in name and not name.endswith(("503", "504"))]
    tell.same(
        surprising, [], "what was answered at all was answered well: done, refused, or 503 while something was away"
    )
    tell.step("What is left, seen from every side.")
    check_nothing_left(stage, [guest, second], volumes)
    for volume in volumes[:1]:
        tell.step("And the volume is as good as new: it is attached once more.")
        stage.attach(second, "storm-0", volume)
        stage.agree(second, {volume})
        stage.detach(second, "storm-0", volume)


def storm(
    stage: Stage, guests: list[Guest], volumes: list[str], seconds: int, kills: list[tuple[float, str]]
) -> dict[str, int]:
    """Run the storm; kill each victim so many seconds after the one before. What the storm counted."""
    pause = threading.Event()
    process = stage.demo.begin("storm.py", seconds, ",".join(one.id for one in guests), ",".join(volumes))
    try:
        for after, victim in kills:
            pause.wait(after)
            stage.tell.note(f"kill -9 {stage.cloud.kill(victim)}   ({victim})")
        output, _ = process.communicate(timeout=seconds + 60)
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise NotHeld(stage.tell.where, "the storm's program ends with status 0", output)
    counts: dict[str, int] = json.loads(output.splitlines()[-1])
    for name, count in sorted(counts.items()):
        stage.tell.note(f"{count:6d}  {name}")
    return counts


def check_nothing_left(stage: Stage, guests: list[Guest], volumes: list[str]) -> None:
    """Nothing stuck, nothing leaked: API, guests, libvirt's files, exports, pool."""
    tell, cloud = stage.tell, stage.cloud
    wait_until(cloud.healthy, 60, "the API answers")
    for volume in volumes:
        settle(stage, volume)
    tell.same([stage.eyes.status(one) for one in volumes], ["available"] * len(volumes), "every volume is available")
    tell.same(stage.eyes.attachments(), [], "no attachment is left (API)")
    for guest in guests:
        guest.wait_sees(set())
        tell.same(stage.eyes.server_volumes(guest.id), set(), f"compute says that server {guest.name} has none")
    tell.same(cloud.attached(), set(), "no disk is left in libvirt's files")
    tell.same(cloud.exports(), set(), "no export is left")
    known = {volume["id"] for volume in stage.eyes.volumes()}
    tell.same(cloud.pool_files(), known, "the pool holds the files of exactly the volumes that there are")


def settle(stage: Stage, volume: str) -> None:
    """A killed API may have taken an attach and not its detach: then the volume is in-use, and detached here."""

    def settled() -> bool:
        status = stage.eyes.status(volume)
        if status == "in-use":
            holders = stage.eyes.volume(volume) or {}
            for one in holders.get("attachments", []):
                stage.tell.note(f"the last word on {volume[:8]} was an attach: it is in-use, and now detached")
                stage.demo.run(f"openstack server remove volume {one['server_id']} {volume}", quiet=True, fails=None)
        return status == "available"

    wait_until(settled, 60, f"volume {volume} is available")
