"""Power, locks and consoles of servers: POST /servers/{id}/action (Compute API v2.1)."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from pumice.api.edge.route import Await, Call, Route
from pumice.api.edge.versions import Since
from pumice.compute import servers
from pumice.db.engine import Transaction
from pumice.errors import Conflict, InvalidField
from pumice.operations.model import OperationRow


class Nothing(Struct, forbid_unknown_fields=True):
    """An empty object, where null would do."""


class StartBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="os-start")


class StopBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="os-stop")


class PauseBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="pause")


class UnpauseBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="unpause")


class SuspendBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="suspend")


class ResumeBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="resume")


class Reboot(Struct, forbid_unknown_fields=True):
    type: str


class RebootBody(Struct, forbid_unknown_fields=True):
    reboot: Reboot


class Lock(Struct, forbid_unknown_fields=True):
    locked_reason: Annotated[Annotated[str, Meta(min_length=1, max_length=255)] | None, Since("2.73")] = None


class LockBody(Struct, forbid_unknown_fields=True):
    lock: Lock | None


class UnlockBody(Struct, forbid_unknown_fields=True):
    value: Nothing | None = field(name="unlock")


class ConsoleOutput(Struct, forbid_unknown_fields=True):
    length: int | str | None = None


class ConsoleOutputBody(Struct, forbid_unknown_fields=True):
    console: ConsoleOutput | None = field(name="os-getConsoleOutput")


def start(tx: Transaction, call: Call) -> None:
    servers.power(tx, call.caller, call.path["server_id"], "start")


def stop(tx: Transaction, call: Call) -> None:
    servers.power(tx, call.caller, call.path["server_id"], "stop")


def pause(tx: Transaction, call: Call) -> None:
    servers.power(tx, call.caller, call.path["server_id"], "pause")


def unpause(tx: Transaction, call: Call) -> None:
    servers.power(tx, call.caller, call.path["server_id"], "unpause")


def reboot(tx: Transaction, call: Call) -> None:
    kind = call.body.reboot.type
    if kind.upper() not in ("SOFT", "HARD"):
        raise InvalidField("reboot.type", kind, "SOFT or HARD")
    servers.power(tx, call.caller, call.path["server_id"], "reboot" if kind.upper() == "SOFT" else "hard reboot")


def suspend(tx: Transaction, call: Call) -> None:
    servers.power(tx, call.caller, call.path["server_id"], "suspend")


def resume(tx: Transaction, call: Call) -> None:
    servers.power(tx, call.caller, call.path["server_id"], "resume")


def lock(tx: Transaction, call: Call) -> None:
    reason = call.body.lock.locked_reason if call.body.lock else None
    servers.lock(tx, call.caller, call.path["server_id"], locked=True, reason=reason)


def unlock(tx: Transaction, call: Call) -> None:
    servers.lock(tx, call.caller, call.path["server_id"], locked=False)


def console(tx: Transaction, call: Call) -> Any:
    asked = call.body.console.length if call.body.console else None
    try:
        lines = None if asked in (None, "") else int(str(asked))
    except ValueError:
        raise InvalidField("os-getConsoleOutput.length", asked, "a whole number of lines") from None
    row = servers.read_console(tx, call.caller, call.path["server_id"], None if lines == -1 else lines)
    return Await(row.id, then=_console_read, deadline=30.0)


def _console_read(_tx: Transaction, _call: Call, row: OperationRow) -> Any:
    if row.state == "undone":
        raise Conflict(f"The console of server {row.subject_id} cannot be read: {row.error}.")
    return {"output": row.results.get("read", "")}


def action_route(
    key: str,
    handler: Any,
    body: type[Struct],
    *,
    status: int = 202,
    since: str | None = None,
    until: str | None = None,
) -> Route:
    """The route of the action whose body has this one key."""
    word = key.removeprefix("os-")
    return Route(
        "POST",
        "/servers/{server_id}/action",
        handler,
        status=status,
        since=since,
        until=until,
        key=key,
        body=body,
        write=True,
        action=f"compute:servers:{word}",
        name=f"server_actions.{word}",
    )


ROUTES: tuple[Route, ...] = (
    action_route("os-start", start, StartBody),
    action_route("os-stop", stop, StopBody),
    action_route("pause", pause, PauseBody),
    action_route("unpause", unpause, UnpauseBody),
    action_route("suspend", suspend, SuspendBody),
    action_route("resume", resume, ResumeBody),
    action_route("reboot", reboot, RebootBody),
    action_route("lock", lock, LockBody),
    action_route("unlock", unlock, UnlockBody),
    action_route("os-getConsoleOutput", console, ConsoleOutputBody, status=200),
)
