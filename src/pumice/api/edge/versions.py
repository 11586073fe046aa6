"""Microversions as data: `(3, 13)`; windows of them on routes and fields; the header that asks for one."""

from dataclasses import dataclass
from functools import lru_cache

from pumice.errors import BadRequest, NotAcceptable

Microversion = tuple[int, int]
"""(major, minor): comparable, e.g. `call.version >= (3, 27)` (but say it as data where you can)."""

FIRST: Microversion = (0, 0)
LAST: Microversion = (999, 999)


def version(text: str | None, default: Microversion) -> Microversion:
    """`"3.13"` as (3, 13); None is the default. Raises ValueError."""
    if text is None:
        return default
    major, minor = text.split(".")
    return int(major), int(minor)


@dataclass(frozen=True, slots=True)
class Since:
    """On a field of a body: `Annotated[str | UnsetType, Since("3.13")]`; sent outside its window it is unknown.

    until: the last version that knows the field."""

    since: str | None = None
    until: str | None = None

    def holds(self, asked: Microversion) -> bool:
        return version(self.since, FIRST) <= asked <= version(self.until, LAST)


@dataclass(frozen=True, slots=True)
class VersionRange:
    """The microversions of a face; `service` is the word of the header ("volume 3.71")."""

    service: str
    lowest: Microversion
    highest: Microversion
    legacy_header: str | None = None
    """A header with the bare number, e.g. X-OpenStack-Nova-API-Version."""

    def asked(self, header: str | None, legacy: str | None) -> Microversion:
        """The version to answer in. Raises BadRequest (not a version) or NotAcceptable (out of range)."""
        if header is None and legacy is None:
            return self.lowest
        return _asked(self, header, legacy)


@lru_cache(maxsize=1024)
def _asked(range_: VersionRange, header: str | None, legacy: str | None) -> Microversion:
    text = legacy
    for part in (header or "").split(","):
        words = part.split()
        if len(words) == 2 and words[0].lower() == range_.service:
            text = words[1]
    if text is None:
        return range_.lowest
    text = text.strip()
    if text == "latest":
        return range_.highest
    major, dot, minor = text.partition(".")
    if not (dot and _is_number(major) and _is_number(minor)):
        raise BadRequest(f"API Version String {text[:40]!r} is of invalid format. Must be of format MajorNum.MinorNum.")
    found = int(major), int(minor)
    if not range_.lowest <= found <= range_.highest:
        raise NotAcceptable(
            f"Version {text} is not supported by the API. Minimum is {shown(range_.lowest)}"
            f" and maximum is {shown(range_.highest)}."
        )
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4 and (text == "0" or not text.startswith("0"))


def shown(asked: Microversion) -> str:
    return f"{asked[0]}.{asked[1]}"
