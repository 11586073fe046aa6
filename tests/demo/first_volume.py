"""A volume in a guest: seen, written, snapshotted; and a guest that writes all the time while snapshots are taken.

A snapshot of a volume in use has to hold a prefix of the writes: all up to some moment, none after it. The guest
writes numbered blocks to two far places by turns, each only when the one before is on the disk: a copy that takes its
time would hold the latest blocks of the second place and lack earlier ones of the first.
"""

import re

from tests.demo.stage import Guest, Stage

OLD, NEW = "the old bytes", "the new bytes"
BLOCK = 4096
BLOCKS = 4000
HALF = (1 << 30) // BLOCK // 2
SNAPSHOTS = 8


def tell_first_volume(stage: Stage) -> Guest:
    """From images to a snapshot's bytes in a guest; the guest goes on into the next stories."""
    tell, demo = stage.tell, stage.demo
    tell.chapter("Prologue", "From an empty state directory to a volume inside a guest")
    tell.step("Upload the guest: a kernel, a ramdisk, and an image that names the two by kernel_id and ramdisk_id.")
    stage.upload_image()
    tell.step("Boot a server from it. It is a real QEMU guest; it tells on its console when it is up.")
    guest = stage.boot("first")
    console = demo.run("openstack console log show --lines 5 first")
    tell.check("GUEST-UP" in console, "the console's log has the guest's own words", console)

    tell.step("Create a volume, attach it, and ask the guest itself.")
    volume = stage.volume("data")
    stage.attach(guest, "data", volume)
    with guest.inside() as inside:
        found = inside.disks()[volume]
    tell.same(found["size"], 1 << 30, f"the guest's kernel has a disk of 1 GiB with the serial {volume}")
    stage.agree(guest, {volume})
    guest.write(volume, OLD)
    tell.same(guest.read(volume, len(OLD)), OLD, f"the guest wrote {OLD!r} and reads it back")
    tell_old_bytes(stage, guest, volume)
    tell_writing(stage, guest, volume)
    tell.step("Detach it; the volumes made from snapshots are not needed any more.")
    demo.run("openstack volume delete restored consistent")
    stage.detach(guest, "data", volume)
    stage.agree(guest, set())
    return guest


def tell_old_bytes(stage: Stage, guest: Guest, volume: str) -> None:
    """A snapshot of the volume in use keeps what was there."""
    tell, demo = stage.tell, stage.demo
    tell.step("Take a snapshot while the volume is in use, let the guest write over it, attach a volume made from it.")
    demo.run("openstack volume snapshot create --force --volume data before", most=0)
    guest.write(volume, NEW)
    restored = stage.volume("restored", source="--snapshot before")
    stage.attach(guest, "restored", restored)
    found = (guest.read(volume, len(NEW)), guest.read(restored, len(OLD)))
    tell.same(found, (NEW, OLD), f"the volume has {NEW!r}, the snapshot's volume still {OLD!r}, both read in the guest")
    stage.detach(guest, "restored", restored)


def tell_writing(stage: Stage, guest: Guest, volume: str) -> None:
    """Snapshots while the guest writes."""
    tell = stage.tell
    tell.step(f"The guest writes numbered blocks in two places by turns; meanwhile {SNAPSHOTS} snapshots are taken.")
    start_writing(guest, volume)
    output = stage.demo.script("take_snapshots.py", volume, SNAPSHOTS)
    taken = re.findall(r"^([0-9a-f-]{36}) available", output, re.MULTILINE)
    tell.same(len(taken), SNAPSHOTS, "all snapshots are available")
    last = guest.ask("sh", "cat /run/written").split()[-1]
    guest.ask("sh", "touch /run/stop")
    lengths = [prefix_length(stage, snapshot) for snapshot in taken]
    tell.note(f"writes that each snapshot holds: {', '.join(map(str, lengths))}; the guest was at {last} at the end")
    tell.check(
        lengths == sorted(lengths),
        "every snapshot holds exactly the first so many writes, and later ones more",
        lengths,
    )
    between = [length for length in lengths if 0 < length < BLOCKS]
    tell.check(len(set(between)) >= 4, "the snapshots fell into the writing", lengths)
    middle = taken[len(taken) // 2]
    length = lengths[len(taken) // 2]
    copy = stage.volume("consistent", source=f"--snapshot {middle}")
    stage.attach(guest, "consistent", copy)
    seen = [guest.read(copy, 8, place(number) * BLOCK) for number in (1, length, length + 1)]
    expected = [f"{1:08d}", f"{length:08d}", "\0" * 8]
    tell.same(
        seen, expected, f"a guest reads write {length} in a volume made from one of them, and no write {length + 1}"
    )
    stage.detach(guest, "consistent", copy)


def place(number: int) -> int:
    """The block of the numbered write (from 1): odd ones in the first half of the volume, even ones in the second."""
    return (number - 1) // 2 + (number - 1) % 2 * HALF


def start_writing(guest: Guest, volume: str) -> None:
    """The blocks are made in the guest's memory, then written in the background, one direct write after another."""
    with guest.inside() as inside:
        device = inside.disks()[volume]["name"]
        zeros = f"dd if=/dev/zero of=/dev/{device} bs=64k count=128 conv=fsync,notrunc"
        inside.command("sh", f"{zeros} && echo 0 >/run/written")
        inside.command(
            "sh", f'awk \'BEGIN{{for(i=1;i<={BLOCKS};i++)printf "%08d%{BLOCK - 8}s",i,"x"}}\' >/run/numbered'
        )
        write = f"dd if=/run/numbered of=/dev/{device} bs={BLOCK} count=1 conv=notrunc oflag=direct"
        body = f"{write} skip=$i seek=$((i/2+i%2*{HALF})) 2>/dev/null || break; i=$((i+1)); echo $i >/run/written"
        loop = f"i=0; while [ $i -lt {BLOCKS} ] && [ ! -e /run/stop ]; do {body}; done"
        inside.command("sh", f"({loop}) </dev/null >/dev/null 2>&1 &")


def prefix_length(stage: Stage, snapshot_id: str) -> int:
    """How many writes the snapshot's file in the pool holds; NotHeld when they are not the first ones."""
    found = []
    with stage.cloud.snapshot_file(snapshot_id).open("rb") as file:
        for number in range(1, BLOCKS + 1):
            file.seek(place(number) * BLOCK)
            block = file.read(BLOCK)
            if block[:8].strip(b"\0"):
                whole = block == f"{number:08d}{'x':>{BLOCK - 8}}".encode()
                stage.tell.check(
                    whole, f"block {number} of snapshot {snapshot_id} is whole", block[:16]
                ) if not whole else None
                found.append(number)
    if found != list(range(1, len(found) + 1)):
        stage.tell.check(False, f"snapshot {snapshot_id} holds a prefix of the writes", found[-5:])
    return len(found)
