"""Patterns of paths in access rules: `/v3/*/volumes`, `/v2.1/servers/{server_id}`, `/v2/images/**`.

    *  and  {name}    one or more characters without a slash          **    any characters, also none

A pattern is written by a user and matched against what a client sends, so it is no regular expression: all states are
followed at once as the bits of one number, and a match costs the length of the path, whatever the pattern is.
"""

import re
from functools import lru_cache

_WORDS = re.compile(r"\{[^{}]*\}|\*\*|\*|.", re.DOTALL)


class PathPattern:
    """One compiled pattern. Bit i of a state: the words before i have been matched."""

    __slots__ = ("_any", "_end", "_literals", "_part")

    def __init__(self, pattern: str) -> None:
        words = _WORDS.findall(pattern)
        self._literals: dict[str, int] = {}
        self._any = self._part = 0
        place = 0
        for word in words:
            if word == "**":
                if place and self._any >> (place - 1) & 1:
                    continue  # two in a row are one
                self._any |= 1 << place
            elif word == "*" or len(word) > 1:
                self._part |= 1 << place
            else:
                self._literals[word] = self._literals.get(word, 0) | 1 << place
            place += 1
        self._end = 1 << place

    def matches(self, path: str) -> bool:
        """Does the whole path match?"""
        states = self._over_any(1)
        for character in path:
            here = states & self._part if character != "/" else 0
            moved = (states & self._literals.get(character, 0) | here) << 1
            states = self._over_any(moved | here | states & self._any)
            if not states:
                return False
        return bool(states & self._end)

    def _over_any(self, states: int) -> int:
        """`**` may stand for nothing."""
        return states | (states & self._any) << 1


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> PathPattern:
    """The pattern, compiled once."""
    return PathPattern(pattern)
