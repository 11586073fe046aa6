"""Each command of the stock clients for volumes is in a table of `commands`, or named there as not there yet."""

import re
from collections.abc import Iterator

import pytest

from tests.end_to_end.commands import SCENES
from tests.end_to_end.commands.elsewhere import CINDER, COMMON, OPENSTACK
from tests.end_to_end.terminal import Terminal

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]

LINES = [row.line for scene in SCENES for row in scene.rows]


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    """Of nobody: lists of commands need no cloud."""
    made = Terminal({"OS_VOLUME_API_VERSION": "3.71"})
    yield made
    made.close()


def typed(client: str, commands: set[str]) -> set[str]:
    """Those of the commands that the tables type: for each line the longest name that it begins with."""
    found = set()
    for line in LINES:
        words = line.removeprefix(f"{client} ")
        names = [name for name in commands if words != line and f"{words} ".startswith(f"{name} ")]
        found.update(sorted(names, key=len)[-1:])
    return found


def check(client: str, commands: set[str], elsewhere: dict[str, tuple[str, ...]]) -> None:
    there, later = typed(client, commands), {name for names in elsewhere.values() for name in names}
    assert commands - there - later == set(), "commands that no table and no list names"
    assert later - commands == set(), "listed, but the client has no such command"
    assert later & there == set(), "in a table and listed as not there yet"


def test_each_command_of_cinder_is_in_a_table(terminal: Terminal) -> None:
    listed = terminal.run("cinder help").output.partition("Options:")[0]
    commands = set(re.findall(r"^    ([a-z][a-z-]+)(?= |$)", listed, re.MULTILINE))
    assert len(commands) > 100
    check("cinder", commands, CINDER)


def test_each_volume_command_of_openstack_is_in_a_table(terminal: Terminal) -> None:
    listed = terminal.run("openstack command list --group openstack.volume.v3 -f json").output
    commands = set(re.findall(r'"((?:block storage|consistency|volume) [a-z ]+)"', listed))
    assert len(commands) > 90
    lines = {line for line in LINES if line.startswith("openstack ")}
    others = {name for name in COMMON if any(line.startswith(f"openstack {name}") for line in lines)}
    assert others == set(COMMON)
    check("openstack", commands, OPENSTACK)


def test_each_row_looks_at_what_the_command_did() -> None:
    assert [row.line for scene in SCENES for row in scene.rows if not row.checks] == []
