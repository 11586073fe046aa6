"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], deadline: float, what: str) -> T:
    """Ask the condition until it answers something true, and return that.

    deadline: seconds from now. Raises AssertionError naming `what`, and the last answer, when it passes.
    """
    end = time.monotonic() + deadline
    pause = 0.001
    while not (answer := condition()):
        if time.monotonic() >= end:
            raise AssertionError(f"{what}: not within {deadline:g} s (last answer: {answer!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return answer
