"""Status is derived, never set: pure functions from facts to the words of the API.

`block.facts` reads the facts and rewrites the cached columns in the transaction that changes a fact; a property test
holds that cached and derived are the same after any history. What is shown, in order of strength:

    a live exclusive operation > an operator's mark > the life of the volume > an open transfer
    > a hold > its attachments, those that are being detached first > available
"""

from typing import Literal

import msgspec

from pumice.block.transitions import is_migrating, running_word

Life = Literal["making", "there", "broken", "going", "gone"]
Stage = Literal["reserved", "connected", "attached", "released"]


class LiveOperation(msgspec.Struct, frozen=True):
    """An operation that holds the resource now."""

    kind: str
    mode: Literal["exclusive", "shared"]


class AttachmentFacts(msgspec.Struct, frozen=True):
    """What is known of one attachment."""

    stage: Stage
    failed: bool = False
    operation: LiveOperation | None = None


class Marks(msgspec.Struct, frozen=True):
    """Words an operator asked to be shown."""

    status: str | None = None
    attach_status: str | None = None
    migration_status: str | None = None


class VolumeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a volume's status depends on."""

    life: Life
    operations: tuple[LiveOperation, ...] = ()
    attachments: tuple[AttachmentFacts, ...] = ()
    holds: frozenset[str] = frozenset()
    transfer: bool = False
    migration: str | None = None
    """How the last migration ended: success or error."""
    marks: Marks = Marks()


class VolumeStatus(msgspec.Struct, frozen=True):
    """The cached columns."""

    status: str
    attach_status: str
    migration_status: str | None


_LIFE_WORDS = {"making": "creating", "broken": "error", "going": "deleting", "gone": "deleted"}


def volume_status(facts: VolumeFacts) -> VolumeStatus:
    """The three words that a volume is shown with."""
    return VolumeStatus(
        status=_volume_word(facts),
        attach_status=facts.marks.attach_status or _volume_attach_word(facts.attachments),
        migration_status=_migration_word(facts),
    )


def _migration_word(facts: VolumeFacts) -> str | None:
    if any(is_migrating(operation.kind) for operation in facts.operations):
        return "migrating"
    return facts.marks.migration_status or facts.migration


def _volume_word(facts: VolumeFacts) -> str:
    for operation in facts.operations:
        word = running_word("volume", operation.kind) if operation.mode == "exclusive" else None
        if word is not None:
            return word
    if facts.marks.status is not None and facts.life != "gone":
        return facts.marks.status
    if facts.life != "there":
        return _LIFE_WORDS[facts.life]
    if facts.transfer:
        return "awaiting-transfer"
    if "detaching" in facts.holds:
        return "detaching"
    words = {attachment_status(attachment) for attachment in facts.attachments}
    for found, shown in (
        # First: clients wait for the end of a detach by this, also where another server keeps the volume.
        ("detaching", "detaching"),
        ("attached", "in-use"),
        ("attaching", "attaching"),
        ("reserved", "reserved"),
        ("error_attaching", "reserved"),
    ):
        if found in words:
            return shown
    if facts.holds:
        return "attaching"
    return "available"


def _volume_attach_word(attachments: tuple[AttachmentFacts, ...]) -> str:
    words = {attachment_status(attachment) for attachment in attachments}
    for word in ("attached", "detaching", "attaching", "reserved", "error_attaching"):
        if word in words:
            return word
    return "detached"


def attachment_status(facts: AttachmentFacts, mark: str | None = None) -> str:
    """The word that an attachment is shown with."""
    if facts.operation is not None:
        word = running_word("attachment", facts.operation.kind)
        if word is not None:
            return word
    if mark is not None:
        return mark
    match facts.stage:
        case "attached":
            return "attached"
        case "connected":
            return "attaching"
        case "released":
            return "detached"
        case _:
            return "error_attaching" if facts.failed else "reserved"


def snapshot_status(life: Life, operations: tuple[LiveOperation, ...] = (), mark: str | None = None) -> str:
    """The word that a snapshot is shown with."""
    for operation in operations:
        word = running_word("snapshot", operation.kind) if operation.mode == "exclusive" else None
        if word is not None:
            return word
    if mark is not None and life != "gone":
        return mark
    return _LIFE_WORDS.get(life, "available")
