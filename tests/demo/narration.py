"""What the demo prints: chapters, numbered steps, command lines with their output, and what was checked.

tell.chapter("Story 1", "..."); tell.step("..."); tell.command("cinder list", output); tell.check(fact, "...")
"""

import re
import textwrap
import time

WIDTH = 160
MOST_LINES = 14


class NotHeld(Exception):
    """A check of a step did not hold. Carries what a reader needs to look further."""

    def __init__(self, step: str, expected: str, found: object) -> None:
        self.step = step
        self.expected = expected
        self.found = found
        super().__init__(f"{step}: expected {expected}; found {found!r}")


class Narrator:
    """Prints as it goes; remembers how long each chapter took (seconds) and how many checks held."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self.held = 0
        self._chapter = ""
        self._number = 0
        self._words = ""
        self._began = 0.0

    @property
    def where(self) -> str:
        """The step that is being told."""
        return f"{self._chapter}, step {self._number}: {self._words}"

    def chapter(self, name: str, title: str) -> None:
        """Begin a chapter; ends the one before."""
        self.finish()
        self._chapter, self._number, self._began = name, 0, time.monotonic()
        self._words = title
        self._say(f"\n{name}. {title}\n{'=' * min(WIDTH, len(name) + len(title) + 2)}")

    def finish(self) -> None:
        """The chapter has ended."""
        if self._chapter:
            self.times[self._chapter] = time.monotonic() - self._began
        self._chapter = ""

    def step(self, words: str) -> None:
        """Begin a numbered step."""
        self._number += 1
        self._words = words
        self._say(f"\n  {self._number}. {words}")

    def command(self, line: str, output: str, *, most: int = MOST_LINES) -> None:
        """A command line as the user would type it, and what came out; most=0: of a table only what matters most."""
        self._say(f"     $ {line}")
        lines = [part.rstrip() for part in output.splitlines() if part.strip()]
        if most == 0:
            lines = [part for part in lines if re.match(r"\| (id|name|status|size) +\|", part)]
            most = len(lines)
        for text in lines[:most]:
            if text.startswith(("|", "+")):
                self._say(f"       {text if len(text) <= WIDTH else text[: WIDTH - 3] + '...'}")
            else:
                self._say(textwrap.indent(textwrap.fill(text, WIDTH), " " * 7))
        if len(lines) > most:
            self._say(f"       ... ({len(lines) - most} lines more)")

    def note(self, words: str) -> None:
        """A sentence beneath a step."""
        self._say(textwrap.indent(textwrap.fill(words, WIDTH), " " * 5))

    def check(self, holds: bool, what: str, found: object = "the opposite") -> None:
        """Say whether it holds. Raises NotHeld when it does not."""
        self._say(f"     checked: {'yes' if holds else 'NO'} - {what}")
        if not holds:
            raise NotHeld(self.where, what, found)
        self.held += 1

    def same(self, found: object, expected: object, what: str) -> None:
        """Check that two things are equal. Raises NotHeld."""
        self.check(found == expected, what, f"{found!r} instead of {expected!r}")

    @staticmethod
    def _say(text: str) -> None:
        print(text, flush=True)
