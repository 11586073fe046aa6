"""The derivation of a server's words, and the table that it rests on: for any facts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.compute.devices import choose
from pumice.compute.operations import OPERATIONS
from pumice.compute.status import ServerFacts, server_status
from pumice.compute.transitions import STATUSES, TRANSITIONS
from pumice.errors import Conflict, InvalidField

pytestmark = pytest.mark.fast

KINDS = sorted(entry.operation for entry in TRANSITIONS if entry.operation)
FACTS = st.builds(
    ServerFacts,
    life=st.sampled_from(["making", "there", "broken", "going", "gone"]),
    power=st.sampled_from(["on", "off", "paused", "suspended", "none"]),
    failed=st.booleans(),
    stage=st.none() | st.sampled_from(["resized", "shelved", "offloaded"]),
    mark=st.none() | st.just("error"),
    position=st.integers(0, 12),
    operation=st.none() | st.sampled_from([*KINDS, "server.unheard_of"]),
)


@given(FACTS)
def test_a_task_is_shown_exactly_while_something_ends_it(facts: ServerFacts) -> None:
    shown = server_status(facts)
    tasks = {entry.operation: entry.task_state(facts.position) for entry in TRANSITIONS}
    if facts.life == "gone":
        assert (shown.status, shown.task_state) == ("DELETED", None)
    elif facts.life == "going":
        assert shown.task_state == "deleting"
    else:
        assert shown.task_state == tasks.get(facts.operation)


@given(FACTS)
def test_only_words_of_the_table_are_shown(facts: ServerFacts) -> None:
    shown = server_status(facts)
    words = {*STATUSES.values(), "DELETED", *(one.running_status for one in TRANSITIONS if one.running_status)}
    assert shown.status in words
    assert shown.vm_state in {*STATUSES, "deleted"}


def test_the_table_names_operations_that_there_are() -> None:
    others = {"server.read_console", "server.attach_offloaded", "server.clear_kept"}
    others |= {"attachment.park", "attachment.return"}
    assert set(KINDS) == {operation.kind for operation in OPERATIONS} - others


def test_device_names() -> None:
    assert choose(None, [], "scsi") == "/dev/sdb"
    assert choose(None, [], "scsi", first="a") == "/dev/sda"
    assert choose(None, ["/dev/sdb", "/dev/vdc", None], "scsi") == "/dev/sdd"
    assert choose("vdq", ["/dev/sdq"], "scsi") == "/dev/vdq"
    assert choose(None, [f"/dev/sd{chr(letter)}" for letter in range(ord("b"), ord("z") + 1)], "scsi") == "/dev/sdaa"
    with pytest.raises(Conflict):
        choose("/dev/sdb", ["/dev/sdb"], "scsi")
    for wrong in ("/dev/", "../x", "sd", "/dev/sdb; rm"):
        with pytest.raises(InvalidField):
            choose(wrong, [], "scsi")
