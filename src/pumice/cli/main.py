"""`pumice`: the one program. Each command is a module beside this one; see `frame.py` for what they share."""

import click

from pumice.cli.frame import EXIT_CODES, LazyGroup

_HELP = """Pumice: OpenStack-compatible block storage that cannot get stuck.

\b
Start a cloud, and look at it:
  pumice serve                            the whole cloud in ./var, at http://127.0.0.1:8776
  pumice doctor                           is everything here that it needs?
  export OS_CLIENT_CONFIG_FILE=var/clouds.yaml
  openstack --os-cloud demo volume create --size 1 first

\b
When something looks wrong:
  pumice explain VOLUME_ID                what it is, why it is so, what helps
  pumice reconcile --dry-run              what differs between database, guests and pools
  pumice operation list                   what is being done now

Every command takes --state DIR (or PUMICE_STATE), and --json where it prints data.

\b
Exit status:
{codes}
"""

COMMANDS = {
    "serve": ("pumice.cli.serve:serve", "Start the whole cloud: one API process and one agent."),
    "api": ("pumice.cli.serve:api", "Start one API process only."),
    "agent": ("pumice.cli.serve:agent", "Start one agent only: it owns this host's pools and guests."),
    "explain": ("pumice.cli.explain:explain", "Say what a resource is, why it is so, and what helps."),
    "doctor": ("pumice.cli.doctor:doctor", "Check programs, pools, database, hypervisor: what, why, how to fix."),
    "reconcile": ("pumice.cli.reconcile:reconcile", "Find and mend what differs from what is really there."),
    "operation": ("pumice.cli.operation:operation", "List, show, cancel and hasten operations."),
    "usage-audit": ("pumice.cli.usage_audit:usage_audit", "Send the usage events of a period."),
    "image": ("pumice.cli.image:image", "List and restore deleted images."),
    "flavor": ("pumice.cli.flavor:flavor", "List and restore deleted flavors."),
    "user": ("pumice.cli.user:user", "Make users, set passwords, grant roles."),
    "config": ("pumice.cli.config:config", "Show the settings in force and where they come from."),
    "backup": ("pumice.cli.backup:backup", "Back the state of the cloud up, and restore it."),
    "db": ("pumice.cli.db:db", "Upgrade the database, remove old rows, copy it to another."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    help=_HELP.format(codes="\n".join(f"  {code:<4} {text}" for code, text in EXIT_CODES.items())),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="pumice", message="%(prog)s %(version)s")
def main() -> None:
    """The group itself does nothing."""


if __name__ == "__main__":
    main()
