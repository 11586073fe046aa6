"""The form of the tables of commands: a line as it is typed, and how its effect is read back.

    row(
        "openstack volume create --size 1 --property colour=red one",
        prints({"name": "one"}),                             what the command itself says
        shows("cinder show one", {"status": "available"}),   what another client says of it, as soon as it does
        keep="one",                                          {one} in a later line is the id that was printed
    )

A Scene is the rows of one noun, in their order. Values are compared as text; a compiled pattern is searched for.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tests.demo.cloud import Cloud
from tests.demo.eyes import Eyes
from tests.end_to_end.terminal import Answer, Terminal, fields, rows
from tests.support.waiting import wait_until

SECONDS = 60.0
"""How long an effect may take."""

HIGHEST = {"OS_VOLUME_API_VERSION": "3.71", "OS_COMPUTE_API_VERSION": "2.96"}
"""The highest versions that the clients know, `nova` for compute; `openstack` knows HIGHEST_COMPUTE."""

HIGHEST_COMPUTE = "2.100"

Wanted = Mapping[str, str | re.Pattern[str]]


class World:
    """What a scene plays in: the cloud, its two users, each at a terminal, and the ids that were kept."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.ids: dict[str, str] = {}
        users = {name: {**cloud.user(name), **HIGHEST} for name in ("admin", "demo")}
        self.eyes = {name: Eyes(environment) for name, environment in users.items()}
        self.terminals = {name: Terminal(environment) for name, environment in users.items()}

    def type(self, line: str, user: str) -> Answer:
        """Run a line, its {names} replaced by the ids that were kept."""
        line = re.sub("^openstack ", f"openstack --os-compute-api-version {HIGHEST_COMPUTE} ", line)
        return self.terminals[user].run(self.fill(line))

    def keep(self, name: str, line: str, user: str) -> None:
        """Remember the id that a line prints, as {name}."""
        self.ids[name] = printed_id(self.type(line, user).output)

    def fill(self, text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda name: self.ids[name[1]], text)

    def close(self) -> None:
        for name in self.eyes:
            self.eyes[name].close()
            self.terminals[name].close()


Check = Callable[[World, Answer], None]


class Row(msgspec.Struct, frozen=True):
    """One command: see the head of the file. `fails`: it must end with an error."""

    line: str
    checks: tuple[Check, ...]
    user: str
    keep: str
    fails: bool

    def run(self, world: World) -> None:
        """Type it, keep its id, hold the checks. Raises AssertionError with what was printed."""
        answer = world.type(self.line, self.user)
        assert (answer.status != 0) == self.fails, f"exit status {answer.status} of: {self.line}\n{told(answer)}"
        if self.keep:
            world.ids[self.keep] = printed_id(answer.output)
        for check in self.checks:
            try:
                check(world, answer)
            except AssertionError as error:
                raise AssertionError(f"{error}\nafter: {self.line}\n{told(answer)}") from error


class Scene(msgspec.Struct, frozen=True):
    """The rows of one noun, in their order. `server`: it needs a server, whose name and id are "guest" and {guest}."""

    name: str
    rows: tuple[Row, ...]
    server: bool = False


def row(line: str, *checks: Check, user: str = "admin", keep: str = "", fails: bool = False) -> Row:
    return Row(line, checks, user, keep, fails)


def told(answer: Answer) -> str:
    return f"{answer.output}{answer.errors}"


def printed_id(output: str) -> str:
    """The id that a command printed: of what it made, or of the first row of a list."""
    printed = fields(output) or rows(output)[0]
    return next(printed[name] for name in ("image_id", "id", "ID") if name in printed)


# -- checks


def prints(wanted: Wanted) -> Check:
    """The command's own table of properties has these."""

    def check(world: World, answer: Answer) -> None:
        differing = differs(world, wanted, fields(answer.output))
        assert not differing, f"it prints otherwise: {differing}"

    return check


def prints_row(wanted: Wanted) -> Check:
    """The command's own list has a row with these."""

    def check(world: World, answer: Answer) -> None:
        assert any(not differs(world, wanted, one) for one in rows(answer.output)), f"it prints no row {wanted}"

    return check


def says(text: str) -> Check:
    """It prints this pattern anywhere, on either stream."""

    def check(world: World, answer: Answer) -> None:
        assert re.search(world.fill(text), told(answer)), f"it does not say {text!r}"

    return check


def shows(line: str, wanted: Wanted, user: str = "admin") -> Check:
    """Another command's table of properties has these, soon."""
    return _soon(
        line, user, f"{line} shows {wanted}", lambda world, answer: not differs(world, wanted, fields(answer.output))
    )


def lists(line: str, wanted: Wanted, user: str = "admin") -> Check:
    """Another command's list has a row with these, soon."""

    def held(world: World, answer: Answer) -> bool:
        return any(not differs(world, wanted, one) for one in rows(answer.output))

    return _soon(line, user, f"{line} lists {wanted}", held)


def lists_not(line: str, wanted: Wanted, user: str = "admin") -> Check:
    """Another command's list has no such row any more, soon."""

    def held(world: World, answer: Answer) -> bool:
        return answer.status == 0 and all(differs(world, wanted, one) for one in rows(answer.output))

    return _soon(line, user, f"{line} lists no {wanted}", held)


def beneath(what: str, seen: Callable[[World], Any]) -> Check:
    """What lies beneath (files, rows) is so, soon."""

    def check(world: World, answer: Answer) -> None:
        wait_until(lambda: seen(world), SECONDS, what)

    return check


def _soon(line: str, user: str, what: str, held: Callable[[World, Answer], bool]) -> Check:
    def check(world: World, answer: Answer) -> None:
        said: list[Answer] = []

        def asked() -> bool:
            said[:] = [world.type(line, user)]
            return held(world, said[0])

        try:
            wait_until(asked, SECONDS, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{told(said[0])}") from error

    return check


def differs(world: World, wanted: Wanted, found: Mapping[str, str]) -> dict[str, str]:
    """Of the wanted properties those that are otherwise, with what they are."""
    return {
        name: found.get(name, "missing") for name, value in wanted.items() if not _same(world, value, found.get(name))
    }


def _same(world: World, wanted: str | re.Pattern[str], found: str | None) -> bool:
    if found is None:
        return False
    return bool(wanted.search(found)) if isinstance(wanted, re.Pattern) else world.fill(wanted) == found
