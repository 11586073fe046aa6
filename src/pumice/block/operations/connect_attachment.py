"""Export a volume to an outside caller's host (attachment update).

export    the target makes the volume reachable for the connector; all of it is stored      undo: take it away
"""

from typing import Any, cast

import msgspec
from sqlalchemy import update

from pumice.block.attachment_facts import record_connected, record_released
from pumice.block.operations.settling import at_backend, settle_volume, tell_user
from pumice.db.engine import Transaction
from pumice.db.schema import attachments
from pumice.operations.model import Operation, Run, Step, caller_of
from pumice.operations.world import World
from pumice.targets.contract import Connector


class ConnectAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """`connector` as the caller sent it. released_by_failure: the attachment was made for this export alone."""

    attachment_id: str
    volume_id: str
    backend: str
    connector: dict[str, Any]
    read_only: bool = False
    released_by_failure: bool = False


def connector_of(sent: dict[str, Any]) -> Connector:
    """The fields that targets read, of the types they expect; whatever else was sent is kept in `other`."""
    known = {
        name: sent[name] for name in ("host", "initiator", "ip", "os_type", "platform", "mountpoint") if name in sent
    }
    texts = {name: value for name, value in known.items() if isinstance(value, str)}
    other = {name: value for name, value in sent.items() if name not in texts}
    return Connector(**texts, multipath=sent.get("multipath") is True, other=other)


def export_volume(
    world: World, backend: str, volume_id: str, attachment_id: str, connector: dict[str, Any], read_only: bool
) -> dict[str, Any]:
    """Export, and answer the connection info as the API has it: {"driver_volume_type", "data"}."""
    found = world.backend(backend)
    location = found.storage.locate(volume_id)
    info = found.target.connect(volume_id, attachment_id, location, connector_of(connector), read_only)
    return {"driver_volume_type": info.driver_volume_type, "data": info.data}


def unexport_volume(world: World, backend: str, volume_id: str, attachment_id: str) -> None:
    """Take the export of this attachment away; absent is fine."""
    world.backend(backend).target.disconnect(volume_id, attachment_id)


def export(run: Run[ConnectAttachment]) -> dict[str, Any]:
    wanted = run.arguments
    return export_volume(
        run.world, wanted.backend, wanted.volume_id, wanted.attachment_id, wanted.connector, wanted.read_only
    )


def unexport(run: Run[ConnectAttachment]) -> None:
    unexport_volume(run.world, run.arguments.backend, run.arguments.volume_id, run.arguments.attachment_id)


def record(tx: Transaction, run: Run[ConnectAttachment]) -> None:
    wanted = run.arguments
    mountpoint = wanted.connector.get("mountpoint")
    record_connected(
        tx,
        wanted.attachment_id,
        host=str(wanted.connector["host"]),
        connector=wanted.connector,
        connection_info=run.results["export"],
        device=mountpoint if isinstance(mountpoint, str) else None,
    )
    # What is stored with the operation can be read by administrators: the secret stays in the attachment only.
    cast(dict[str, Any], run.results)["export"] = {"host": wanted.connector["host"]}


def fail(tx: Transaction, run: Run[ConnectAttachment], reason: str) -> None:
    """The reservation stands and says why, and its owner deletes it; one that nobody made by hand ends.

    Where it was exported before, with another connector, it is no more: the way back has taken that away too."""
    attachment_id = run.arguments.attachment_id
    if run.arguments.released_by_failure:
        record_released(tx, attachment_id, caller_of(run.row), failure=reason)
    else:
        nowhere = {"stage": "reserved", "host": None, "connector": None, "connection_info": None, "failure": reason}
        tx.execute(update(attachments).where(attachments.c.id == attachment_id).values(nowhere))
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "update attachment", reason)


CONNECT_ATTACHMENT = Operation(
    "attachment.connect",
    ConnectAttachment,
    "attachment",
    steps=(Step("export", do=export, undo=unexport, record=record, at=at_backend),),
    failed=fail,
    settle=settle_volume,
)
