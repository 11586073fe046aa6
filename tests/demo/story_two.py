"""Story 2: "in-use" by a server that does not exist. Here: refused, or real; and old rows heal by one command."""

import json
import os
import signal
import uuid

from tests.demo.stage import Guest, Stage
from tests.support.waiting import wait_until


def tell_story_two(stage: Stage, guest: Guest) -> None:
    tell, demo = stage.tell, stage.demo
    tell.chapter("Story 2", '"In-use" by a server that does not exist')
    volume = quiet_volume(stage, "phantom")
    tell.step("The original script: volumes.attach(volume, server_id, '/dev/vdb') with a server that does not exist.")
    nobody = str(uuid.uuid4())
    output = demo.script("original.py", volume, nobody, "attach", fails=True, most=1)
    tell.check(
        nobody in output and "HTTP 40" in output,
        "it is refused with 400 or 404, and the answer names the server",
        output,
    )
    tell.same(stage.eyes.status(volume), "available", "the volume is as it was: available")

    tell.step("The same with a server of this cloud: it becomes a real attachment.")
    demo.script("original.py", volume, guest.id, "attach")
    stage.eyes.wait_for_volume(volume, "in-use")
    guest.wait_sees({volume})
    stage.agree(guest, {volume})
    demo.run("cinder list --name phantom")
    demo.run(f"nova volume-attachments {guest.name}")
    said = json.loads(demo.script("original.py", volume, guest.id, "agree"))
    expected = {"nova": [volume], "cinder": "in-use", "attached to": [guest.id]}
    tell.same(said, expected, "servers.get().os-extended-volumes:volumes_attached and cinder say the same")

    tell.step("And volumes.detach(volume) is a real detach.")
    demo.script("original.py", volume, guest.id, "detach")
    stage.eyes.wait_for_volume(volume)
    guest.wait_sees(set())
    stage.agree(guest, set())

    tell.step("The right way: novaclient's create_server_volume. Then nobody but compute takes it away.")
    demo.script("original.py", volume, guest.id, "compute")
    stage.eyes.wait_for_volume(volume, "in-use")
    guest.wait_sees({volume})
    output = demo.script("original.py", volume, guest.id, "detach", fails=True, most=1)
    tell.check("409" in output, "os-detach of what compute attached is refused (409), and says what to do", output)
    stage.agree(guest, {volume})
    stage.detach(guest, "phantom", volume)
    tell_seeded_rows(stage, guest, volume)
    tell_deleted_meanwhile(stage, volume)


def quiet_volume(stage: Stage, name: str) -> str:
    stage.tell.step("A volume to try it with.")
    return stage.volume(name)


def tell_seeded_rows(stage: Stage, guest: Guest, volume: str) -> None:
    """The rows of an old cloud, written by hand."""
    tell = stage.tell
    tell.step("The rows of the story are written into the database by hand: in-use by nobody, and by a missing server.")
    other = stage.volume("phantom-2")
    nobody, attachment = str(uuid.uuid4()), str(uuid.uuid4())
    with stage.cloud.database() as database:
        row = dict(database.execute("SELECT * FROM volumes WHERE id = ?", (volume,)).fetchone())
        values = {
            "id": attachment,
            "volume_id": volume,
            "project_id": row["project_id"],
            "user_id": row["user_id"],
            "server_id": nobody,
            "device": "/dev/vdb",
            "mode": "rw",
            "origin": "os-attach",
            "shared": 0,
            "stage": "attached",
            "attach_status": "attached",
            "created_at": row["created_at"],
            "updated_at": row["created_at"],
            "attached_at": row["created_at"],
        }
        marks = ", ".join("?" * len(values))
        database.execute(f"INSERT INTO attachments ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
        database.executemany(
            "UPDATE volumes SET status = 'in-use', attach_status = 'attached' WHERE id = ?", [(volume,), (other,)]
        )
    stage.demo.run("cinder list --status in-use")
    tell.same(stage.eyes.status(volume), "in-use", "the cloud shows the lie that was written into its database")
    tell.step("One command heals them, no SQL.")
    output = stage.demo.pumice("reconcile", fails=None, most=24)
    tell.check(nobody in output, "it says which server does not exist", output)
    for one in (volume, other):
        stage.eyes.wait_for_volume(one)
    tell.same(
        [one["status"] for one in stage.eyes.volumes() if one["id"] in (volume, other)],
        ["available"] * 2,
        "both are available",
    )
    with stage.cloud.database() as database:
        live = database.execute("SELECT count(*) FROM attachments WHERE deleted_at IS NULL").fetchone()[0]
    tell.same(live, 0, "and no attachment is left")
    stage.demo.run("openstack volume delete phantom-2")
    stage.agree(guest, set())


def tell_deleted_meanwhile(stage: Stage, volume: str) -> None:
    """A server that is deleted while nobody is there to clean up."""
    tell, demo, cloud = stage.tell, stage.demo, stage.cloud
    tell.step("A server with the volume is deleted while the agent (worker and compute) is away: stopped, then killed.")
    doomed = stage.start_boot("doomed")
    demo.run("openstack server add volume doomed phantom", most=0)
    stage.eyes.wait_for_volume(volume, "in-use")
    pid = cloud.wait_for_process("agent")
    os.kill(pid, signal.SIGSTOP)
    demo.run("openstack server delete doomed")
    tell.check(cloud.guest_process(doomed.id) is not None, "the guest still runs: nobody was there to end it")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: stage.eyes.server(doomed.id) is None, 60, "the server is gone")
    stage.eyes.wait_for_volume(volume)
    left = {
        "process": cloud.guest_process(doomed.id),
        "definition": cloud.disks().get(doomed.id),
        "exports": {name for name in cloud.exports() if volume in name},
    }
    empty: dict[str, object] = {"process": None, "definition": None, "exports": set()}
    tell.same(left, empty, "the next agent finished it: volume available, no guest, no definition, no export left")
