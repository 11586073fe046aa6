"""Story 4: attach "succeeded" and nothing was attached. Here: to a stopped guest; and when the hypervisor refuses."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.demo.shell import rows
from tests.demo.stage import Guest, Stage

WORDS = "written before the guest was stopped"


def tell_story_four(stage: Stage, guest: Guest) -> None:
    tell, demo = stage.tell, stage.demo
    tell.chapter("Story 4", 'Attach "succeeded" and nothing was attached')
    tell.step("A volume with something on it, and the server stopped.")
    volume = stage.volume("sleeper")
    stage.attach(guest, "sleeper", volume)
    guest.write(volume, WORDS)
    stage.detach(guest, "sleeper", volume)
    demo.run(f"openstack server stop {guest.name}", most=0)
    stage.eyes.wait_for_server(guest.id, "SHUTOFF")
    tell.check(stage.cloud.guest_process(guest.id) is None, "no QEMU process of it runs")

    tell.step("Attach it to the stopped server, then start: the data is there.")
    demo.run(f"openstack server add volume {guest.name} sleeper")
    stage.eyes.wait_for_volume(volume, "in-use")
    demo.run(f"openstack server start {guest.name}", most=0)
    stage.eyes.wait_for_server(guest.id, "ACTIVE")
    guest.wait_up(boots=2)
    guest.wait_sees({volume})
    tell.same(guest.read(volume, len(WORDS)), WORDS, f"the guest reads {WORDS!r}")
    stage.agree(guest, {volume})
    stage.detach(guest, "sleeper", volume)
    tell_refusal(stage, guest)


def tell_refusal(stage: Stage, guest: Guest) -> None:
    """QEMU itself refuses: another program on the host has the volume open."""
    tell, demo = stage.tell, stage.demo
    tell.step("On the host another program has a volume open (a forgotten qemu-io): QEMU must refuse it.")
    volume = stage.volume("taken")
    with held_open(stage.cloud.volume_file(volume)):
        tell.note("# qemu-io volume-....raw      (on the host, holding QEMU's own lock)")
        demo.run(f"openstack server add volume {guest.name} taken", fails=None)
        stage.eyes.wait_for_volume(volume)
        tell.same(stage.eyes.status(volume), "available", "the volume is available again, not stuck and not in-use")
        stage.agree(guest, set())
    check_reason(stage, guest, volume)
    tell.step("The other program has ended: the same command works.")
    stage.attach(guest, "taken", volume)
    stage.agree(guest, {volume})
    stage.detach(guest, "taken", volume)


def check_reason(stage: Stage, guest: Guest, volume: str) -> None:
    """The sentence is where the user is."""
    tell, demo = stage.tell, stage.demo
    tell.step("The reason, in one sentence, where the user looks: the volume's messages and the server's actions.")
    output = demo.run("openstack volume message list -f value -c 'Resource UUID' -c 'User Message'")
    tell.check(volume in output and "lock" in output, "the volume's message names the lock", output)
    output = demo.run(f"cinder message-list --resource_uuid {volume}", most=8)
    tell.check(volume in output, "cinder shows the same message", output)
    actions = rows(demo.run(f"nova instance-action-list --limit 3 {guest.name}"))
    failed = [row for row in actions if row["Action"] == "attach_volume" and "lock" in row["Message"]]
    tell.same(len(failed), 1, "one attach_volume of the server's actions has it as its message")
    output = demo.run(f"nova instance-action {guest.name} {failed[0]['Request_ID']}", most=30)
    tell.check("Error" in output and "lock" in output, "its event says Error, with the sentence", output)
    with stage.cloud.database() as database:
        failure = database.execute("SELECT failure FROM attachments WHERE volume_id = ?", (volume,)).fetchone()[0]
    tell.note(f"attachment: {failure}")
    tell.check(failure is not None and "lock" in failure, "the attachment's record has it too", failure)
    tell.check(not re.search(r"/\w+/\w+", failure), "and it names no path of the host", failure)


@contextmanager
def held_open(path: Path) -> Iterator[None]:
    """A qemu-io that has opened the file for writing, as QEMU does, with QEMU's lock; ended afterwards."""
    command = ["qemu-io", "-f", "raw", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        try:
            holder.stdin.write("length\n")
            holder.stdin.flush()
            assert holder.stdout.readline(), "qemu-io has not opened the volume"
            yield
        finally:
            holder.kill()
