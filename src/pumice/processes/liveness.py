"""The pipe by which a child tells its supervisor, each second, that it still answers.

The supervisor gives the child one end (`Liveness.open`); the child calls `Liveness.from_environment().beat()` from the
very loop whose answering matters. Without a supervisor `beat` does nothing.
"""

import os

VARIABLE = "PUMICE_LIVENESS_FD"
BEAT_SECONDS = 1.0


class Liveness:
    """The child's end."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @classmethod
    def from_environment(cls) -> "Liveness":
        """The end that the supervisor gave; helper programs do not inherit it."""
        number = os.environ.pop(VARIABLE, None)
        if number is None:
            return cls(None)
        os.set_inheritable(int(number), False)
        os.set_blocking(int(number), False)
        return cls(int(number))

    def beat(self) -> None:
        """Say "I answer". Never blocks, never fails: a supervisor that is gone ends its children by itself."""
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, b".")
        except (BlockingIOError, BrokenPipeError):
            return
