"""Take an outside caller's export away (attachment delete). Goes forward only.

unexport    the target forgets it
finish      the attachment is released
"""

import msgspec

from pumice.block.attachment_facts import record_released
from pumice.block.operations.connect_attachment import unexport_volume
from pumice.block.operations.settling import at_backend, settle_volume, tell_user, told_late
from pumice.db.engine import Transaction
from pumice.operations.model import Operation, Run, Step, caller_of


class DisconnectAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """Which attachment, of which volume, where."""

    attachment_id: str
    volume_id: str
    backend: str


def unexport(run: Run[DisconnectAttachment]) -> None:
    unexport_volume(run.world, run.arguments.backend, run.arguments.volume_id, run.arguments.attachment_id)


def release(tx: Transaction, run: Run[DisconnectAttachment]) -> None:
    record_released(tx, run.arguments.attachment_id, caller_of(run.row))


def tell(tx: Transaction, run: Run[DisconnectAttachment], reason: str) -> None:
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "detach volume", reason)


DISCONNECT_ATTACHMENT = Operation(
    "attachment.disconnect",
    DisconnectAttachment,
    "attachment",
    steps=(Step("unexport", do=unexport, at=at_backend), Step("finish", record=release)),
    failed=tell,
    settle=settle_volume,
    cancellable=False,
    forward_only=True,
    delayed=told_late(tell),
)
