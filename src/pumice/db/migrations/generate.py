"""For developers: write the next migration from the difference between the migrations and `db.schema`.

    python -m pumice.db.migrations.generate "Add groups"      writes versions/0002_add_groups.py
    python -m pumice.db.migrations.generate --first           writes versions/0001_first.py anew (before a release)

Read what it wrote before you commit it: it sees tables, columns and indexes, but no renaming and no data; CHECKs of
tables that are there already are not compared. Then set HEAD in `migrations/__init__.py`, and run `ruff format`.
"""

import argparse
import re
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from pumice.db.engine import Database
from pumice.db.upgrade import VERSIONS, configuration, upgrade


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="?", default="First")
    parser.add_argument("--first", action="store_true", help="write 0001 anew, from an empty database")
    chosen = parser.parse_args()
    if chosen.first:
        for old in VERSIONS.glob("*.py"):
            old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/generate.db")
        try:
            print(generate(database, chosen.words))
        finally:
            database.close()


def generate(database: Database, words: str) -> Path:
    """Bring the empty database to the last migration, and write the next; returns the new file."""
    revisions = [script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()]
    if revisions:
        upgrade(database, revisions[0])
    number = f"{len(revisions) + 1:04d}"
    with database.write() as tx:
        config = configuration(tx.connection)
        command.revision(config, message=words, autogenerate=True, rev_id=number)
    slug = re.sub(r"\W+", "_", words.lower()).strip("_")
    path = VERSIONS / f"{number}_{slug}.py"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "# ###" not in line))
    return path


if __name__ == "__main__":
    main()
