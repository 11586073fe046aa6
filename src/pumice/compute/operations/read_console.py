"""Read the end of a guest's console, on the host where it is. Changes nothing; the answer is the operation's result."""

import msgspec

from pumice.compute.operations.settling import at_host
from pumice.db.engine import Transaction
from pumice.operations.model import Operation, Run, Step

MOST = 1 << 16
"""Characters kept: the answer is stored with the operation until it is purged."""


class ReadConsole(msgspec.Struct, frozen=True, kw_only=True):
    """`lines`: how many from the end; None: all that is kept."""

    server_id: str
    host: str
    lines: int | None = None


def read(run: Run[ReadConsole]) -> str:
    text: str = run.world.hypervisor.console_log(run.arguments.server_id, run.arguments.lines)
    return text[-MOST:].replace("\0", "")


def nothing_to_settle(_tx: Transaction, _run: Run[ReadConsole]) -> None:
    """No row depends on it."""


def nothing_to_record(_tx: Transaction, _run: Run[ReadConsole], _reason: str) -> None:
    """The reason is in the operation, which the caller awaits."""


READ_CONSOLE = Operation(
    "server.read_console",
    ReadConsole,
    "server",
    steps=(Step("read", do=read, at=at_host),),
    failed=nothing_to_record,
    settle=nothing_to_settle,
)
