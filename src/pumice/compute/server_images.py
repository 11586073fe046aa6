"""createImage: a server as an image. Of a local root disk: its bytes. Of volumes: snapshots of them.

The image belongs to the server's project, inherits what the server's image said (kernel, buses), and can be booted.
"""

from collections.abc import Mapping, Sequence

import msgspec

from pumice.block import queries as block_queries
from pumice.block import snapshots
from pumice.caller import Caller, new_id
from pumice.compute import instance_actions, queries, servers
from pumice.compute.guards import guard
from pumice.compute.model import BlockDeviceMapping, Server
from pumice.compute.notifications import notify_server
from pumice.compute.operations.snapshot_server import SNAPSHOT_SERVER, SNAPSHOT_VOLUMES, SnapshotServer
from pumice.db.engine import Transaction
from pumice.errors import BadRequest
from pumice.images import images, uploads
from pumice.images.disk_lists import PROPERTY
from pumice.images.model import READ_ONLY, RESERVED, Image, NewImage
from pumice.operations.model import exclusive
from pumice.operations.store import enqueue

_NOT_INHERITED = (
    READ_ONLY
    | RESERVED
    | {
        "name",
        "image_id",
        "image_name",
        "disk_format",
        "container_format",
        "min_disk",
        "min_ram",
        PROPERTY,
        "bdm_v2",
        "root_device_name",
    }
)


def create(tx: Transaction, caller: Caller, server_id: str, name: str, metadata: Mapping[str, str]) -> Image:
    """Begin to make the image; it is active when the operation has ended. A locked server allows it.

    Raises Conflict (state), BadRequest, QuotaExceeded (snapshots), NotFound."""
    server = servers.get(tx, caller, server_id)
    mappings = queries.mappings_of(tx, [server_id])
    on_volume = any(one.boot_index == 0 and one.destination_type == "volume" for one in mappings)
    guard(tx, server_id, "create image of volumes" if on_volume else "create image")
    action_id = instance_actions.start(tx, server_id, "createImage", caller=caller)
    event_id = instance_actions.start_event(tx, action_id, "compute_snapshot_instance", server.host)
    notify_server(tx, server_id, "snapshot.start", caller)
    owner = msgspec.structs.replace(caller, project_id=server.project_id)
    taken = _snapshots(tx, owner, server, mappings, name) if on_volume else ()
    described = _described(tx, server, mappings, taken) if on_volume else {}
    upload_id = new_id()
    image = begin(tx, owner, server, name, {**described, **metadata}, upload_id)
    arguments = SnapshotServer(
        server_id=server_id,
        host=str(server.host),
        event_id=event_id,
        image_id=image.id,
        upload_id=upload_id,
        project_id=server.project_id,
        snapshots=tuple(snapshot_id for _, snapshot_id in taken),
    )
    claims = [exclusive("image", image.id)]
    if not on_volume:
        claims += servers.turn(tx, server_id)
    operation = SNAPSHOT_VOLUMES if on_volume else SNAPSHOT_SERVER
    enqueue(tx, operation, arguments, subject_id=server_id, claims=claims, caller=caller)
    return image


def begin(
    tx: Transaction, caller: Caller, server: Server, name: str, properties: Mapping[str, str], upload_id: str
) -> Image:
    """The row of an image that an operation fills. Raises BadRequest."""
    wanted = NewImage(
        name=name,
        disk_format="raw",
        container_format="bare",
        visibility="private",
        min_disk=int(server.flavor["disk"]) if server.image_id is not None else 0,
        project_id=server.project_id,
        properties={**_inherited(tx, server), **properties},
    )
    admin = msgspec.structs.replace(caller, roles=caller.roles | {"admin"})
    queued = images.create(tx, admin, wanted)
    return uploads.begin(tx, admin, queued.id, upload_id)


def _inherited(tx: Transaction, server: Server) -> dict[str, str]:
    """What the server's own image said, and where this one comes from."""
    base = images.find(tx, server.image_id) if server.image_id is not None else None
    known = base.properties if base is not None else _of_root_volume(tx, server)
    found = {name: value for name, value in known.items() if name not in _NOT_INHERITED}
    if server.kernel_id is not None:
        found["kernel_id"] = server.kernel_id
    if server.ramdisk_id is not None:
        found["ramdisk_id"] = server.ramdisk_id
    return {
        **found,
        "image_type": "snapshot",
        "instance_uuid": server.id,
        "user_id": server.user_id,
        "base_image_ref": server.image_id or "",
    }


def _of_root_volume(tx: Transaction, server: Server) -> dict[str, str]:
    for mapping in queries.mappings_of(tx, [server.id]):
        if mapping.boot_index == 0 and mapping.volume_id is not None:
            volume = block_queries.volume(tx, mapping.volume_id)
            return dict(volume.image_metadata or {}) if volume is not None else {}
    return {}


def _snapshots(
    tx: Transaction, caller: Caller, server: Server, mappings: Sequence[BlockDeviceMapping], name: str
) -> tuple[tuple[str, str], ...]:
    """(mapping, snapshot) of each volume of the server."""
    taken = []
    for mapping in mappings:
        if mapping.volume_id is None or mapping.destination_type != "volume":
            continue
        if mapping.attachment_id is None:
            raise BadRequest(f"Volume {mapping.volume_id} of server {server.id} is not attached yet.")
        snapshot = snapshots.create(
            tx,
            caller,
            mapping.volume_id,
            name=f"snapshot for {name}",
            description=None,
            metadata={},
            in_use_allowed=True,
        )
        taken.append((mapping.id, snapshot.id))
    return tuple(taken)


def _described(
    tx: Transaction, server: Server, mappings: Sequence[BlockDeviceMapping], taken: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """The properties by which such an image is booted: its disks, as a JSON text."""
    by_mapping = dict(taken)
    entries = []
    root = "/dev/sda"
    for mapping in mappings:
        snapshot_id = by_mapping.get(mapping.id)
        if snapshot_id is None:
            continue
        if mapping.boot_index == 0:
            root = mapping.device_name or root
        snapshot = block_queries.snapshot(tx, snapshot_id)
        entries.append(
            {
                "source_type": "snapshot",
                "destination_type": "volume",
                "snapshot_id": snapshot_id,
                "volume_id": None,
                "image_id": None,
                "volume_size": snapshot.size if snapshot is not None else mapping.volume_size,
                "boot_index": mapping.boot_index,
                "device_name": mapping.device_name,
                "device_type": "disk",
                "disk_bus": mapping.disk_bus,
                "guest_format": None,
                "no_device": None,
                "delete_on_termination": mapping.delete_on_termination,
                "tag": mapping.tag,
                "volume_type": mapping.volume_type,
            }
        )
    return {
        PROPERTY: msgspec.json.encode(entries).decode(),
        "bdm_v2": "True",
        "root_device_name": root,
    }
