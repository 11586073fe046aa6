"""What is shown for which facts: the pure part of block storage."""

import itertools

import pytest

from pumice.block.status import (
    AttachmentFacts,
    LiveOperation,
    Marks,
    VolumeFacts,
    attachment_status,
    snapshot_status,
    volume_status,
)
from pumice.block.transitions import ATTACH_WORDS, SNAPSHOT_WORDS, TRANSITIONS, VOLUME_WORDS

pytestmark = pytest.mark.fast

ATTACHED = AttachmentFacts("attached")
RESERVED = AttachmentFacts("reserved")
CONNECTED = AttachmentFacts("connected")
DETACHING = AttachmentFacts("attached", operation=LiveOperation("server.detach_volume", "exclusive"))
DISCONNECTING = AttachmentFacts("attached", operation=LiveOperation("attachment.disconnect", "exclusive"))


def shown(**facts: object) -> str:
    return volume_status(VolumeFacts(**{"life": "there", **facts})).status  # type: ignore[arg-type]


def test_a_volume_without_anything_is_available() -> None:
    assert shown() == "available"


@pytest.mark.parametrize(
    ("life", "word"), [("making", "creating"), ("broken", "error"), ("going", "deleting"), ("gone", "deleted")]
)
def test_the_life_of_a_volume_is_shown(life: str, word: str) -> None:
    assert shown(life=life) == word


@pytest.mark.parametrize(
    ("attachments", "word"),
    [
        ((RESERVED,), "reserved"),
        ((CONNECTED,), "attaching"),
        ((ATTACHED,), "in-use"),
        ((DETACHING,), "detaching"),
        ((DETACHING, ATTACHED), "detaching"),
        ((DISCONNECTING, ATTACHED), "detaching"),
        ((RESERVED, CONNECTED), "attaching"),
    ],
)
def test_the_attachments_of_a_volume_are_shown(attachments: tuple[AttachmentFacts, ...], word: str) -> None:
    assert shown(attachments=attachments) == word


def test_no_facts_without_an_attachment_show_in_use() -> None:
    """The end state of story 2 cannot be derived from anything but an attachment that is attached."""
    operations: tuple[tuple[LiveOperation, ...], ...] = ((), (LiveOperation("volume.extend", "exclusive"),))
    for life, holds, live in itertools.product(
        ("making", "there", "broken", "going", "gone"),
        (frozenset(), frozenset({"reserved"}), frozenset({"detaching"})),
        operations,
    ):
        assert shown(life=life, holds=holds, operations=live) != "in-use"


def test_an_exclusive_operation_is_stronger_than_a_mark_and_a_mark_than_the_facts() -> None:
    extending = (LiveOperation("volume.extend", "exclusive"),)
    assert shown(marks=Marks(status="maintenance")) == "maintenance"
    assert shown(marks=Marks(status="maintenance"), operations=extending) == "extending"


def test_an_operation_that_shares_the_volume_does_not_change_its_status() -> None:
    assert shown(operations=(LiveOperation("volume.create", "shared"),)) == "available"


def test_every_word_that_can_be_derived_is_one_of_the_documented_words() -> None:
    for entry in TRANSITIONS:
        if entry.running is not None:
            words = {"volume": VOLUME_WORDS, "snapshot": SNAPSHOT_WORDS, "attachment": ATTACH_WORDS}[entry.resource]
            assert entry.running in words, entry


def test_every_state_of_work_has_an_exit() -> None:
    """Each *-ing word of the table belongs to an operation, a hold or a step of an attach: never to a bare status."""
    for entry in TRANSITIONS:
        if entry.operation is None and entry.running is not None:
            assert entry.action in ("attach", "attach again", "reserve", "begin detaching")


def test_attachments_and_snapshots() -> None:
    assert attachment_status(AttachmentFacts("reserved", failed=True)) == "error_attaching"
    assert attachment_status(AttachmentFacts("released")) == "detached"
    assert snapshot_status("there") == "available"
    assert snapshot_status("there", (LiveOperation("snapshot.delete", "exclusive"),)) == "deleting"
    assert snapshot_status("broken") == "error"
    assert snapshot_status("there", mark="error") == "error"
