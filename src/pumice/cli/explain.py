"""`pumice explain ID`."""

from typing import TYPE_CHECKING, Any

import click

from pumice.cli.frame import (
    Failure,
    age,
    config_option,
    fields,
    heading,
    json_option,
    opened,
    print_json,
    state_option,
    table,
)

if TYPE_CHECKING:
    from pumice.reconcile.facts import Told

_HELP = """Say what a resource is, the facts that its status is derived from, who works on it, and what helps.

ID is the id of a volume, server, attachment, snapshot, image or operation.

\b
Examples:
  pumice explain 6d1c9a5e-3f5e-4a39-9c4b-0f2b1d7f1c11
  pumice explain $(openstack volume show first -f value -c id)

\b
Exit status: 0 told; 1 nothing has that id; 4 the database cannot be reached.
"""


@click.command(help=_HELP, short_help="Say what a resource is, why it is so, and what helps.")
@click.argument("identifier", metavar="ID")
@state_option
@config_option
@json_option
def explain(identifier: str, state: str, config: str | None, as_json: bool) -> None:
    from pumice.reconcile import facts

    with opened(state, config) as database, database.read() as tx:
        told = facts.explain(tx, identifier.strip())
        now = tx.now
    if told is None:
        raise Failure(f"nothing has the id {identifier}: no volume, server, attachment, snapshot, image or operation")
    if as_json:
        print_json(told)
    else:
        tell(told, now)


def tell(told: "Told", now: int) -> None:
    name = f" ({told.name})" if told.name else ""
    click.secho(f"{told.kind} {told.id}{name} is {told.status}", bold=True)
    if told.project_id:
        click.echo(f"  of project {told.project_id}")
    heading("The facts behind it")
    fields(told.facts.items())
    listed("At work on it now", told.operations, ("id", "kind", "state", "attempts", "last_error"), now, "created_at")
    listed("Attachments", told.attachments, ("id", "volume_id", "server_id", "host", "device", "attach_status"), now)
    listed("Held by outside callers", told.holds, ("kind", "user_id"), now, "created_at")
    listed("Marked by an operator", told.marks, ("field", "word", "reason"), now, "created_at")
    listed("What was done before", told.ended, ("id", "kind", "state", "error"), now, "created_at")
    listed("Actions", told.actions, ("action", "message", "request_id"), now, "start_time")
    listed("Messages for the user", told.messages, ("user_message",), now, "created_at")
    listed("Last events", told.events, ("event_type", "request_id"), now, "generated")
    if told.advice:
        heading("What helps")
        for line in told.advice:
            click.echo(f"  {line}")


def listed(title: str, rows: list[dict[str, Any]], names: tuple[str, ...], now: int, when: str | None = None) -> None:
    if not rows:
        return
    heading(title)
    headers = [name.replace("_", " ") for name in names] + (["age"] if when else [])
    shown = [[row.get(name) for name in names] + ([age(now - row[when])] if when else []) for row in rows]
    table("", headers, shown)
