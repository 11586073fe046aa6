"""What the commands share: lazy loading, common options, output, errors and exit codes.

    @click.command()
    @state_option
    @json_option
    def doctor(...): ...

A command's module is imported only when that command runs, and heavy imports stand inside its function, so that
`pumice --help` answers at once.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pumice.db.engine import Database
    from pumice.settings import Loaded

F = TypeVar("F", bound=Callable[..., Any])

OK, FAILED, USAGE, FINDINGS, UNAVAILABLE = 0, 1, 2, 3, 4
EXIT_CODES = {
    OK: "done; for reconcile and doctor: nothing is wrong (any more)",
    FAILED: "it failed; one sentence on standard error says why",
    USAGE: "wrong usage or wrong settings",
    FINDINGS: "something is wrong: findings remain, or a check failed",
    UNAVAILABLE: "the database cannot be reached; try again",
    130: "interrupted with Ctrl-C",
}

state_option = click.option(
    "--state",
    metavar="DIR",
    envvar="PUMICE_STATE",
    default="./var",
    show_default=True,
    show_envvar=True,
    help="Directory of all state.",
)
config_option = click.option(
    "--config",
    metavar="FILE",
    envvar="PUMICE_CONFIG",
    help="Settings file.  [default: pumice.toml in the state directory]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class Failure(click.ClickException):
    """One sentence on standard error, and this exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        setattr(self, "exit_code", code)  # noqa: B010 - click has it as a variable of the class


class LazyGroup(click.Group):
    """A group whose commands are known by name and one line, and imported when they are called."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        """lazy: name -> ("module:attribute", one line of help)."""
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        with errors():
            return super().invoke(ctx)


@contextmanager
def errors() -> Iterator[None]:
    """Turn our errors into one sentence and an exit code."""
    from pumice.errors import PumiceError, Unavailable
    from pumice.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        raise Failure(str(error), USAGE) from error
    except Unavailable as error:
        raise Failure(error.for_operators, UNAVAILABLE) from error
    except PumiceError as error:
        raise Failure(error.message) from error


def load(state: str, config: str | None) -> "Loaded":
    """The settings in force. Raises SettingsError."""
    import os
    from pathlib import Path

    from pumice import settings

    return settings.load(Path(state).absolute(), os.environ, Path(config) if config else None)


@contextmanager
def opened(state: str, config: str | None = None, *, must_exist: bool = True) -> Iterator["Database"]:
    """The database of this state directory, which must be at this program's schema."""
    from pumice.db.engine import Database
    from pumice.db.migrations import HEAD
    from pumice.db.upgrade import revision

    settings = load(state, config).settings
    if must_exist and not settings.database and not (settings.state / "pumice.db").exists():
        raise Failure(
            f"there is no cloud in {settings.state}: start one with 'pumice serve --state {state}', "
            "or name its directory with --state"
        )
    database = Database(settings.database_url, threads=2)
    try:
        found = revision(database)
        if found != HEAD:
            raise Failure(
                f"the database stands at migration {found or 'none'}, this program needs {HEAD}: "
                f"run 'pumice db upgrade --state {state}'"
            )
        yield database
    finally:
        database.close()


# ---- output


def is_terminal() -> bool:
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """One JSON document; records as objects."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(title: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A rich table on a terminal; else one line a row, columns separated by tabs."""
    shown = [["" if value is None else str(value) for value in row] for row in rows]
    if not is_terminal():
        click.echo("\t".join(headers))
        for row in shown:
            click.echo("\t".join(one.replace("\t", " ").replace("\n", " ") for one in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", header_style="bold")
    for header in headers:
        made.add_column(header, overflow="fold")
    for row in shown:
        made.add_row(*(Text(one) for one in row))
    Console().print(made)


def heading(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def fields(pairs: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one a line; empty ones are left out."""
    kept = [(name, value) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        click.echo(f"  {name.ljust(width)}  {value}")


def age(microseconds: int) -> str:
    """`3 s`, `12 min`, `5 h`, `3 d`."""
    seconds = max(0, microseconds // 1_000_000)
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // divisor} {unit}"
    return f"{seconds // 86_400} d"
