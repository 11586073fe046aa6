"""`pumice usage-audit`: one `<kind>.exists` event for each resource alive in a period.

On a terminal a progress bar; else plain lines; with `--json` one object at the end. Exit status: 0 all sent, 1 some
rows were bad (named on standard error; all others were sent), 2 wrong usage, 4 the database cannot be reached.
"""

import sys

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pumice.caller import system_caller
from pumice.cli.frame import (
    FAILED,
    OK,
    USAGE,
    Failure,
    config_option,
    json_option,
    load,
    opened,
    print_json,
    state_option,
)
from pumice.db.engine import Database
from pumice.metering.periods import Period, PeriodError, last_completed, parse_time, shown
from pumice.metering.usage_audit import AuditSummary, BadResource, Watcher, audit
from pumice.settings import Settings

_HELP = """Send one event (volume.exists, snapshot.exists) for each resource that was alive in a period.

Bills are made from these events. A resource counts when it was created before the end of the period and not deleted
before its beginning. Without times the last completed period is audited: of --period, else of the settings
usage_audit_period and usage_audit_offset, else the last month.

A second run of the same period stores nothing twice: message ids are made of the resource and the period. A row that
cannot be read is named on standard error and does not stop the rest.

\b
Examples:
  pumice usage-audit
  pumice usage-audit --period day@6
  pumice usage-audit --start_time '2026-11-01 00:00:00' --end_time '2026-11-02 00:00:00' --send_actions

\b
Exit status:
  0  every event was sent
  1  some rows could not be reported, or are gone (retention has removed them); all others were
  2  wrong usage
  4  the database cannot be reached; run it again, nothing is stored twice
"""


class _Lines(Watcher):
    """Progress as plain lines: one a kind, and one for each bad row."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def started(self, kind: str, total: int) -> None:
        if not self.quiet:
            click.echo(f"{kind}: {total} alive in the period")

    def failed(self, bad: BadResource) -> None:
        click.echo(f"{bad.kind} {bad.id} was not reported: {bad.reason}", err=True)


class _Bars(Watcher):
    """Progress as one bar a kind."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}

    def started(self, kind: str, total: int) -> None:
        self.tasks[kind] = self.progress.add_task(kind, total=total)

    def advanced(self, kind: str, rows: int) -> None:
        self.progress.advance(self.tasks[kind], rows)

    def failed(self, bad: BadResource) -> None:
        self.progress.console.print(f"{bad.kind} {bad.id} was not reported: {bad.reason}", markup=False)


@click.command("usage-audit", help=_HELP, short_help="Send the usage events of a period.")
@click.option("--start_time", "--start-time", metavar="TIME", help="Begin of the period, 'YYYY-MM-DD HH:MM:SS' in UTC.")
@click.option("--end_time", "--end-time", metavar="TIME", help="End of the period (not part of it).")
@click.option("--period", metavar="UNIT[@OFFSET]", help="hour, day, month or year; e.g. day@6, month@10.")
@click.option(
    "--send_actions", "--send-actions", is_flag=True, help="Also send create and delete events of the period."
)
@json_option
@state_option
@config_option
def usage_audit(
    start_time: str | None,
    end_time: str | None,
    period: str | None,
    send_actions: bool,
    as_json: bool,
    state: str,
    config: str | None,
) -> None:
    settings = load(state, config).settings
    with opened(state, config) as database:
        try:
            audited = _period(settings, database.clock.now(), start_time, end_time, period)
        except PeriodError as error:
            raise Failure(f"{error}", USAGE) from None
        summary = _run(database, audited, send_actions, as_json)
    _tell(summary, as_json)
    sys.exit(FAILED if summary.failed or summary.gone else OK)


def _period(settings: Settings, now: int, start: str | None, end: str | None, period: str | None) -> Period:
    """What to audit; a time given alone takes the other border from the last completed period."""
    default = last_completed(period or settings.usage_audit_setting, now)
    if period and (start or end):
        raise PeriodError("give either --period or times, not both")
    return Period(parse_time(start) if start else default.begin, parse_time(end) if end else default.end)


def _run(database: Database, period: Period, send_actions: bool, as_json: bool) -> AuditSummary:
    caller = system_caller()
    if as_json or not sys.stdout.isatty():
        return audit(database, period, caller=caller, send_actions=send_actions, watcher=_Lines(as_json))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console()) as progress:
        return audit(database, period, caller=caller, send_actions=send_actions, watcher=_Bars(progress))


def _tell(summary: AuditSummary, as_json: bool) -> None:
    if as_json:
        told = {**msgspec.to_builtins(summary), "begin": shown(summary.begin), "end": shown(summary.end)}
        print_json({**told, "sent": summary.sent, "failed": summary.failed})
        return
    click.echo(f"{shown(summary.begin)} to {shown(summary.end)} (UTC)")
    for noun, kind in summary.kinds.items():
        known = f", {kind.repeated} of them known from an earlier run" if kind.repeated else ""
        click.echo(
            f"{noun}: {kind.resources - kind.failed} of {kind.resources} reported, {kind.sent} events sent{known}"
        )
    for noun, until in summary.gone.items():
        click.echo(
            f"{noun}: what was deleted until {shown(until)} has been removed by retention since and is not reported; "
            "what an earlier run stored of it is still there.",
            err=True,
        )
    if summary.failed:
        click.echo(f"{summary.failed} rows could not be reported; see above for each.", err=True)
