"""Make servers: one, or several by one request (min_count, max_count), all in one transaction.

Each server's facts are written, its volumes reserved or begun, its operation enqueued. When no host can run it, it is
there in ERROR, and its fault says why for each host.
"""

import secrets
from typing import Any

import msgspec

from pumice.block.model import GIB
from pumice.caller import Caller, new_id
from pumice.compute import boot_disks, boot_rows, config_drive, flavors, hosts, instance_actions, keypairs, quotas
from pumice.compute.boot_disks import BootPlan
from pumice.compute.facts import refresh_server
from pumice.compute.model import Flavor, KeyPair, ServerWithVolumes, WantedServer
from pumice.compute.notifications import notify_server
from pumice.compute.operations.create_server import CREATE_SERVER, CreateServer
from pumice.compute.servers import flavor_copy, shown
from pumice.db.engine import Transaction
from pumice.db.schema import servers
from pumice.errors import BadRequest, InvalidField, NotFound
from pumice.images.model import Image
from pumice.operations.model import exclusive, shared
from pumice.operations.store import enqueue

MOST_AT_ONCE = 256
"""Servers of one request: they are made in one transaction."""
LONGEST_PROPERTY = 255
"""Characters; longer ones of an image are not shown with its servers."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What all servers of one request share, looked up and checked."""

    wanted: WantedServer
    flavor: Flavor
    plan: BootPlan
    keypair: KeyPair | None
    has_config_drive: bool
    reservation_id: str
    multiattach: bool


def create(tx: Transaction, caller: Caller, wanted: WantedServer, *, multiattach: bool = True) -> ServerWithVolumes:
    """Create the server, or the servers; the first one. multiattach False: see `boot_rows.add`.

    Raises BadRequest (flavor, image, disks, counts, key pair), InvalidField, Forbidden (quota)."""
    if caller.project_id is None:
        raise BadRequest("A server belongs to a project: use a token that is scoped to one.")
    prepared = prepare(tx, caller, wanted, multiattach)
    flavor = prepared.flavor
    quotas.check_metadata(tx, caller.project_id, len(wanted.metadata))
    each = quotas.Totals(1, flavor.vcpus, flavor.memory_mib)
    count = quotas.check(tx, caller.project_id, each, wanted.min_count, wanted.max_count)
    made = [_create(tx, caller, prepared, index) for index in range(count)]
    return shown(tx, made[0])


def prepare(tx: Transaction, caller: Caller, wanted: WantedServer, multiattach: bool) -> Prepared:
    """Everything that can be refused before anything is written. Raises as `create`."""
    try:
        flavor = flavors.get(tx, caller, wanted.flavor_id)
    except NotFound as error:
        raise BadRequest(error.message) from error
    plan = boot_disks.plan(tx, caller, wanted, flavor)
    if plan.image is not None:
        check_size(flavor, plan.image)
    keypair = _keypair(tx, caller, wanted.key_name)
    _check_counts(wanted, plan)
    if wanted.availability_zone is not None and wanted.availability_zone not in hosts.zones(tx):
        raise InvalidField(
            "server.availability_zone", wanted.availability_zone, f"zones are {', '.join(sorted(hosts.zones(tx)))}"
        )
    needed = config_drive.is_needed(wanted, plan.properties)
    return Prepared(
        wanted=wanted,
        flavor=flavor,
        plan=plan,
        keypair=keypair,
        has_config_drive=needed,
        reservation_id=f"r-{secrets.token_hex(4)}",
        multiattach=multiattach,
    )


