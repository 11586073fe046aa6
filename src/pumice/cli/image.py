"""`pumice image list|restore`: what the Image API has no call for: deleted images, and the way back."""

import click

from pumice.cli.frame import age, config_option, json_option, load, opened, print_json, state_option, table


@click.group(short_help="List and restore deleted images.")
def image() -> None:
    """List images, deleted ones too, and restore those.

    A deleted image can be restored for `image_restore_days` days, and for as long as a server or a volume that was made
    of it lives. Everything else is in the Image API: see openstack image --help.
    """


@image.command(
    "list",
    help="List images, or with --deleted those that can be restored.\n\n\b\nExample:\n  pumice image list --deleted",
)
@click.option("--deleted", is_flag=True, help="Deleted ones that can be restored.")
@state_option
@config_option
@json_option
def list_images(deleted: bool, state: str, config: str | None, as_json: bool) -> None:
    from pumice.clock import isoformat_z
    from pumice.images import deletion, images

    with opened(state, config) as database, database.read() as tx:
        found = deletion.deleted(tx) if deleted else images.everything(tx)
        used = {one.id: deletion.uses(tx, one.id) for one in found}
        now = tx.now
    if as_json:
        print_json(
            [
                {
                    "id": one.id,
                    "name": one.name,
                    "owner": one.project_id,
                    "status": one.status,
                    "disk_format": one.disk_format,
                    "size": one.size,
                    "servers": used[one.id][0],
                    "volumes": used[one.id][1],
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
            one.project_id,
            one.disk_format,
            one.size,
            *used[one.id],
            one.status if one.deleted_at is None else f"deleted {age(now - one.deleted_at)} ago",
        )
        for one in found
    ]
    title = "Deleted images" if deleted else "Images"
    table(title, ("id", "name", "owner", "format", "bytes", "servers", "volumes", "status"), rows)


@image.command(
    help="Restore a deleted image: it is what it was, with its data, members, tags and properties.\n\n"
    "\b\nExample:\n  pumice image restore 3f0c7a4e-3c1b-4a4c-9d5e-0f1b2c3d4e5f"
)
@click.argument("image_id", metavar="ID")
@state_option
@config_option
def restore(image_id: str, state: str, config: str | None) -> None:
    from pumice.caller import system_caller
    from pumice.images import deletion
    from pumice.processes.image_store import make_image_store

    store = make_image_store(load(state, config).settings)
    with opened(state, config) as database, database.write() as tx:
        restored = deletion.restore(tx, system_caller(), image_id, store)
    click.echo(f"image {image_id} ({restored.name or 'without a name'}) is {restored.status} again")
