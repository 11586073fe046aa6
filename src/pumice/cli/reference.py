"""`docs/commands.md`, made from the commands themselves: python -m pumice.cli.reference > docs/commands.md"""

from collections.abc import Iterator

import click

from pumice.cli.frame import EXIT_CODES
from pumice.cli.main import main

_HEAD = """# Commands

Made by `python -m pumice.cli.reference > docs/commands.md`; a test holds it equal with the program.

Every command takes `--state DIR` (or `PUMICE_STATE`; default `./var`), and `--json` where it prints data. On a terminal
tables are drawn and long work shows its progress; elsewhere one line a row, columns separated by tabs.

| exit code | meaning |
| --- | --- |
"""


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below the group with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def reference() -> str:
    """The whole page."""
    parts = [_HEAD + "\n".join(f"| {code} | {text} |" for code, text in EXIT_CODES.items())]
    for path, command in commands(main, ("pumice",)):
        context = click.Context(command, info_name=" ".join(path), max_content_width=100, terminal_width=100)
        parts.append(f"## {' '.join(path)}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
