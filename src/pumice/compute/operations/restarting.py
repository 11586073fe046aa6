"""Guests that are stopped and started with another definition: what rebuild, resize and their ways back share.

The arguments of these operations have server_id, host, event_id and `runs`: whether the guest was running; and
`old_guest` where the rows have what is new already.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import update

from pumice.compute.facts import clear_mark
from pumice.compute.operations.definitions import guest_of
from pumice.compute.operations.settling import finish_action, is_going, take_server
from pumice.db.engine import Transaction
from pumice.db.schema import servers
from pumice.hypervisors.contract import GuestState
from pumice.operations.model import Run, exclusive


def take(tx: Transaction, run: Run[Any]) -> None:
    """The server, and its files on the host."""
    take_server(tx, run, exclusive("server_files", run.arguments.server_id))


def stop(run: Run[Any]) -> None:
    run.world.hypervisor.stop_guest(run.arguments.server_id, run.world.shutdown_deadline if run.arguments.runs else 0.0)


def start_as_it_was(run: Run[Any]) -> None:
    """The way back: the guest that the rows describe, running if it was. One that is being deleted is left alone."""
    if is_going(run):
        return
    hypervisor, server_id = run.world.hypervisor, run.arguments.server_id
    if hypervisor.state(server_id) not in (GuestState.RUNNING, GuestState.PAUSED):
        hypervisor.define(guest_of(run, **getattr(run.arguments, "old_guest", {})))
    if run.arguments.runs:
        hypervisor.start_guest(server_id)


def start(run: Run[Any]) -> None:
    if run.arguments.runs:
        run.world.hypervisor.start_guest(run.arguments.server_id)


def stop_again(run: Run[Any]) -> None:
    """The way back from a start."""
    run.world.hypervisor.stop_guest(run.arguments.server_id)


def record_facts(tx: Transaction, run: Run[Any], values: Mapping[str, Any]) -> None:
    """The end: what the server is now, its power, and that its action went well."""
    power = "on" if run.arguments.runs else "off"
    statement = update(servers).where(servers.c.id == run.arguments.server_id)
    tx.execute(statement.values(power=power, updated_at=tx.now, **values))
    clear_mark(tx, run.arguments.server_id)
    finish_action(tx, run)