def check_size(flavor: Flavor, image: Image) -> None:
    """The flavor must hold the image."""
    if image.min_ram > flavor.memory_mib:
        raise BadRequest(
            f"Flavor {flavor.name} has {flavor.memory_mib} MiB of memory; the image needs {image.min_ram} MiB."
        )
    inside = -(-(image.virtual_size or 0) // GIB)
    if flavor.disk and flavor.disk < max(inside, image.min_disk):
        raise BadRequest(
            f"Flavor {flavor.name} has a disk of {flavor.disk} GiB; image {image.id} needs {inside} GiB for its "
            f"{image.virtual_size} bytes, and min_disk {image.min_disk} GiB."
        )


def _keypair(tx: Transaction, caller: Caller, name: str | None) -> KeyPair | None:
    if name is None:
        return None
    try:
        return keypairs.get(tx, caller, name)
    except NotFound as error:
        raise InvalidField("server.key_name", name, "you have no key pair of this name") from error


def _check_counts(wanted: WantedServer, plan: BootPlan) -> None:
    if wanted.min_count > wanted.max_count:
        raise InvalidField("server.min_count", wanted.min_count, f"not more than max_count, {wanted.max_count}")
    if wanted.max_count > MOST_AT_ONCE:
        raise InvalidField("server.max_count", wanted.max_count, f"at most {MOST_AT_ONCE} servers by one request")
    existing = [disk for disk in plan.disks if disk.source_type == "volume"]
    if wanted.max_count > 1 and existing:
        raise InvalidField(
            f"server.{existing[0].field}.uuid", existing[0].uuid, "a volume that is there cannot go to several servers"
        )


def _create(tx: Transaction, caller: Caller, prepared: Prepared, index: int) -> str:
    wanted, flavor, plan = prepared.wanted, prepared.flavor, prepared.plan
    wish = hosts.Wish(
        memory_mib=flavor.memory_mib,
        availability_zone=wanted.availability_zone,
        preferred=plan.preferred_hosts,
    )
    chosen = hosts.choose(tx, wish)
    refused = chosen.sentence if isinstance(chosen, hosts.NoHost) else None
    host = None if isinstance(chosen, hosts.NoHost) else chosen
    row = {
        **_asked(caller, prepared, index),
        "id": new_id(),
        "host": host.host if host is not None else None,
        "availability_zone": host.availability_zone if host is not None else wanted.availability_zone or "nova",
        "locked": False,
        "life": "making" if refused is None else "broken",
        "power": "none",
        "fault": None if refused is None else {"code": 500, "message": refused, "created": tx.now},
        "status": "BUILD",
        "vm_state": "building",
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    server_id: str = row["id"]
    tx.execute(servers.insert(), row)
    refresh_server(tx, server_id)
    action_id = instance_actions.start(tx, server_id, "create", caller=caller)
    event_id = instance_actions.start_event(tx, action_id, "compute__do_build_and_run_instance", row["host"])
    notify_server(tx, server_id, "create.start", caller)
    if host is None:
        instance_actions.finish_event(tx, event_id, failure=refused)
        notify_server(tx, server_id, "create.error", caller, {"message": refused})
        return server_id
    made = boot_rows.add(tx, caller, server_id, plan, multiattach=prepared.multiattach)
    arguments = CreateServer(server_id=server_id, host=host.host, event_id=event_id, made=made)
    claims = (exclusive("server", server_id), *(shared("image", one) for one in sorted(plan.image_ids)))
    enqueue(tx, CREATE_SERVER, arguments, subject_id=server_id, claims=claims, caller=caller)
    return server_id


def _asked(caller: Caller, prepared: Prepared, index: int) -> dict[str, Any]:
    """The columns that say what was asked for; the index is the server's place among those of the request."""
    wanted, plan, keypair = prepared.wanted, prepared.plan, prepared.keypair
    several = wanted.max_count > 1
    shown_properties = {key: str(value)[:LONGEST_PROPERTY] for key, value in plan.properties.items()}
    return {
        "project_id": caller.project_id,
        "user_id": caller.user_id,
        "name": f"{wanted.name}-{index + 1}" if several else wanted.name,
        "description": wanted.description,
        "hostname": f"{wanted.hostname}-{index + 1}" if several and wanted.hostname else wanted.hostname,
        "flavor_id": prepared.flavor.id,
        "flavor": flavor_copy(prepared.flavor),
        "image_id": plan.image.id if plan.image is not None else None,
        "image_properties": shown_properties if plan.image is not None else None,
        "kernel_id": plan.kernel_id,
        "ramdisk_id": plan.ramdisk_id,
        "asked_zone": wanted.availability_zone,
        "metadata": wanted.metadata,
        "tags": list(wanted.tags),
        "key_name": keypair.name if keypair is not None else None,
        "public_key": keypair.public_key if keypair is not None else None,
        "user_data": wanted.user_data,
        "config_drive": prepared.has_config_drive,
        "admin_password": wanted.admin_password if prepared.has_config_drive else None,
        "disk_config": wanted.disk_config,
        "access_ip_v4": wanted.access_ip_v4,
        "access_ip_v6": wanted.access_ip_v6,
        "reservation_id": prepared.reservation_id,
        "launch_index": index,
    }
