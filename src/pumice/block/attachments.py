"""Attachments: the record of who has a volume, with an owner and an end.

    reserve --> (export, plug) record_connected --> record_attached --> record_released
       |                                                                     ^
       +------------------- any failure, undone ----------------------------+      (record_*: `block.attachment_facts`)

Two kinds of callers. Compute (`compute.volume_attachments`) reserves, and its operations record what they observed.
An outside caller (Nova, CSI, bare metal) uses the attachments API: `reserve`, `connect`, `complete`, `disconnect` here.
Whatever a detach needs (host, connection info) is in the row before the attachment is seen as attaching.
"""

from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.exc import IntegrityError

from pumice.block import queries
from pumice.block.attachment_facts import record_attached, record_released
from pumice.block.facts import refresh_volume
from pumice.block.guards import guard
from pumice.block.model import Attachment, Volume
from pumice.block.notifications import notify_volume
from pumice.block.operations.connect_attachment import CONNECT_ATTACHMENT, ConnectAttachment
from pumice.block.operations.disconnect_attachment import DISCONNECT_ATTACHMENT, DisconnectAttachment
from pumice.block.volumes import get as get_volume
from pumice.block.volumes import may_see
from pumice.caller import Caller, new_id
from pumice.db.engine import Transaction
from pumice.db.schema import attachments, servers
from pumice.errors import BadRequest, Conflict, InvalidField, NotFound, WrongState
from pumice.operations.model import OperationRow, exclusive
from pumice.operations.store import enqueue

_INSERT = attachments.insert()


