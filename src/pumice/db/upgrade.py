"""Brings a database to the schema of this program: all migrations that it lacks, in one transaction.

    upgrade(database)      at every start; `pumice db upgrade`
    revision(database)     where it stands; None: it is empty

Safe when two processes start at once: on SQLite the write lock, on PostgreSQL an advisory lock lets the second one
wait and then find nothing to do. A database that is newer than the program is refused and left alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from pumice.db.engine import Database
from pumice.db.migrations import HEAD
from pumice.errors import PumiceError

if TYPE_CHECKING:
    from alembic.config import Config

VERSIONS = Path(__file__).parent / "migrations" / "versions"
_LOCK = text("SELECT pg_advisory_xact_lock(7862386)")
_TABLE = "alembic_version"


class DatabaseNewer(PumiceError):
    """The database was upgraded by a newer Pumice than this one."""


class DatabaseForeign(PumiceError):
    """The database holds tables that no migration of Pumice made."""


def revision(database: Database) -> str | None:
    """The last migration that was run; None for a database without any."""
    with database.read() as tx:
        return _revision(tx.connection)


def upgrade(database: Database, to: str = HEAD) -> bool:
    """Run what is missing; False: nothing was. Raises DatabaseNewer, DatabaseForeign, DatabaseUnavailable."""
    if revision(database) == to:
        return False
    with database.write() as tx:
        if not tx.sqlite:
            tx.execute(_LOCK)
        found = _revision(tx.connection)
        if found == to:
            return False
        _refuse_unknown(tx.connection, found)
        from alembic import command

        command.upgrade(configuration(tx.connection), to)
    return True


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {_TABLE}")).scalar_one_or_none()
    return found


def _refuse_unknown(connection: Connection, found: str | None) -> None:
    if found is None:
        others = inspect(connection).get_table_names()
        if set(others) - {_TABLE}:
            raise DatabaseForeign(
                f"the database is not empty and was not made by Pumice (it has the table {sorted(others)[0]}); "
                "give Pumice a database of its own"
            )
    elif found not in revisions():
        raise DatabaseNewer(
            f"the database stands at migration {found}, which this Pumice does not know (its last is {HEAD}): "
            "a newer Pumice has upgraded it; run that one, or restore the backup made before the upgrade"
        )


def revisions() -> list[str]:
    """Every migration of this program, the first first."""
    return sorted(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py"))


def configuration(connection: Connection | None = None) -> "Config":
    """Alembic's configuration; no file is read."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
