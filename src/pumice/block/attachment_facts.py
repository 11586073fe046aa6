"""The facts of an attachment, as operations record them: connected, attached, released.

Called in the transaction of the step that observed the fact. Each rewrites the volume's derived columns and announces.
"""

from typing import Any

from sqlalchemy import delete, update

from pumice.block.facts import refresh_volume
from pumice.block.notifications import notify_volume
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import attachments, volume_holds


def record_connected(
    tx: Transaction,
    attachment_id: str,
    *,
    host: str,
    connector: dict[str, Any],
    connection_info: dict[str, Any],
    device: str | None = None,
) -> None:
    """The volume is exported to that host: a fact, together with all that a detach will need."""
    values: dict[str, Any] = {
        "stage": "connected",
        "host": host,
        "connector": connector,
        "connection_info": connection_info,
        "failure": None,
        "updated_at": tx.now,
    }
    if device is not None:
        values["device"] = device
    tx.execute(update(attachments).where(attachments.c.id == attachment_id).values(**values))


def record_attached(tx: Transaction, attachment_id: str, caller: Caller, *, device: str | None = None) -> None:
    """The disk was observed in the guest's definition (or an outside caller says so): attached, and announced."""
    values: dict[str, Any] = {"stage": "attached", "attached_at": tx.now, "updated_at": tx.now, "failure": None}
    if device is not None:
        values["device"] = device
    statement = update(attachments).where(attachments.c.id == attachment_id).values(**values)
    volume_id = tx.execute(statement.returning(attachments.c.volume_id)).scalar_one()
    _end_hold(tx, volume_id, "reserved")
    refresh_volume(tx, volume_id)
    notify_volume(tx, volume_id, "attach.end", caller)


def record_released(tx: Transaction, attachment_id: str, caller: Caller, *, failure: str | None = None) -> None:
    """The volume is no longer there: the attachment ends; with `failure` it never came to be, and says why.

    Its secrets are forgotten. One that replaced it is now the only one."""
    values: dict[str, Any] = {
        "stage": "released",
        "connection_info": None,
        "attach_status": "detached",
        "detached_at": tx.now,
        "deleted_at": tx.now,
        "updated_at": tx.now,
    }
    if failure is not None:
        values["failure"] = failure
    statement = (
        update(attachments)
        .where(attachments.c.id == attachment_id, attachments.c.deleted_at.is_(None))
        .values(**values)
        .returning(attachments.c.volume_id)
    )
    volume_id = tx.execute(statement).scalar_one_or_none()
    if volume_id is None:
        return
    tx.execute(update(attachments).where(attachments.c.replaces == attachment_id).values(replaces=None))
    _end_hold(tx, volume_id, "detaching")
    refresh_volume(tx, volume_id)
    notify_volume(tx, volume_id, "detach.end" if failure is None else "attach.error", caller)


def _end_hold(tx: Transaction, volume_id: str, kind: str) -> None:
    """What a hold announced has happened."""
    tx.execute(delete(volume_holds).where(volume_holds.c.volume_id == volume_id, volume_holds.c.kind == kind))
