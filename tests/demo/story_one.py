"""Story 1: the usage audit died on the first volume. Here: exact, repeatable; one bad row does not stop the rest."""

import re
import time
from datetime import UTC, datetime

from tests.demo.stage import Stage
from tests.support.waiting import wait_until

ROW = re.compile(r"^\| ([0-9a-f-]{36}) \| volume\.exists ", re.MULTILINE)
TRAITS = (
    "status",
    "user_id",
    "service",
    "availability_zone",
    "tenant_id",
    "created_at",
    "resource_id",
    "host",
    "replication_status",
    "request_id",
    "display_name",
    "project_id",
    "type",
    "size",
)


def tell_story_one(stage: Stage) -> None:
    tell, demo = stage.tell, stage.demo
    tell.chapter("Story 1", "The usage audit that died on the first volume")
    begin = next_second()
    tell.step("In the period: two volumes that stay, and one that is deleted before the period ends.")
    small = stage.volume("bill-small")
    large = stage.volume("bill-large", size=2)
    gone = stage.volume("bill-gone", size=3)
    demo.run("cinder delete bill-gone")
    stage.eyes.wait_for_volume(gone, "gone")
    end = next_second()
    sizes = {small: 1.0, large: 2.0, gone: 3.0}

    tell.step("The operator audits the period.")
    audit = f"usage-audit --start_time '{begin}' --end_time '{end}'"
    stage.demo.pumice(audit)
    tell.step("The events and the samples, read back with the stock ceilometer program.")
    events = check_events(stage, sizes)
    check_samples(stage, sizes)

    tell.step("The same audit once more: nothing is sent twice.")
    again = stage.demo.pumice(audit)
    tell.check(bool(re.search(r"[1-9]\d* of them known", again)), "it says that the events were known already", again)
    output = demo.run("ceilometer event-list -q event_type=volume.exists", quiet=True)
    tell.same(set(ROW.findall(output)), events, "the same message ids, and no others, are there")
    tell_bad_row(stage, sizes, begin)


def tell_bad_row(stage: Stage, sizes: dict[str, float], begin: str) -> None:
    """A row that nobody can read."""
    tell, demo = stage.tell, stage.demo
    tell.step(
        "A row of the database is damaged by hand; the audit of a longer period names it and sends all the others."
    )
    bad = next(iter(sizes))
    end = next_second()
    with stage.cloud.database() as database:
        before = database.execute("SELECT metadata FROM volumes WHERE id = ?", (bad,)).fetchone()[0]
        database.execute("UPDATE volumes SET metadata = '{broken' WHERE id = ?", (bad,))
    try:
        output = demo.pumice(f"usage-audit --start_time '{begin}' --end_time '{end}'", fails=True)
    finally:
        with stage.cloud.database() as database:
            database.execute("UPDATE volumes SET metadata = ? WHERE id = ?", (before, bad))
    tell.check(bad in output and "could not be reported" in output, f"exit status 1, and volume {bad} is named", output)
    counts = dict.fromkeys(sizes, 0)
    with stage.cloud.database() as database:
        for row in database.execute("SELECT resource_id FROM events WHERE event_type = 'volume.exists'"):
            if row["resource_id"] in counts:
                counts[row["resource_id"]] += 1
    expected = {volume: 1 if volume == bad else 2 for volume in sizes}
    tell.same(counts, expected, "each other volume has its event of the second period")


def check_events(stage: Stage, sizes: dict[str, float]) -> set[str]:
    """The message ids of volume.exists; each audited volume has exactly one, with every trait."""
    tell = stage.tell
    output = stage.demo.run("ceilometer event-list -q event_type=volume.exists", most=24)
    found = ROW.findall(output)
    blocks = re.split(ROW.pattern.replace("(", "(?:"), output, flags=re.MULTILINE)[1:]
    for volume in sizes:
        mine = [block for block in blocks if volume in block]
        tell.same(len(mine), 1, f"volume {volume} has exactly one event volume.exists")
        missing = [trait for trait in TRAITS if not re.search(rf"\| +{trait} +\|", mine[0])]
        tell.same(missing, [], "it has all its typed traits")
    deleted = [volume for volume in sizes if stage.eyes.status(volume) == "gone"]
    tell.check(len(deleted) == 1, "one of these three does not exist any more and is billed all the same", deleted)
    return set(found)


def check_samples(stage: Stage, sizes: dict[str, float]) -> None:
    """volume.exists: delta, 1.0, volume; volume.size: gauge, GiB."""
    tell = stage.tell
    for meter, kind, unit in (("volume.exists", "delta", "volume"), ("volume.size", "gauge", "GB|GiB")):
        output = stage.demo.run(f"ceilometer sample-list -m {meter}", most=9)
        for volume, size in sizes.items():
            value = 1.0 if meter == "volume.exists" else size
            row = rf"^\| {volume} +\| {re.escape(meter)} +\| {kind} +\| {value} +\| (?:{unit}) +\|"
            tell.check(bool(re.search(row, output, re.MULTILINE)), f"{meter} of {volume[:8]}: {kind}, {value}", output)


def next_second() -> str:
    """The begin of the next full second, once it has come."""
    second = int(time.time()) + 1
    wait_until(lambda: time.time() >= second, 3, "the next second")
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
