"""A PostgreSQL server of the tests' own, from the system's package: unprivileged, on loopback, gone with the session.

Its directory is temporary and its durability is off, so nothing here says anything about PostgreSQL's own safety.
The server is told to end when the process that started it dies, in whatever way.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support.ports import free_port
from tests.support.waiting import wait_until

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "autovacuum_naptime": "10s",
    "jit": "off",
    "timezone": "UTC",
}
OWNER = "pumice"


def newest_programs() -> Path:
    """The folder of PostgreSQL's programs; the highest version where there are several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise AssertionError("PostgreSQL's server is not installed: apt-get install postgresql, or make setup")
    return found[-1].parent


class PostgresServer:
    """One running server. Every connection is the super-user OWNER of its databases, without a password."""

    def __init__(self) -> None:
        self.settings = SETTINGS
        self.directory = Path(tempfile.mkdtemp(prefix="pumice-postgres-"))
        self._programs = newest_programs()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        try:
            self._account = self._unprivileged_account()
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    def _unprivileged_account(self) -> list[str]:
        """The words before each command: as root, become the package's user (PostgreSQL refuses to run as root)."""
        if os.geteuid() != 0:
            return []
        user = pwd.getpwnam("postgres")
        os.chown(self.directory, user.pw_uid, user.pw_gid)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def _initialise(self) -> None:
        options = ["--username", OWNER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        command: list[str | Path] = [
            *self._account,
            self._programs / "initdb",
            "--pgdata",
            self.directory / "data",
            *options,
        ]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"initdb failed: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start it, on the same port as before if it ran before; returns when it accepts connections."""
        for attempt in range(5):
            self.port = self.port or free_port()
            settings = {**self.settings, "listen_addresses": "127.0.0.1", "port": str(self.port)}
            words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            server: list[str | Path] = [
                self._programs / "postgres",
                "-D",
                self.directory / "data",
                "-k",
                self.directory,
                *words,
            ]
            with (self.directory / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    # SIGINT is PostgreSQL's "fast shutdown"
                    [*(self._account or ["setpriv"]), "--pdeathsig", "INT", *server],
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            if wait_until(self._answer, 60, "PostgreSQL accepts connections") == "up":
                return
            if attempt < 4:
                self.port = 0  # somebody took the port between our look and the start
        raise AssertionError(f"PostgreSQL does not start:\n{(self.directory / 'log').read_text()}")

    def _answer(self) -> str:
        assert self._process is not None
        if self._process.poll() is not None:
            return "ended"
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return ""
        return "up"

    def stop(self) -> None:
        """Take the server away: connections are cut, data stays, and `start` brings it back."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(2)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the test's own, each statement its own transaction."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=OWNER, dbname=database, autocommit=True, connect_timeout=5
        )

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{OWNER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, *, template: str = "template1") -> str:
        """Make a database with what the template holds (nobody may be connected to that) and return its name."""
        name = f"test_{secrets.token_hex(6)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with self.connect("postgres") as connection:
            connection.execute(statement)
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        with self.connect("postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
