"""`pumice operation list|show|cancel|retry`."""

from typing import TYPE_CHECKING, Any

import click

from pumice.cli.frame import Failure, age, config_option, fields, json_option, opened, print_json, state_option, table

if TYPE_CHECKING:
    from pumice.operations.model import OperationRow


@click.group(short_help="List, show, cancel and hasten operations.")
def operation() -> None:
    """List, show, cancel and hasten operations.

    An operation is a durable sequence of steps: create a volume, attach it, delete a server. It goes on after a crash,
    or is undone. Each *-ing status belongs to one.
    """


@operation.command(
    "list",
    help="List operations, the newest first.\n\n\b\nExamples:\n  pumice operation list\n"
    "  pumice operation list --all --kind volume.create --limit 10",
)
@click.option("--all", "everything", is_flag=True, help="Also those that have ended (kept for a week).")
@click.option("--kind", metavar="KIND", help="Only of this kind, e.g. volume.create.")
@click.option("--resource", metavar="ID", help="Only about this resource.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@state_option
@config_option
@json_option
def list_operations(
    everything: bool, kind: str | None, resource: str | None, limit: int, state: str, config: str | None, as_json: bool
) -> None:
    from pumice.operations import store

    with opened(state, config) as database, database.read() as tx:
        live = None if everything else True
        rows = store.list_operations(tx, live=live, kind=kind, subject_id=resource, limit=limit)
        now = tx.now
    if as_json:
        print_json([shown(row, now) for row in rows])
        return
    table(
        "Operations" if everything else "Live operations",
        ("id", "kind", "about", "state", "step", "attempts", "age", "last error"),
        [
            (
                row.id,
                row.kind,
                f"{row.subject_type} {row.subject_id}",
                row.state,
                step_name(row),
                row.attempts,
                age(now - row.created_at),
                row.last_error or row.error,
            )
            for row in rows
        ],
    )


@operation.command(help="Show one operation: its steps, where it stands, what went wrong.")
@click.argument("operation_id", metavar="ID")
@state_option
@config_option
@json_option
def show(operation_id: str, state: str, config: str | None, as_json: bool) -> None:
    with opened(state, config) as database, database.read() as tx:
        row = _get(tx, operation_id)
        now = tx.now
    if as_json:
        print_json(shown(row, now))
        return
    fields(shown(row, now).items())


@operation.command(
    help="Ask a running operation to turn back: what it did is undone.\n\nDeletes and releases only go forward and "
    "cannot be cancelled."
)
@click.argument("operation_id", metavar="ID")
@state_option
@config_option
def cancel(operation_id: str, state: str, config: str | None) -> None:
    from pumice.operations.store import Answer, request_cancel
    from pumice.processes.world import registry

    with opened(state, config) as database, database.write() as tx:
        row = _get(tx, operation_id)
        answer = request_cancel(tx, registry(), operation_id)
    if answer is not Answer.DONE:
        raise Failure(f"operation {operation_id} ({row.kind}) is {row.state}: it cannot be cancelled")
    click.echo(
        f"operation {operation_id} ({row.kind}) was asked to turn back; see pumice operation show {operation_id}"
    )


@operation.command(help="Try the waiting step of an operation now, instead of at the end of its pause.")
@click.argument("operation_id", metavar="ID")
@state_option
@config_option
def retry(operation_id: str, state: str, config: str | None) -> None:
    from pumice.operations.store import Answer, hasten

    with opened(state, config) as database, database.write() as tx:
        row = _get(tx, operation_id)
        answer = hasten(tx, operation_id)
    if answer is not Answer.DONE:
        raise Failure(f"operation {operation_id} ({row.kind}) has ended: {row.state}")
    click.echo(f"operation {operation_id} ({row.kind}) is tried now; see pumice operation show {operation_id}")


def _get(tx: Any, operation_id: str) -> "OperationRow":
    from pumice.operations import store

    row = store.get(tx, operation_id)
    if row is None:
        raise Failure(f"there is no operation {operation_id}; pumice operation list --all shows what there is")
    return row


def step_name(row: "OperationRow") -> str:
    """The step at hand, "2/3 fill"."""
    from pumice.processes.world import registry

    known = registry()
    if row.kind not in known or row.finished_at is not None:
        return ""
    steps = known[row.kind].steps
    return f"{row.position + 1}/{len(steps)} {steps[row.position].name}" if row.position < len(steps) else ""


def shown(row: "OperationRow", now: int) -> dict[str, Any]:
    """What is told of an operation; never its results, which may hold secrets."""
    from pumice.clock import isoformat_z

    return {
        "id": row.id,
        "kind": row.kind,
        "about": f"{row.subject_type} {row.subject_id}",
        "state": row.state,
        "step": step_name(row),
        "place": row.place,
        "worked_on_by": row.session_id,
        "progress": row.progress,
        "attempts": row.attempts,
        "crashes": row.crashes,
        "error": row.error,
        "last_error": row.last_error,
        "cancel_requested": row.cancel_requested,
        "age": age(now - row.created_at),
        "created_at": isoformat_z(row.created_at),
        "finished_at": isoformat_z(row.finished_at),
        "request_id": row.request_id,
    }
