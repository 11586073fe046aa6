"""`pumice config`."""

import click

from pumice.cli.frame import config_option, json_option, load, print_json, state_option, table


@click.command(
    help="Show every setting in force, where it comes from, and what it means. Passwords in URLs are hidden.\n\n"
    "A setting stands in pumice.toml of the state directory, or in a variable of the environment, which wins.\n\n"
    "\b\nExamples:\n  pumice config\n  PUMICE_TOKEN_LIFETIME=600 pumice config\n"
    "  pumice config --json | jq '.[].name'\n\n"
    "\b\nExit status: 0 shown; 2 the settings are wrong (which one, where, and what would be right).",
    short_help="Show the settings in force and where they come from.",
)
@state_option
@config_option
@json_option
def config(state: str, config: str | None, as_json: bool) -> None:
    described = load(state, config).describe()
    if as_json:
        print_json(described)
        return
    rows = [(one.name, one.value, one.source, one.variable, one.help) for one in described]
    table("Settings in force", ("setting", "value", "from", "variable", "meaning"), rows)
