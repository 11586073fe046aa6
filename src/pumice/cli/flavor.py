"""`pumice flavor list|restore`: what the Compute API has no call for: deleted flavors, and the way back."""

import click

from pumice.cli.frame import age, config_option, json_option, opened, print_json, state_option, table


@click.group(short_help="List and restore deleted flavors.")
def flavor() -> None:
    """List flavors, deleted ones too, and restore those.

    A server keeps a copy of its flavor and does not mind its deletion. Everything else is in the Compute API: see
    openstack flavor --help.
    """


@flavor.command(
    "list",
    help="List flavors, or with --deleted those that can be restored.\n\n\b\nExample:\n  pumice flavor list --deleted",
)
@click.option("--deleted", is_flag=True, help="Deleted ones that can be restored.")
@state_option
@config_option
@json_option
def list_flavors(deleted: bool, state: str, config: str | None, as_json: bool) -> None:
    from pumice.clock import isoformat_z
    from pumice.compute import flavors

    with opened(state, config) as database, database.read() as tx:
        found = flavors.deleted(tx) if deleted else flavors.everything(tx)
        used = {one.id: flavors.uses(tx, one.id) for one in found}
        now = tx.now
    if as_json:
        print_json(
            [
                {
                    "id": one.id,
                    "name": one.name,
                    "vcpus": one.vcpus,
                    "ram": one.memory_mib,
                    "disk": one.disk,
                    "servers": used[one.id],
                    "deleted_at": isoformat_z(one.deleted_at),
                }
                for one in found
            ]
        )
        return
    rows = [
        (
            one.id,
            one.name,
            one.vcpus,
            one.memory_mib,
            one.disk,
            used[one.id],
            "" if one.deleted_at is None else f"deleted {age(now - one.deleted_at)} ago",
        )
        for one in found
    ]
    title = "Deleted flavors" if deleted else "Flavors"
    table(title, ("id", "name", "vcpus", "MiB", "disk GiB", "servers", "status"), rows)


@flavor.command(help="Restore a deleted flavor under its id and name.\n\n\b\nExample:\n  pumice flavor restore 2")
@click.argument("flavor_id", metavar="ID")
@state_option
@config_option
def restore(flavor_id: str, state: str, config: str | None) -> None:
    from pumice.compute import flavors

    with opened(state, config) as database, database.write() as tx:
        restored = flavors.restore(tx, flavor_id)
    click.echo(f"flavor {flavor_id} ({restored.name}) is there again")
