"""`pumice doctor`."""

import click

from pumice.cli.frame import FINDINGS, config_option, is_terminal, json_option, load, print_json, state_option

_HELP = """Check everything that this cloud needs, and say what is wrong, why it matters and how to fix it.

Programs and versions, the state directory and its permissions, space, the database and its schema, every backend (by
writing to its pool), the hypervisor, agents, clocks, the port. What a running agent owns is taken from its last report.

\b
Examples:
  pumice doctor
  pumice doctor --json | jq '.[] | select(.verdict == "bad")'

\b
Exit status: 0 nothing is bad (warnings may be); 3 something is bad; 2 the settings are wrong.
"""

_SIGNS = {"good": ("ok  ", "green"), "warning": ("warn", "yellow"), "bad": ("BAD ", "red")}


@click.command(help=_HELP, short_help="Check programs, pools, database, hypervisor: what, why, how to fix.")
@state_option
@config_option
@json_option
def doctor(state: str, config: str | None, as_json: bool) -> None:
    from pumice.processes.doctor import check_all

    settings = load(state, config).settings
    results = []
    for one in check_all(settings):
        results.append(one)
        if not as_json:
            sign, colour = _SIGNS[one.verdict]
            click.echo(f"{click.style(sign, fg=colour) if is_terminal() else sign} {one.name}: {one.found}")
            if one.verdict != "good":
                click.echo(f"       why: {one.why}\n       fix: {one.fix}")
    if as_json:
        print_json(results)
    raise SystemExit(FINDINGS if any(one.verdict == "bad" for one in results) else 0)
