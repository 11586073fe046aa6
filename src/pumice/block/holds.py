"""Holds: what an outside caller took with os-reserve or os-begin_detaching. A hold has an owner and an end.

    available --reserve--> attaching --unreserve--> available           (ended too by an attachment of whoever took it,
                                                                         or when it expires)
    in-use --begin_detaching--> detaching --roll_detaching--> in-use    (ended too by the detach, or when it expires)

The reconciler asks compute about an expired hold and ends it.
"""

from sqlalchemy import delete, select

from pumice.block import queries
from pumice.block.attachments import refuse_held
from pumice.block.facts import refresh_volume
from pumice.block.guards import guard_older
from pumice.block.model import Hold
from pumice.block.volumes import get as get_volume
from pumice.caller import Caller
from pumice.clock import HOUR
from pumice.db.engine import Transaction
from pumice.db.schema import volume_holds

KEPT = HOUR
"""A hold that nobody ended expires after so long."""


def reserve(tx: Transaction, caller: Caller, volume_id: str) -> None:
    """Take an available volume. Raises BadRequest when it is not, NotFound."""
    get_volume(tx, caller, volume_id)
    _take(tx, caller, volume_id, "reserved", "reserve")


def unreserve(tx: Transaction, caller: Caller, volume_id: str) -> None:
    """Give a reserved volume back; one that is not reserved stays as it is. Raises NotFound."""
    get_volume(tx, caller, volume_id)
    release(tx, volume_id, "reserved")


def begin_detaching(tx: Transaction, caller: Caller, volume_id: str) -> None:
    """Announce a detach of a volume in use.

    Raises Conflict when a compute service attached it and the caller is none, BadRequest, NotFound."""
    found = get_volume(tx, caller, volume_id)
    for attachment in found.attachments:
        refuse_held(tx, caller, attachment)
    _take(tx, caller, volume_id, "detaching", "begin detaching")


def roll_detaching(tx: Transaction, caller: Caller, volume_id: str) -> None:
    """The detach did not happen; one that was not announced is fine. Raises NotFound."""
    get_volume(tx, caller, volume_id)
    release(tx, volume_id, "detaching")


def release(tx: Transaction, volume_id: str, kind: str) -> None:
    """End a hold if it is there."""
    tx.execute(delete(volume_holds).where(volume_holds.c.volume_id == volume_id, volume_holds.c.kind == kind))
    refresh_volume(tx, volume_id)


def use(tx: Transaction, caller: Caller, volume_id: str) -> None:
    """The attachment that the caller reserved the volume for is made now: the reservation does not stand in its way.
    That of another user does, except for administrators and services."""
    statement = delete(volume_holds).where(volume_holds.c.volume_id == volume_id, volume_holds.c.kind == "reserved")
    if not caller.is_admin and not caller.has_service_token:
        statement = statement.where(volume_holds.c.user_id == caller.user_id)
    tx.execute(statement)
    refresh_volume(tx, volume_id)


def expired(tx: Transaction) -> list[Hold]:
    """Holds past their end, for the reconciler."""
    statement = select(*queries.HOLD).where(volume_holds.c.expires_at <= tx.now).order_by(volume_holds.c.expires_at)
    return [Hold(*row) for row in tx.execute(statement)]


def _take(tx: Transaction, caller: Caller, volume_id: str, kind: str, action: str) -> None:
    guard_older(tx, "volume", volume_id, action)
    tx.execute(
        volume_holds.insert(),
        {
            "volume_id": volume_id,
            "kind": kind,
            "user_id": caller.user_id,
            "request_id": caller.request_id,
            "created_at": tx.now,
            "expires_at": tx.now + KEPT,
        },
    )
    refresh_volume(tx, volume_id)
