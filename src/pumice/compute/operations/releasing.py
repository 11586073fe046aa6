"""Giving back all volumes of a server that is not (or will not be) there: each by an operation at its backend."""

from pumice.block import queries as block_queries
from pumice.block.facts import refresh_volume
from pumice.block.operations.disconnect_attachment import DISCONNECT_ATTACHMENT, DisconnectAttachment
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.errors import Busy
from pumice.operations.model import StepNotReady, exclusive
from pumice.operations.store import enqueue, live_for


def hand_back(tx: Transaction, server_id: str, caller: Caller) -> None:
    """Enqueue the release of every live attachment of the server, whoever made it. Raises StepNotReady while another
    operation still works on one of them."""
    for attachment in block_queries.attachments_of_server(tx, server_id):
        held = {operation.kind for operation in live_for(tx, "attachment", attachment.id)}
        if DISCONNECT_ATTACHMENT.kind in held:
            continue
        volume = block_queries.volume(tx, attachment.volume_id)
        arguments = DisconnectAttachment(
            attachment_id=attachment.id,
            volume_id=attachment.volume_id,
            backend=str(volume.backend) if volume is not None else "",
        )
        try:
            enqueue(
                tx,
                DISCONNECT_ATTACHMENT,
                arguments,
                subject_id=attachment.id,
                claims=(exclusive("attachment", attachment.id),),
                caller=caller,
            )
        except Busy as busy:
            raise StepNotReady(busy.message, pause=0.1) from busy
        refresh_volume(tx, attachment.volume_id)
