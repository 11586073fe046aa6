"""`pumice db`: upgrade, purge, copy."""

import click

from pumice.cli.frame import Failure, config_option, json_option, load, opened, print_json, state_option, table


@click.group(short_help="Upgrade the database, remove old rows, copy it to another.")
def db() -> None:
    """Upgrade the database, remove old rows, copy it to another."""


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


_PURGE = """Remove what is over for longer than `[retention]` of the settings says: deleted volumes, ended operations,
old events and so on. The agent does the same every hour; nothing that is alive, and nothing it refers to, is touched.

It works in small transactions beside a running cloud. With --compact the file of a SQLite database is written anew
after that, without the space of removed rows; requests that write wait meanwhile.

\b
Examples:
  pumice db purge --dry-run
  PUMICE_RETENTION_VOLUMES=30 pumice db purge
  pumice db purge --compact

\b
Exit status: 0 done (or shown); 1 refused; 2 wrong usage or settings; 4 the database cannot be reached.
"""


@db.command(help=_PURGE, short_help="Remove rows that are over for longer than the settings say.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--compact", is_flag=True, help="Write the file of a SQLite database anew, without holes.")
@state_option
@config_option
@json_option
def purge(dry_run: bool, compact: bool, state: str, config: str | None, as_json: bool) -> None:
    from pumice.clock import isoformat_z
    from pumice.db import space
    from pumice.retention.purge import count
    from pumice.retention.purge import purge as remove

    settings = load(state, config).settings
    with opened(state, config) as database:
        found = count(database, settings) if dry_run else remove(database, settings)
        given = 0 if dry_run else space.compact(database) if compact else space.reclaim(database)
    if as_json:
        print_json({"dry_run": dry_run, "bytes_given_back": given, "rules": found})
        return
    rows = [(one.table, one.what, isoformat_z(one.before), one.rows) for one in found]
    table("Would be removed" if dry_run else "Removed", ("table", "what", "before", "rows"), rows)
    if given:
        click.echo(f"{given / 2**20:.1f} MiB given back to the file system", err=True)


_COPY = """Copy the whole database into an empty one: from SQLite to PostgreSQL, or back. Guests go on meanwhile.

Stop `pumice serve` (and every agent and API process) first; it cannot start while the copy runs. Either every row
arrives, counted and compared table by table, or none. The database copied from stays as it is; then the command prints
the setting that makes Pumice use the copy.

\b
Examples:
  pumice db copy --to postgresql+psycopg://pumice@db.example/pumice
  pumice db copy --to sqlite:///srv/pumice/pumice.db --json

\b
Exit status: 0 everything is there; 1 refused (somebody works here, the target is not empty, a row does not fit);
2 wrong usage or settings; 4 a database cannot be reached.
"""


@db.command(help=_COPY, short_help="Copy all of the database into an empty one.")
@click.option("--to", "to", required=True, metavar="URL", help="sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME")
@state_option
@config_option
@json_option
def copy(to: str, state: str, config: str | None, as_json: bool) -> None:
    from pumice.db.copy import copy as copy_all
    from pumice.db.engine import Database
    from pumice.operations import sessions
    from pumice.processes import state_lock

    if not to.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise Failure(f"--to {to} is wrong: give sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME", 2)
    settings = load(state, config).settings
    if to == settings.database_url:
        raise Failure("--to is the database that Pumice uses now: give another, empty one")
    try:
        with state_lock.held(settings), opened(state, config) as source:
            with source.read() as tx:
                working = sessions.working(tx)
            if working is not None:
                raise state_lock.StateTaken(
                    f"the agent of the host {working[0]} (process {working[1]}) works on this database: end it; one "
                    "that was killed is forgotten after its lease (15 s)"
                )
            target = Database(to, threads=2)
            try:
                copied = copy_all(source, target, alone=True)
            finally:
                target.close()
    except state_lock.StateTaken as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json({"tables": copied, "rows": sum(one.rows for one in copied), "setting": f'database = "{to}"'})
        return
    table("Copied", ("table", "rows", "digest"), [(one.table, one.rows, one.digest[:16]) for one in copied])
    where = settings.state / "pumice.toml"
    click.echo(f'All rows are there. Now write into {where}, above its tables:\ndatabase = "{to}"', err=True)
