"""Notifications of compute: payloads as Nova's consumers know them, written in the transaction of the change.

    compute.instance.create.start / .end / .error      compute.instance.delete.start / .end
    compute.instance.power_on.start / .end, power_off, reboot, pause, unpause
    compute.instance.volume.attach, compute.instance.volume.detach

Never in a payload: connectors, connection info, user data, passwords.
"""

from collections.abc import Mapping
from typing import Any

from pumice.caller import Caller
from pumice.clock import isoformat
from pumice.compute import queries
from pumice.compute.model import Server
from pumice.db.engine import Transaction
from pumice.metering.events import emit


def server_payload(server: Server) -> dict[str, Any]:
    """The payload of compute.instance.* notifications."""
    flavor = server.flavor
    return {
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "instance_id": server.id,
        "display_name": server.name,
        "host": server.host,
        "node": server.host,
        "availability_zone": server.availability_zone,
        "state": server.vm_state,
        "state_description": server.task_state or "",
        "instance_flavor_id": server.flavor_id,
        "instance_type": flavor["original_name"],
        "memory_mb": flavor["ram"],
        "vcpus": flavor["vcpus"],
        "disk_gb": flavor["disk"] + flavor["ephemeral"],
        "root_gb": flavor["disk"],
        "ephemeral_gb": flavor["ephemeral"],
        "image_ref_url": server.image_id or "",
        "kernel_id": server.kernel_id or "",
        "ramdisk_id": server.ramdisk_id or "",
        "created_at": isoformat(server.created_at),
        "launched_at": isoformat(server.launched_at) or "",
        "deleted_at": isoformat(server.deleted_at) or "",
        "metadata": server.metadata,
    }


def notify_server(
    tx: Transaction, server_id: str, event: str, caller: Caller, extra: Mapping[str, Any] | None = None
) -> None:
    """Write `compute.instance.<event>`, e.g. "create.start", of the server as it is now (a deleted one too)."""
    server = queries.server_even_deleted(tx, server_id)
    if server is None:
        return
    payload = {
        name: value for name, value in server_payload(server).items() if not (name.endswith("_at") and not value)
    }
    emit(
        tx,
        f"compute.instance.{event}",
        {**payload, **(extra or {})},
        caller=caller,
        resource_id=server.id,
        project_id=server.project_id,
        publisher=f"compute.{server.host or 'scheduler'}",
    )
