"""Force delete: an administrator deletes a volume or snapshot whatever word is shown for it.

Marks and holds are removed first, so that what is left are facts; those still count. What is attached, or is being
worked at by an operation, is refused: a deleted disk of a running guest helps nobody.
"""

from sqlalchemy import delete as delete_from

from pumice.block import marks, snapshots, volumes
from pumice.block.facts import refresh_snapshot, refresh_volume
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import volume_holds


def force_delete_volume(tx: Transaction, caller: Caller, volume_id: str, *, cascade: bool = False) -> None:
    """Raises BadRequest (attached, being worked at, or with snapshots), NotFound, Busy."""
    volumes.get(tx, caller, volume_id)
    marks.clear(tx, "volume", volume_id)
    tx.execute(delete_from(volume_holds).where(volume_holds.c.volume_id == volume_id))
    refresh_volume(tx, volume_id)
    volumes.delete(tx, caller, volume_id, cascade=cascade)


def force_delete_snapshot(tx: Transaction, caller: Caller, snapshot_id: str) -> None:
    """Raises BadRequest (being worked at), NotFound, Busy."""
    snapshots.get(tx, caller, snapshot_id)
    marks.clear(tx, "snapshot", snapshot_id)
    refresh_snapshot(tx, snapshot_id)
    snapshots.delete(tx, caller, snapshot_id)
