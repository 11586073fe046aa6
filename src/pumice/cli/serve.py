"""`pumice serve`, `pumice api`, `pumice agent`: the processes of the cloud."""

from typing import TYPE_CHECKING

import click

from pumice.cli.frame import FAILED, Failure, config_option, load, state_option

if TYPE_CHECKING:
    from pumice.settings import Settings

_SERVE = """Start the whole cloud in this state directory; Ctrl-C ends it. Guests live on.

The first start makes the database, the administrator (password: PUMICE_ADMIN_PASSWORD, else random), a demo project and
user, and clouds.yaml for the OpenStack clients. A later one goes on where the last one ended, however it ended.

\b
Examples:
  pumice serve
  pumice serve --state /srv/pumice --bind 0.0.0.0:8776
  PUMICE_HYPERVISOR_DRIVER=memory pumice serve --state ./try        without QEMU: guests are simulated

\b
Exit status: 0 ended when asked; 1 it could not start (the port is taken, the directory is in use, ...);
2 wrong usage or settings.
"""

bind_option = click.option("--bind", metavar="HOST:PORT", help="Where to listen.  [default: the setting `bind`]")


@click.command(help=_SERVE, short_help="Start the whole cloud: one API process and one agent.")
@state_option
@config_option
@bind_option
def serve(state: str, config: str | None, bind: str | None) -> None:
    from pumice.processes import start

    settings = settings_of(state, config, bind)
    try:
        code = start.serve(settings, config, say=click.echo)
    except start.CannotStart as error:
        raise Failure(str(error)) from error
    raise SystemExit(code)


@click.command(
    help="Start one API process only, until SIGTERM or Ctrl-C. `pumice serve` does this by itself; more of them may "
    "share one database.\n\n\b\nExample:\n  pumice api --state /srv/pumice --bind 127.0.0.1:8777",
    short_help="Start one API process only.",
)
@state_option
@config_option
@bind_option
@click.option("--socket", "descriptor", type=int, hidden=True, help="A listening socket that was handed over.")
def api(state: str, config: str | None, bind: str | None, descriptor: int | None) -> None:
    from pumice.processes import start

    try:
        start.run_api(settings_of(state, config, bind), descriptor)
    except start.CannotStart as error:
        raise Failure(str(error)) from error


@click.command(
    help="Start one agent only, until SIGTERM or Ctrl-C: it owns the pools and guests of this host and runs the "
    "operations. `pumice serve` does this by itself; one agent a host."
    "\n\n\b\nExample:\n  pumice agent --state /srv/pumice",
    short_help="Start one agent only: it owns this host's pools and guests.",
)
@state_option
@config_option
def agent(state: str, config: str | None) -> None:
    from pumice.processes import start_agent

    try:
        start_agent.run(settings_of(state, config, None))
    except start_agent.PlaceTaken as error:
        raise Failure(str(error), FAILED) from error


def settings_of(state: str, config: str | None, bind: str | None) -> "Settings":
    """Settings with --bind in force. Raises SettingsError."""
    import os

    if bind is not None:
        os.environ["PUMICE_BIND"] = bind  # inherited by the children
    return load(state, config).settings
