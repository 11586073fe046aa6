"""Reconcile what only one agent can see, asked for by `pumice reconcile` in another process.

look    compare the agent's hypervisor, exports and pools with the rows, and mend; the result is the list of outcomes
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from pumice.db.engine import Transaction
from pumice.operations.model import Operation, Run, Step, host_place
from pumice.reconcile.model import Options


class LookAtHost(msgspec.Struct, frozen=True, kw_only=True):
    """Which agent, and how."""

    host: str
    options: Options = Options()


def at_agent(arguments: LookAtHost, _results: Mapping[str, Any]) -> str:
    return host_place(arguments.host)


def look(run: Run[LookAtHost]) -> dict[str, Any]:
    from pumice.reconcile.run import reconcile_host  # it enqueues our sister operation

    outcomes = reconcile_host(run.database, run.world, run.arguments.options)
    return {"outcomes": msgspec.to_builtins(outcomes)}


def nothing_to_tell(tx: Transaction, run: Run[LookAtHost], reason: str) -> None:
    """The operation's own row says why; who asked reads it there."""


def nothing_derived(tx: Transaction, run: Run[LookAtHost]) -> None:
    """It holds nothing that has a status."""


LOOK_AT_HOST = Operation(
    "reconcile.host",
    LookAtHost,
    "host",
    steps=(Step("look", do=look, at=at_agent),),
    failed=nothing_to_tell,
    settle=nothing_derived,
)