def reserve(
    tx: Transaction,
    caller: Caller,
    volume_id: str,
    *,
    server_id: str | None,
    origin: str,
    mode: str | None = None,
    device: str | None = None,
    attachment_id: str | None = None,
    replacing: bool = False,
) -> Attachment:
    """Take the volume for a server (or, server_id None, for a host). One transaction with whatever else it is for.

    origin: "compute", "os-attach" or "external". mode: "rw" (default unless the volume is read-only) or "ro".
    replacing: a second attachment to the same server takes over from the first (only services may ask that).
    Raises NotFound, WrongState (409) with what is and what is needed, Conflict when it is attached there already.
    """
    volume = get_volume(tx, caller, volume_id).volume
    replaced = _live_for_server(tx, volume_id, server_id) if server_id is not None else None
    if replaced is not None and not replacing:
        raise Conflict(f"Volume {volume_id} is attached to server {server_id} already (attachment {replaced}).")
    stored_mode = _mode(volume, mode)
    guard(tx, "volume", volume_id, "attach again" if volume.multiattach or replaced else "attach")
    identifier = attachment_id or new_id()
    row: dict[str, Any] = {
        "id": identifier,
        "volume_id": volume_id,
        "project_id": volume.project_id,
        "user_id": caller.user_id,
        "server_id": server_id,
        "device": device,
        "mode": stored_mode,
        "origin": origin,
        "replaces": replaced,
        "shared": volume.multiattach,
        "stage": "reserved",
        "attach_status": "reserved",
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    try:
        tx.execute(_INSERT, row)
    except IntegrityError as error:
        raise Conflict(f"Volume {volume_id} is being attached by another request.") from error
    now = refresh_volume(tx, volume_id)
    assert now is not None
    notify_volume(tx, volume_id, "attach.start", caller, now=now)
    return next(one for one in now.attachments if one.id == identifier)


def get(tx: Transaction, caller: Caller, attachment_id: str) -> Attachment:
    """An attachment that the caller may see. Raises NotFound."""
    found = queries.attachment(tx, attachment_id)
    if found is None or not may_see(caller, found.project_id):
        raise NotFound.of("Volume attachment", attachment_id)
    return found


def known(tx: Transaction, attachment_id: str) -> Attachment:
    """An attachment that is there, whoever asks. Raises NotFound."""
    found = queries.attachment(tx, attachment_id)
    if found is None:
        raise NotFound.of("Volume attachment", attachment_id)
    return found


def connect(
    tx: Transaction, caller: Caller, attachment_id: str, connector: dict[str, Any], *, released_by_failure: bool = False
) -> tuple[Attachment, OperationRow | None]:
    """Export the volume to the connector's host: an operation to wait for; None when this very connector is connected.

    released_by_failure: when it cannot be exported, nobody has the volume any more; else the reservation stands.
    Raises InvalidField (the connector names no host), WrongState, NotFound, Busy."""
    attachment = get(tx, caller, attachment_id)
    host = connector.get("host")
    if not isinstance(host, str) or not host:
        raise InvalidField("connector.host", host, "the name of the host that connects is needed")
    if attachment.stage == "connected" and attachment.connector == connector:
        return attachment, None
    if attachment.stage == "connected" and attachment.host != host:
        raise Conflict(
            f"Volume attachment {attachment_id} is connected to host {attachment.host}; delete it, and make one for"
            f" {host}."
        )
    guard(tx, "attachment", attachment_id, "connect")
    volume = _placed(tx, attachment.volume_id)
    arguments = ConnectAttachment(
        attachment_id=attachment_id,
        volume_id=volume.id,
        backend=str(volume.backend),
        connector=connector,
        read_only=attachment.mode == "ro",
        released_by_failure=released_by_failure,
    )
    claims = (exclusive("attachment", attachment_id),)
    return attachment, enqueue(
        tx, CONNECT_ATTACHMENT, arguments, subject_id=attachment_id, claims=claims, caller=caller
    )


def complete(tx: Transaction, caller: Caller, attachment_id: str) -> None:
    """The outside caller says that its guest has the disk. Asked twice it is done.

    A shelved server's attachment has no connector and is completed all the same. Raises WrongState, NotFound."""
    attachment = get(tx, caller, attachment_id)
    if attachment.stage == "attached":
        return
    if attachment.attach_status not in ("reserved", "attaching"):
        raise WrongState(
            "Volume attachment", attachment_id, "complete", attachment.attach_status, ("reserved", "attaching")
        )
    record_attached(tx, attachment_id, caller)


def disconnect(tx: Transaction, caller: Caller, attachment_id: str, *, forced: bool = False) -> OperationRow | None:
    """Take the export away and release the attachment: an operation to wait for, None when nothing was exported.

    forced: an administrator knows that the other compute service does not need it any more.
    Raises Conflict when compute holds it and the caller is not a service, NotFound, Busy."""
    attachment = get(tx, caller, attachment_id)
    refuse_held(tx, caller, attachment, forced=forced)
    guard(tx, "attachment", attachment_id, "disconnect")
    now = queries.volume_now(tx, attachment.volume_id)
    notify_volume(tx, attachment.volume_id, "detach.start", caller, now=now)
    if attachment.host is None:
        record_released(tx, attachment_id, caller)
        return None
    if now is None or now.volume.backend is None:
        raise NotFound.of("Volume", attachment.volume_id)
    arguments = DisconnectAttachment(
        attachment_id=attachment_id, volume_id=attachment.volume_id, backend=now.volume.backend
    )
    claims = (exclusive("attachment", attachment_id),)
    return enqueue(tx, DISCONNECT_ATTACHMENT, arguments, subject_id=attachment_id, claims=claims, caller=caller)


def refuse_held(tx: Transaction, caller: Caller, attachment: Attachment, *, forced: bool = False) -> None:
    """Only compute takes a disk from the guest that has it. Raises Conflict when a server has the volume and the caller
    is not its compute service: ours, or another one, whose servers are not known here.

    forced: as in `disconnect`; the servers of our own compute are asked even then."""
    server_id = attachment.server_id
    if caller.has_service_token or server_id is None:
        return
    if attachment.origin != "external":
        raise Conflict(
            f"Volume {attachment.volume_id} is held by server {server_id} (attachment {attachment.id}); detach it from"
            " the server instead."
        )
    if attachment.host is None or forced or tx.execute(_SERVER, {"id": server_id}).first() is not None:
        return
    raise Conflict(
        f"Volume {attachment.volume_id} is held by server {server_id} of another compute service (attachment"
        f" {attachment.id}); detach it from the server instead. When that service is gone, an administrator can force"
        " the detach (os-force_detach)."
    )


_SERVER = select(servers.c.id).where(servers.c.id == bindparam("id"))


def _live_for_server(tx: Transaction, volume_id: str, server_id: str) -> str | None:
    return tx.execute(_LIVE_FOR_SERVER, {"volume_id": volume_id, "server_id": server_id}).scalar_one_or_none()


_LIVE_FOR_SERVER = select(attachments.c.id).where(
    attachments.c.volume_id == bindparam("volume_id"),
    attachments.c.server_id == bindparam("server_id"),
    attachments.c.deleted_at.is_(None),
    attachments.c.replaces.is_(None),
)


def _mode(volume: Volume, asked: str | None) -> str:
    if asked not in (None, "rw", "ro"):
        raise InvalidField("mode", asked, "'rw' or 'ro'")
    if volume.read_only and asked == "rw":
        raise BadRequest(f"Volume {volume.id} is read-only; attach it with mode 'ro'.")
    return asked or ("ro" if volume.read_only else "rw")


def _placed(tx: Transaction, volume_id: str) -> Volume:
    volume = queries.volume(tx, volume_id)
    if volume is None or volume.backend is None:
        raise NotFound.of("Volume", volume_id)
    return volume
