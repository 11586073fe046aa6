"""Device names of a server's disks, as the API shows them ("/dev/sdb"); the guest need not use the same."""

import re
from collections.abc import Iterable, Iterator

from pumice.errors import Conflict, InvalidField

PREFIXES = {"scsi": "/dev/sd", "virtio": "/dev/vd"}
_NAME = re.compile(r"(?:/dev/)?(?:x?[a-z]?d)([a-z]{1,2})[0-9]*")


def letters_of(device: str) -> str | None:
    """ "b" of "/dev/sdb", whatever the bus; None for a name that is none."""
    match = _NAME.fullmatch(device)
    return match[1] if match else None


def plain(device: str | None) -> str:
    """ "/dev/sdb" of "sdb" too: two names that are the same are equal."""
    name = device or ""
    return name if name.startswith("/dev/") else f"/dev/{name}"


def choose(asked: str | None, taken: Iterable[str | None], bus: str, *, first: str = "b") -> str:
    """The asked name, or the first free one of the bus from the letter `first` on. Raises InvalidField, Conflict."""
    names = [name for name in taken if name is not None]
    if asked:
        if letters_of(asked) is None:
            raise InvalidField("device", asked, "a name like /dev/sdb")
        name = plain(asked)
        if name in names:
            raise Conflict(f"The device name {name} is taken by another disk of the server; leave it out.")
        return name
    used = {letters_of(name) for name in names}
    return PREFIXES[bus] + next(one for one in _letters() if one not in used and (one >= first or len(one) > 1))


def _letters() -> Iterator[str]:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    yield from alphabet
    for one in alphabet:
        yield from (one + two for two in alphabet)
