"""`pumice db upgrade`."""

import click

from pumice.cli.frame import config_option, json_option, load, print_json, state_option


@click.group(short_help="Bring the database to this program's schema.")
def db() -> None:
    """Bring the database to this program's schema."""


@db.command(
    help="Run the migrations that the database lacks, all in one transaction. `pumice serve` does it by itself.\n\n"
    "Safe when two start at once: one waits and finds nothing to do. A database that a newer Pumice has upgraded is "
    "refused and left alone.\n\n\b\nExamples:\n  pumice db upgrade\n  pumice db upgrade --state /srv/pumice --json\n\n"
    "\b\nExit status: 0 the schema is this program's; 1 refused; 4 the database cannot be reached."
)
@state_option
@config_option
@json_option
def upgrade(state: str, config: str | None, as_json: bool) -> None:
    from pumice.db import upgrade as upgrading
    from pumice.db.engine import Database
    from pumice.db.migrations import HEAD

    settings = load(state, config).settings
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.database_url, threads=2)
    try:
        before = upgrading.revision(database)
        changed = upgrading.upgrade(database)
    finally:
        database.close()
    if as_json:
        print_json({"before": before, "now": HEAD, "changed": changed})
    elif changed:
        click.echo(f"upgraded from {before or 'an empty database'} to {HEAD}")
    else:
        click.echo(f"nothing to do: the database is at {HEAD}")
