"""Rebuild a server from an image: one transaction with its new name, metadata and the like, and the operation.

A server with a local root disk gets a new one. One on a volume keeps it: from 2.93 on with the image's bytes in it,
before that only with the very image that it has (then its guest is only started anew).
"""

from typing import Any

import msgspec
from sqlalchemy import update

from pumice.block import queries as block_queries
from pumice.block.model import GIB
from pumice.block.volume_sources import described_image
from pumice.caller import Caller, new_id
from pumice.compute import boot_disks, config_drive, devices, instance_actions, keypairs, queries, quotas, servers
from pumice.compute.model import BlockDeviceMapping, Flavor, Server, ServerWithVolumes, WantedServer
from pumice.compute.notifications import notify_server
from pumice.compute.operations.clear_kept import Kept
from pumice.compute.operations.rebuild_server import REBUILD_SERVER, RebuildServer, RootMapping
from pumice.compute.server_creation import LONGEST_PROPERTY, check_size
from pumice.db.engine import Transaction
from pumice.db.schema import block_device_mappings
from pumice.db.schema import servers as rows
from pumice.errors import BadRequest, InvalidField, NotFound
from pumice.images.disk_lists import PROPERTY
from pumice.images.model import Image
from pumice.operations.model import shared
from pumice.operations.store import enqueue


def rebuild(
    tx: Transaction, caller: Caller, server_id: str, image_id: str, changes: dict[str, Any], *, reimage: bool
) -> ServerWithVolumes:
    """Begin it. changes: columns of the server that were sent; key_name None takes the key away.
    reimage: the caller's microversion (2.93) replaces the bytes of a root volume.

    Raises BadRequest (image, its size), InvalidField, Conflict, Forbidden (quota of metadata), NotFound."""
    server = servers.get_to_change(tx, caller, server_id, "rebuild")
    if "metadata" in changes:
        quotas.check_metadata(tx, server.project_id, len(changes["metadata"]))
    if "key_name" in changes:
        changes = {**changes, "public_key": _public_key(tx, caller, changes["key_name"])}
    flavor = _flavor(server)
    mappings = queries.mappings_of(tx, [server_id])
    on_volume = next((one for one in mappings if one.boot_index == 0 and one.destination_type == "volume"), None)
    wanted = WantedServer(name=server.name or "", flavor_id=server.flavor_id, image_id=image_id)
    plan = boot_disks.plan(tx, caller, wanted, flavor)
    image = plan.image
    if image is None or PROPERTY in plan.properties:
        raise BadRequest(f"Image {image_id} is a list of snapshots; a server cannot be rebuilt from it.")
    if on_volume is None:
        check_size(flavor, image)
    elif not reimage:
        _refuse_other_image(tx, on_volume, image.id)
    values: dict[str, Any] = {**changes, "kernel_id": plan.kernel_id, "ramdisk_id": plan.ramdisk_id}
    if on_volume is None:
        shown = {key: str(value)[:LONGEST_PROPERTY] for key, value in plan.properties.items()}
        values |= {"image_id": image.id, "image_properties": shown}
    new = msgspec.structs.replace(server, **{key: value for key, value in values.items() if hasattr(server, key)})
    needed = new.config_drive or bool(new.user_data or new.key_name) or config_drive.is_needed(wanted, plan.properties)
    values["config_drive"] = needed
    kept = _kept(tx, on_volume, image) if on_volume is not None and reimage else None
    has_root = any(one.destination_type == "local" and one.source_type == "image" for one in plan.disks)
    root = _root_mapping(tx, server, mappings, image.id if has_root else None) if on_volume is None else None
    tx.execute(update(rows).where(rows.c.id == server_id).values(**values, updated_at=tx.now))
    notify_server(tx, server_id, "rebuild.start", caller)
    action_id = instance_actions.start(tx, server_id, "rebuild", caller=caller)
    old = {name: getattr(server, name) for name in values if name != "admin_password"}
    arguments = RebuildServer(
        server_id=server_id,
        host=str(server.host),
        event_id=instance_actions.start_event(tx, action_id, "compute_rebuild_instance", server.host),
        runs=server.power == "on",
        image_id=image.id,
        old={"name": server.name, **old},
        root=root,
        kept=kept,
        image_metadata=described_image(image) if kept is not None else None,
    )
    claims = [*servers.turn(tx, server_id), *(shared("image", one) for one in sorted(plan.image_ids))]
    enqueue(tx, REBUILD_SERVER, arguments, subject_id=server_id, claims=claims, caller=caller)
    return servers.shown(tx, server_id)


def _public_key(tx: Transaction, caller: Caller, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        return keypairs.get(tx, caller, name).public_key
    except NotFound as error:
        raise InvalidField("rebuild.key_name", name, "you have no key pair of this name") from error


def _flavor(server: Server) -> Flavor:
    """The flavor as the server keeps it: the flavor itself may be gone."""
    kept = server.flavor
    return Flavor(
        id=server.flavor_id,
        name=kept["original_name"],
        description=None,
        memory_mib=int(kept["ram"]),
        vcpus=int(kept["vcpus"]),
        disk=int(kept["disk"]),
        ephemeral=0,
        swap=0,
        is_public=True,
        extra_specs={},
        created_at=server.created_at,
        deleted_at=None,
    )


def _refuse_other_image(tx: Transaction, root: BlockDeviceMapping, image_id: str) -> None:
    volume = block_queries.volume(tx, str(root.volume_id))
    known = (volume.image_metadata or {}).get("image_id") if volume is not None else None
    if known != image_id:
        raise BadRequest(
            "Unable to rebuild with a different image for a volume-backed server: use compute microversion 2.93 or"
            " later, which puts the image into the volume."
        )


def _kept(tx: Transaction, root: BlockDeviceMapping, image: Image) -> Kept:
    volume = block_queries.volume(tx, str(root.volume_id))
    if volume is None or volume.backend is None:
        raise BadRequest(f"The root volume {root.volume_id} is on no backend.")
    needed = max(image.min_disk, -(-(image.virtual_size or image.size or 0) // GIB))
    if needed > volume.size:
        raise BadRequest(f"Root volume {volume.id} has {volume.size} GiB; image {image.id} needs {needed} GiB.")
    return Kept(volume_id=volume.id, backend=volume.backend, old_id=new_id(), new_id=new_id())


def _root_mapping(
    tx: Transaction, server: Server, mappings: list[BlockDeviceMapping], image_id: str | None
) -> RootMapping | None:
    """The mapping of the local root disk becomes that of this image; None: a kernel alone is booted."""
    table = block_device_mappings
    old = next((one for one in mappings if one.destination_type == "local" and one.source_type == "image"), None)
    if old is not None and image_id is not None:
        tx.execute(update(table).where(table.c.id == old.id).values(image_id=image_id, updated_at=tx.now))
        return RootMapping(id=old.id, change="changed", image_id=old.image_id)
    if old is not None:
        tx.execute(update(table).where(table.c.id == old.id).values(deleted_at=tx.now, updated_at=tx.now))
        return RootMapping(id=old.id, change="removed")
    if image_id is None:
        return None
    row: dict[str, Any] = {
        "id": new_id(),
        "server_id": server.id,
        "source_type": "image",
        "destination_type": "local",
        "image_id": image_id,
        "boot_index": 0,
        "device_name": devices.choose(None, [one.device_name for one in mappings], "scsi", first="a"),
        "disk_bus": "scsi",
        "delete_on_termination": True,
        "created_at": tx.now,
    }
    tx.execute(table.insert(), row)
    return RootMapping(id=row["id"], change="added")
