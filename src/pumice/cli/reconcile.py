"""`pumice reconcile`."""

from typing import TYPE_CHECKING

import click

from pumice.cli.frame import FINDINGS, config_option, is_terminal, json_option, opened, print_json, state_option, table

if TYPE_CHECKING:
    from pumice.db.engine import Database
    from pumice.operations.model import OperationRow
    from pumice.reconcile.model import Options, Outcome

_HELP = """Compare the database with hypervisors, exports and pools, each way, and mend what differs. No SQL by hand.

What a live operation works on is left alone. Data that nobody knows is reported and never deleted. Running agents look
at what only they can see; without one only the database is looked at. The agents do the same by themselves each minute.

\b
Examples:
  pumice reconcile --dry-run              only say what differs
  pumice reconcile                        mend it
  pumice reconcile --json | jq -r '.outcomes[] | .finding.sentence'

\b
Exit status:
  0  nothing differs, or all of it was mended
  1  it could not be looked at
  3  findings remain (--dry-run, or a person must decide)
  4  the database cannot be reached
"""


@click.command(help=_HELP, short_help="Find and mend what differs from what is really there.")
@click.option("--dry-run", is_flag=True, help="Change nothing; exit with 3 when something differs.")
@click.option(
    "--release-unknown",
    is_flag=True,
    help="Also release what outside hosts have connected for servers unknown here (see attachment-server-unknown).",
)
@click.option("--wait", type=click.IntRange(1), default=60, show_default=True, help="Seconds to wait for agents.")
@state_option
@config_option
@json_option
def reconcile(dry_run: bool, release_unknown: bool, wait: int, state: str, config: str | None, as_json: bool) -> None:
    from pumice.cli.frame import load
    from pumice.reconcile.model import Options

    grace = load(state, config).settings.hold_grace * 1_000_000
    options = Options(dry_run=dry_run, by_command=True, release_unknown=release_unknown, grace=grace)
    with opened(state, config) as database:
        outcomes, notes = run(database, options, wait)
    left = [one for one in outcomes if one.state in ("found", "failed", "queued")]
    if as_json:
        print_json({"outcomes": outcomes, "notes": notes})
    else:
        show(outcomes, notes)
    raise SystemExit(FINDINGS if left else 0)


def run(database: "Database", options: "Options", wait: int) -> "tuple[list[Outcome], list[str]]":
    """The outcomes, and what must be said besides."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from pumice.reconcile.asking import ask_hosts, outcomes_of
    from pumice.reconcile.run import reconcile_rows

    notes: list[str] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_terminal()) as progress:
        task = progress.add_task("comparing the rows of the database")
        outcomes = reconcile_rows(database, options)
        asked = ask_hosts(database, options)
        if not asked:
            notes.append("no agent runs: hypervisors, exports and pools were not looked at (start one: pumice serve)")
        for operation_id in asked:
            progress.update(task, description="an agent compares its guests, exports and pools")
            row = waited(database, operation_id, wait)
            if row is None or row.state != "done":
                notes.append(f"an agent did not finish (pumice operation show {operation_id})")
            else:
                outcomes += outcomes_of(row.results)
        progress.update(task, description="waiting for the repairs")
        outcomes = [settled(database, one, wait) for one in outcomes]
    return outcomes, notes


def waited(database: "Database", operation_id: str, seconds: float) -> "OperationRow | None":
    """The operation once it has ended; None: not in time."""
    from pumice.errors import DeadlineExceeded
    from pumice.operations.waiting import OperationWaiter

    waiter = OperationWaiter(database)
    try:
        return waiter.wait_blocking(operation_id, seconds)
    except DeadlineExceeded:
        return None
    finally:
        waiter.close()


def settled(database: "Database", outcome: "Outcome", seconds: float) -> "Outcome":
    """A queued repair becomes repaired, or failed with the operation's reason, once its operation has ended."""
    import msgspec

    if outcome.state != "queued" or outcome.operation_id is None:
        return outcome
    row = waited(database, outcome.operation_id, seconds)
    if row is None:
        return msgspec.structs.replace(outcome, note=f"{outcome.note}: under way, operation {outcome.operation_id}")
    if row.state == "done":
        return msgspec.structs.replace(outcome, state="repaired")
    return msgspec.structs.replace(outcome, state="failed", note=row.error or row.state)


def show(outcomes: "list[Outcome]", notes: list[str]) -> None:
    from pumice.reconcile.model import CHECKS

    if outcomes:
        rows = [
            (one.finding.name, one.state, one.finding.sentence, one.note or CHECKS[one.finding.name].repair)
            for one in outcomes
        ]
        table("Findings", ("finding", "state", "evidence", "repair"), rows)
    for note in notes:
        click.echo(note, err=True)
    if not outcomes:
        click.echo("nothing differs")
