"""Start, stop, reboot, pause, unpause, suspend and resume a server.

    take    its turn: attaches and detaches under way have ended
    act     the hypervisor does it; the power that was reached is a fact

Nothing is undone: what the hypervisor made of a failed one is observed (`observe.py`), and the reason is the action's.
Start and reboot define the guest anew from the rows, so one whose definition was lost starts too, with all its volumes.
A stop and a soft reboot ask the guest to shut down, so that it writes what it has in memory; after a deadline it is
stopped by force. A guest that stands still is not asked.
"""

from collections.abc import Callable

import msgspec
from sqlalchemy import update

from pumice.compute.facts import clear_mark
from pumice.compute.notifications import notify_server
from pumice.compute.operations.definitions import guest_of
from pumice.compute.operations.settling import at_host, finish_action, settle_server, take_server
from pumice.db.engine import Transaction
from pumice.db.schema import servers
from pumice.hypervisors.contract import GuestState
from pumice.operations.model import Operation, Run, Step, StepFailed, caller_of


class PowerServer(msgspec.Struct, frozen=True, kw_only=True):
    server_id: str
    host: str
    event_id: str


def take(tx: Transaction, run: Run[PowerServer]) -> None:
    take_server(tx, run)


def start(run: Run[PowerServer]) -> None:
    hypervisor, server_id = run.world.hypervisor, run.arguments.server_id
    state = hypervisor.state(server_id)
    if state is GuestState.PAUSED:
        hypervisor.resume(server_id)
    elif state is not GuestState.RUNNING:
        hypervisor.define(guest_of(run))
        hypervisor.start_guest(server_id)


def shut_down(run: Run[PowerServer]) -> None:
    run.world.hypervisor.stop_guest(run.arguments.server_id, run.world.shutdown_deadline)


def cut_off(run: Run[PowerServer]) -> None:
    run.world.hypervisor.stop_guest(run.arguments.server_id)


def suspend(run: Run[PowerServer]) -> None:
    run.world.hypervisor.suspend(run.arguments.server_id)


def resume(run: Run[PowerServer]) -> None:
    """Its memory is what makes it the same guest: without it there is nothing to resume."""
    hypervisor, server_id = run.world.hypervisor, run.arguments.server_id
    if hypervisor.state(server_id) not in (GuestState.SUSPENDED, GuestState.RUNNING):
        raise StepFailed("the memory of the guest is not there any more; start the server instead")
    hypervisor.start_guest(server_id)


def pause(run: Run[PowerServer]) -> None:
    run.world.hypervisor.pause(run.arguments.server_id)


def unpause(run: Run[PowerServer]) -> None:
    run.world.hypervisor.resume(run.arguments.server_id)


def _operation(
    kind: str, do: Callable[[Run[PowerServer]], None], power: str, event: str, *before: Step[PowerServer]
) -> Operation[PowerServer]:
    def record(tx: Transaction, run: Run[PowerServer]) -> None:
        server_id = run.arguments.server_id
        tx.execute(update(servers).where(servers.c.id == server_id).values(power=power, updated_at=tx.now))
        clear_mark(tx, server_id)
        finish_action(tx, run)

    def fail(tx: Transaction, run: Run[PowerServer], reason: str) -> None:
        finish_action(tx, run, reason)

    def settle(tx: Transaction, run: Run[PowerServer]) -> None:
        settle_server(tx, run)
        if run.row.state == "done":
            notify_server(tx, run.arguments.server_id, f"{event}.end", caller_of(run.row))

    return Operation(
        kind,
        PowerServer,
        "server",
        steps=(
            Step("take", record=take, at=at_host),
            *before,
            Step("act", do=do, record=record, at=at_host, long=do is shut_down),
        ),
        failed=fail,
        settle=settle,
    )


START_SERVER = _operation("server.start", start, "on", "power_on")
STOP_SERVER = _operation("server.stop", shut_down, "off", "power_off")
REBOOT_SERVER = _operation(
    "server.reboot", start, "on", "reboot", Step("shut down", do=shut_down, at=at_host, long=True)
)
HARD_REBOOT_SERVER = _operation("server.hard_reboot", start, "on", "reboot", Step("cut off", do=cut_off, at=at_host))
PAUSE_SERVER = _operation("server.pause", pause, "paused", "pause")
UNPAUSE_SERVER = _operation("server.unpause", unpause, "on", "unpause")
SUSPEND_SERVER = _operation("server.suspend", suspend, "suspended", "suspend")
RESUME_SERVER = _operation("server.resume", resume, "on", "resume")


class Power(msgspec.Struct, frozen=True):
    """What does an action of `compute.transitions`."""

    operation: Operation[PowerServer]
    event: str
    """Its name in notifications."""
    action: str
    """Its name as an instance action."""


POWER = {
    "start": Power(START_SERVER, "power_on", "start"),
    "stop": Power(STOP_SERVER, "power_off", "stop"),
    "reboot": Power(REBOOT_SERVER, "reboot", "reboot"),
    "hard reboot": Power(HARD_REBOOT_SERVER, "reboot", "reboot"),
    "pause": Power(PAUSE_SERVER, "pause", "pause"),
    "unpause": Power(UNPAUSE_SERVER, "unpause", "unpause"),
    "suspend": Power(SUSPEND_SERVER, "suspend", "suspend"),
    "resume": Power(RESUME_SERVER, "resume", "resume"),
}
POWER_OPERATIONS = tuple(power.operation for power in POWER.values())
