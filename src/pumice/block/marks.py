"""Marks: the words that an operator asked to be shown (os-reset_status, os-update_snapshot_status). No fact changes.

A mark is refused, with the evidence and the verb that helps, where it would tell a lie: while an operation is live,
`available` or `detached` while something is attached, `in-use` or `attached` with nothing attached. Asking for what the
facts say anyway removes the mark; so does what happens afterwards: an attach, a detach (`attachment_facts`), forcing.
"""

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import delete, select, update

from pumice.block import queries
from pumice.block.facts import live_operations, refresh_snapshot, refresh_volume
from pumice.block.notifications import notify_snapshot, notify_volume
from pumice.block.snapshots import get as get_snapshot
from pumice.block.transitions import ATTACH_WORDS, SNAPSHOT_WORDS, VOLUME_WORDS
from pumice.block.volumes import get as get_volume
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import marks, snapshots, volumes
from pumice.errors import BadRequest, Conflict, InvalidField

Field = Literal["status", "attach_status", "migration_status"]

MIGRATION_WORDS = ("none", "migrating", "error", "success", "completing", "starting")
_VOLUME_WORDS: Mapping[Field, tuple[str, ...]] = {
    "status": VOLUME_WORDS,
    "attach_status": ATTACH_WORDS,
    "migration_status": MIGRATION_WORDS,
}


def reset_volume(tx: Transaction, caller: Caller, volume_id: str, words: Mapping[Field, str]) -> None:
    """Show these words for the volume. Raises InvalidField, BadRequest (nothing asked), Conflict, NotFound."""
    found = get_volume(tx, caller, volume_id)
    if not words:
        raise BadRequest("os-reset_status needs at least one of 'status', 'attach_status', 'migration_status'.")
    for field, word in words.items():
        if word.lower() not in _VOLUME_WORDS[field]:
            raise InvalidField(field, word, f"one of {', '.join(_VOLUME_WORDS[field])}")
    _refuse_while_live(tx, "volume", volume_id)
    attached = [one for one in found.attachments if one.stage == "attached"]
    status, attach_status = words.get("status", "").lower(), words.get("attach_status", "").lower()
    if attached and (status == "available" or attach_status == "detached"):
        one = attached[0]
        where = f"server {one.server_id}" if one.server_id else f"host {one.host}"
        raise Conflict(
            f"Volume {volume_id} is attached to {where} (attachment {one.id}); detach it there, or use os-force_detach."
        )
    if not attached and (status == "in-use" or attach_status == "attached"):
        raise Conflict(f"Volume {volume_id} has no attachment; attach it to a server instead.")
    notify_volume(tx, volume_id, "reset_status.start", caller)
    if words.get("migration_status", "").lower() == "none":  # the operator has seen how the last one ended
        tx.execute(update(volumes).where(volumes.c.id == volume_id).values(migration=None))
    for field, word in words.items():
        clear(tx, "volume", volume_id, field)
        refresh_volume(tx, volume_id)
        derived = tx.execute(select(volumes.c[field]).where(volumes.c.id == volume_id)).scalar_one()
        if word.lower() != (derived or "none"):
            _set(tx, caller, "volume", volume_id, field, word.lower())
    notify_volume(tx, volume_id, "reset_status.end", caller, now=refresh_volume(tx, volume_id))


def reset_snapshot(
    tx: Transaction, caller: Caller, snapshot_id: str, word: str, *, progress: str | None = None
) -> None:
    """Show this word (and progress, "80%") for the snapshot. Raises InvalidField, Conflict, NotFound."""
    get_snapshot(tx, caller, snapshot_id)
    if word.lower() not in SNAPSHOT_WORDS:
        raise InvalidField("status", word, f"one of {', '.join(SNAPSHOT_WORDS)}")
    _refuse_while_live(tx, "snapshot", snapshot_id)
    notify_snapshot(tx, snapshot_id, "reset_status.start", caller)
    clear(tx, "snapshot", snapshot_id, "status")
    refresh_snapshot(tx, snapshot_id)
    derived = tx.execute(select(snapshots.c.status).where(snapshots.c.id == snapshot_id)).scalar_one()
    if word.lower() != derived or progress is not None:
        _set(tx, caller, "snapshot", snapshot_id, "status", word.lower(), progress)
    refresh_snapshot(tx, snapshot_id)
    if progress is not None:
        tx.execute(update(snapshots).where(snapshots.c.id == snapshot_id).values(progress=progress))
    notify_snapshot(tx, snapshot_id, "reset_status.end", caller)


def clear(tx: Transaction, resource_type: str, resource_id: str, field: Field | None = None) -> None:
    """Remove a mark (field None: all of the resource's)."""
    statement = delete(marks).where(marks.c.resource_type == resource_type, marks.c.resource_id == resource_id)
    tx.execute(statement if field is None else statement.where(marks.c.field == field))


def _refuse_while_live(tx: Transaction, resource_type: str, resource_id: str) -> None:
    exclusive = [one.kind for one in live_operations(tx, resource_type, resource_id) if one.mode == "exclusive"]
    if resource_type == "volume":
        for attachment in queries.attachments_of(tx, [resource_id]):
            exclusive += [one.kind for one in live_operations(tx, "attachment", attachment.id)]
    if exclusive:
        raise Conflict(
            f"{resource_type.capitalize()} {resource_id} is held by the operation {exclusive[0]}; cancel it first."
        )


def _set(
    tx: Transaction,
    caller: Caller,
    resource_type: str,
    resource_id: str,
    field: Field,
    word: str,
    progress: str | None = None,
) -> None:
    tx.execute(
        marks.insert(),
        {
            "resource_type": resource_type,
            "resource_id": resource_id,
            "field": field,
            "word": word,
            "progress": progress,
            "user_id": caller.user_id,
            "created_at": tx.now,
        },
    )
