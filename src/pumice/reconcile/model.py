"""A finding: one difference between what the database says and what is so, with evidence and the way to mend it.

    CHECKS      every finding by its stable name: what it means, what its repair does, who may start it

Findings are made by `rows.py` and `cached.py` (the database alone) and by `host.py` (an agent's hypervisor, exports and
pools), mended by `repairs.py`, put together by `run.py`. What a live operation holds, or is about, is never a finding.
"""

from typing import Any, Literal

import msgspec

Who = Literal["anybody", "command", "nobody"]
"""anybody: the periodic job mends it too. command: only `pumice reconcile`. nobody: it is only reported."""

State = Literal["found", "repaired", "queued", "left", "failed"]


class Check(msgspec.Struct, frozen=True):
    """What one kind of finding is."""

    meaning: str
    repair: str
    """What is done, or for `who` = nobody what a person should do."""
    who: Who = "anybody"


CHECKS: dict[str, Check] = {
    "attachment-server-gone": Check(
        "a volume is attached to a server that was deleted or never was", "the attachment is released"
    ),
    "attachment-server-unknown": Check(
        "an outside caller has a volume connected for a server that this cloud does not know",
        "if no other compute service uses it: pumice reconcile --release-unknown",
        "nobody",
    ),
    "attachment-unfinished": Check(
        "an attachment is half made and no operation is making it", "the attachment is released"
    ),
    "attachment-without-mapping": Check(
        "a volume is attached to a server whose list of disks lacks it", "the server's list gets it"
    ),
    "mapping-without-attachment": Check(
        "a server lists a volume that is not attached to it", "the entry is removed from the server's list"
    ),
    "volume-unfinished": Check(
        "a volume is being made or deleted and no operation is doing it",
        "a half-made volume turns to error; a deletion is started again",
    ),
    "snapshot-unfinished": Check(
        "a snapshot is being made or deleted and no operation is doing it",
        "a half-made snapshot turns to error; a deletion is started again",
    ),
    "server-unfinished": Check(
        "a server is being made or deleted and no operation is doing it",
        "a half-made server turns to ERROR; a deletion is started again",
    ),
    "hold-expired": Check("an outside caller reserved a volume and never came back", "the hold ends"),
    "status-stale": Check("a stored status is not what the facts say", "the status is derived anew"),
    "guest-unknown": Check(
        "the hypervisor runs a guest of ours that the database does not know",
        "look at it (virsh dumpxml), then remove it there",
        "nobody",
    ),
    "guest-left-over": Check("the hypervisor still has the guest of a deleted server", "the guest is removed"),
    "guest-missing": Check(
        "the hypervisor has no guest for a server", "start the server: that defines it anew", "nobody"
    ),
    "disk-missing": Check(
        "a volume is attached to a server whose guest does not have the disk", "the attachment is released"
    ),
    "disk-half-there": Check(
        "an attached volume is in one of its guest's two definitions only, the running one or the stored one",
        "the disk is put into the other one too; where that fails, nothing is taken away",
    ),
    "guest-paused": Check(
        "a guest stands still that nobody asked to pause: an I/O error, say of a full pool, or a pause left behind",
        "the guest goes on; after an I/O error make room first (pumice doctor), or it stops again at the same write",
        "command",
    ),
    "disk-left-over": Check("a guest has the disk of a volume that is not attached to it", "the disk is taken out"),
    "export-left-over": Check("a volume is exported for an attachment that is no more", "the export is taken away"),
    "export-missing": Check(
        "a volume is connected or attached, and its export is not there any more",
        "it is exported again, if that comes out as it was; else nothing is changed: detach it and attach it again",
    ),
    "pool-down": Check("a pool cannot be read, so nothing is said of its volumes", "see pumice doctor", "nobody"),
    "volume-data-missing": Check("the pool has no data of a volume", "the volume turns to error, with the reason"),
    "volume-data-back": Check("the data of a volume that was missing is there again", "the volume is usable again"),
    "volume-data-left-over": Check("the pool has the data of a deleted volume", "the data is removed"),
    "volume-data-unknown": Check(
        "the pool has a volume that the database does not know", "keep it, or remove it by hand", "nobody"
    ),
    "snapshot-data-missing": Check("the pool has no data of a snapshot", "the snapshot turns to error"),
    "snapshot-data-left-over": Check("the pool has the data of a deleted snapshot", "the data is removed"),
    "snapshot-data-unknown": Check(
        "the pool has a snapshot that the database does not know", "keep it, or remove it by hand", "nobody"
    ),
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. `name` is a key of CHECKS; `sentence` the evidence in words; `evidence` in data."""

    name: str
    resource_type: str
    resource_id: str
    sentence: str
    evidence: dict[str, Any] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A finding and what became of it. queued: `operation_id` does it. left: it is not so any more, or for nobody."""

    finding: Finding
    state: State = "found"
    note: str = ""
    operation_id: str | None = None


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to reconcile. `grace`: microseconds for which what an outside caller has just made is left alone."""

    dry_run: bool = False
    by_command: bool = False
    release_unknown: bool = False
    grace: int = 300_000_000

    def mends(self, name: str) -> bool:
        """May this kind of finding be mended now?"""
        if self.release_unknown and name == "attachment-server-unknown":
            return not self.dry_run
        allowed: tuple[Who, ...] = ("anybody", "command") if self.by_command else ("anybody",)
        return not self.dry_run and CHECKS[name].who in allowed
