"""The facts of an attachment, as operations record them: connected, attached, released.

Called in the transaction of the step that observed the fact. Each rewrites the volume's derived columns and announces.
What has happened is shown from then on, whatever word an operator had asked to be shown before.
"""

from typing import Any

from sqlalchemy import String, bindparam, delete, func, literal, update

from pumice.block.facts import refresh_volume
from pumice.block.notifications import notify_volume
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import attachments, marks, volume_holds


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
    info = {"host": host, "connector": connector, "connection_info": connection_info}
    tx.execute(_CONNECTED, {"key": attachment_id, "now": tx.now, "seen_as": device, **info})


def record_attached(tx: Transaction, attachment_id: str, caller: Caller, *, device: str | None = None) -> None:
    """The disk was observed in the guest's definition (or an outside caller says so): attached, and announced."""
    found = tx.execute(_ATTACHED, {"key": attachment_id, "now": tx.now, "seen_as": device})
    volume_id = found.scalar_one()
    _end_hold(tx, volume_id, "reserved")
    tx.execute(_UNMARK, {"of_volume": volume_id})
    notify_volume(tx, volume_id, "attach.end", caller, now=refresh_volume(tx, volume_id))


def record_released(tx: Transaction, attachment_id: str, caller: Caller, *, failure: str | None = None) -> None:
    """The volume is no longer there: the attachment ends; with `failure` it never came to be, and says why.

    Its secrets are forgotten. One that replaced it is now the only one."""
    found = tx.execute(_RELEASED, {"key": attachment_id, "now": tx.now, "why": failure})
    volume_id = found.scalar_one_or_none()
    if volume_id is None:
        return
    tx.execute(_REPLACED, {"of_volume": volume_id, "key": attachment_id})
    _end_hold(tx, volume_id, "detaching")
    if failure is None:
        tx.execute(_UNMARK, {"of_volume": volume_id})
    event = "detach.end" if failure is None else "attach.error"
    notify_volume(tx, volume_id, event, caller, now=refresh_volume(tx, volume_id))


def _end_hold(tx: Transaction, volume_id: str, kind: str) -> None:
    """What a hold announced has happened."""
    tx.execute(_END_HOLD, {"of_volume": volume_id, "of_kind": kind})


_ONE = update(attachments).where(attachments.c.id == bindparam("key"))
_DEVICE = func.coalesce(bindparam("seen_as", type_=String), attachments.c.device)
_CONNECTED = _ONE.values(
    stage="connected",
    host=bindparam("host"),
    connector=bindparam("connector"),
    connection_info=bindparam("connection_info"),
    failure=None,
    device=_DEVICE,
    updated_at=bindparam("now"),
)
_ATTACHED = _ONE.values(
    stage="attached", attached_at=bindparam("now"), updated_at=bindparam("now"), failure=None, device=_DEVICE
).returning(attachments.c.volume_id)
_RELEASED = (
    _ONE.where(attachments.c.deleted_at.is_(None))
    .values(
        stage="released",
        connection_info=None,
        attach_status="detached",
        failure=func.coalesce(bindparam("why", type_=String), attachments.c.failure),
        detached_at=bindparam("now"),
        deleted_at=bindparam("now"),
        updated_at=bindparam("now"),
    )
    .returning(attachments.c.volume_id)
)
_REPLACED = (
    update(attachments)
    .where(
        attachments.c.volume_id == bindparam("of_volume"),
        attachments.c.deleted_at.is_(None),
        attachments.c.replaces == bindparam("key"),
    )
    .values(replaces=None)
)
_UNMARK = delete(marks).where(
    marks.c.resource_type == "volume",
    marks.c.resource_id == bindparam("of_volume"),
    marks.c.field.in_([literal("status"), literal("attach_status")]),
)
_END_HOLD = delete(volume_holds).where(
    volume_holds.c.volume_id == bindparam("of_volume"), volume_holds.c.kind == bindparam("of_kind")
)
