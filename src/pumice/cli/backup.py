"""`pumice backup`: the state of a cloud into one file, and a cloud from such a file."""

from pathlib import Path

import click

from pumice.cli.frame import Failure, config_option, json_option, load, print_json, state_option


@click.group(short_help="Back the state of the cloud up, and restore it.")
def backup() -> None:
    """Back the state of the cloud up, and restore it.

    A backup holds every row, settings, passwords, keys and images; it is a tar file that only its owner may read. The
    data of volumes and the local disks of servers are not in it."""


@backup.command(
    help="Write a backup while the cloud runs: everything in it is of one moment.\n\n"
    "TARGET is a new file (NAME.tar, or NAME.tar.gz to compress it) or a directory, in which a file with the time in "
    "its name is made.\n\n\b\nExamples:\n  pumice backup create /srv/backups\n"
    "  pumice backup create monday.tar.gz --state /srv/pumice\n\n"
    "\b\nExit status: 0 made; 1 it cannot be made, and nothing is left of it; 4 the database cannot be reached.",
    short_help="Write a backup while the cloud runs.",
)
@click.argument("target", type=click.Path(path_type=Path))
@state_option
@config_option
@json_option
def create(target: Path, state: str, config: str | None, as_json: bool) -> None:
    from pumice.processes.backup import BackupError
    from pumice.processes.backup import create as make

    try:
        made = make(load(state, config).settings, target, Path(config) if config else None)
    except BackupError as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json(made)
        return
    click.echo(f"{made.path}: {made.files} files, {made.bytes / 2**20:.1f} MiB; it holds passwords and keys")
    for path in made.left_out:
        click.echo(f"not in it, since it is outside of the state directory: {path}")


@backup.command(
    help="Make a state directory from a backup. The directory must not be there yet, or be empty.\n\n"
    "The rows go into the embedded database, or into the empty PostgreSQL database of --database. Each file is "
    "compared with the backup's checksums first; a backup that is damaged, cut off or of a newer Pumice is refused.\n\n"
    "\b\nExamples:\n  pumice backup restore monday.tar.gz --state /srv/pumice\n"
    "  pumice backup restore monday.tar --state ./again --database postgresql+psycopg://pumice@db.example/new\n\n"
    "\b\nAfterwards bring the pools back to their places, then:\n  pumice serve --state DIR\n"
    "  pumice reconcile --dry-run --state DIR       what differs from what is really there\n\n"
    "\b\nExit status: 0 restored; 1 refused, and nothing is left of it; 4 the database cannot be reached.",
    short_help="Make a state directory from a backup.",
)
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--database", default="", metavar="URL", help="postgresql+psycopg://USER@HOST/NAME of an empty database.")
@state_option
@json_option
def restore(source: Path, database: str, state: str, as_json: bool) -> None:
    from pumice.clock import isoformat_z
    from pumice.processes.backup import BackupError
    from pumice.processes.restore import restore as bring_back

    if database and not database.startswith("postgresql+psycopg://"):
        raise Failure(f"--database {database} is wrong: give postgresql+psycopg://USER@HOST/NAME", 2)
    try:
        made = bring_back(source, Path(state), database)
    except BackupError as error:
        raise Failure(str(error)) from error
    if as_json:
        print_json(made)
        return
    click.echo(
        f"{made.state}: the cloud of {isoformat_z(made.created_at)}, with {made.volumes} volumes, "
        f"{made.servers} servers, {made.images} images"
    )
    for line in made.changed_settings:
        click.echo(f"changed in pumice.toml: {line}")
    for path in made.left_out:
        click.echo(f"was not in the backup: {path}")
    click.echo("Bring the pools back to their places, then:")
    click.echo(f"  pumice serve --state {state}")
    click.echo(f"  pumice reconcile --dry-run --state {state}")
