"""A volume stays attached to a server that is on no host (shelved and offloaded), without being exported anywhere.

    attachment.park      unexport   the backend takes the export away
                         finish     the attachment is attached, to no host
    attachment.return    export     the backend makes it reachable for the new host; all of it is stored
                                    undo: take it away

Both are enqueued by `server.offload` and `server.unshelve`, which wait for them; each runs at the volume's backend.
"""

from typing import Any, cast

import msgspec
from sqlalchemy import select, update

from pumice.block import queries as block_queries
from pumice.block.operations.connect_attachment import export_volume, unexport_volume
from pumice.block.operations.settling import at_backend, settle_volume, tell_user
from pumice.caller import Caller
from pumice.compute import queries
from pumice.db.engine import Transaction
from pumice.db.schema import attachments
from pumice.errors import Busy
from pumice.operations.model import Operation, Run, Step, StepFailed, StepNotReady, exclusive
from pumice.operations.store import enqueue, live_for


class MoveAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """`host`: where it goes to, None: to none. `device` as the API shows it."""

    attachment_id: str
    volume_id: str
    backend: str
    host: str | None = None
    device: str | None = None
    read_only: bool = False


def unexport(run: Run[MoveAttachment]) -> None:
    unexport_volume(run.world, run.arguments.backend, run.arguments.volume_id, run.arguments.attachment_id)


def export(run: Run[MoveAttachment]) -> dict[str, Any]:
    wanted = run.arguments
    with run.database.read() as tx:
        host = queries.host(tx, str(wanted.host))
    if host is None:
        raise StepFailed(f"compute host {wanted.host} has never reported")
    connector = {**host.connector, "mountpoint": wanted.device}
    info = export_volume(run.world, wanted.backend, wanted.volume_id, wanted.attachment_id, connector, wanted.read_only)
    return {"connector": connector, "connection_info": info}


def record_parked(tx: Transaction, run: Run[MoveAttachment]) -> None:
    values = {"host": None, "connector": None, "connection_info": None, "failure": None, "updated_at": tx.now}
    _write(tx, run, values)


def record_returned(tx: Transaction, run: Run[MoveAttachment]) -> None:
    exported = run.results["export"]
    values = {
        "host": run.arguments.host,
        "connector": exported["connector"],
        "connection_info": exported["connection_info"],
        "failure": None,
        "updated_at": tx.now,
    }
    _write(tx, run, values)
    # What is stored with the operation can be read by administrators: the secret stays in the attachment only.
    cast(dict[str, Any], run.results)["export"] = {"host": run.arguments.host}


def _write(tx: Transaction, run: Run[MoveAttachment], values: dict[str, Any]) -> None:
    statement = update(attachments).where(
        attachments.c.id == run.arguments.attachment_id, attachments.c.deleted_at.is_(None)
    )
    tx.execute(statement.values(**values))


def fail(tx: Transaction, run: Run[MoveAttachment], reason: str) -> None:
    """It stays attached to no host and says why; whoever waits for it turns back."""
    _write(tx, run, {"failure": reason, "updated_at": tx.now})
    tell_user(tx, run.row, "volume", run.arguments.volume_id, "attach volume", reason)


PARK_ATTACHMENT = Operation(
    "attachment.park",
    MoveAttachment,
    "attachment",
    steps=(Step("unexport", do=unexport, at=at_backend), Step("finish", record=record_parked)),
    failed=fail,
    settle=settle_volume,
    cancellable=False,
    forward_only=True,
)
RETURN_ATTACHMENT = Operation(
    "attachment.return",
    MoveAttachment,
    "attachment",
    steps=(Step("export", do=export, record=record_returned, undo=unexport, at=at_backend),),
    failed=fail,
    settle=settle_volume,
)


def park_all(tx: Transaction, server_id: str, caller: Caller) -> None:
    """Enqueue it for every volume of the server that is exported. Raises StepNotReady while another operation works on
    one of them."""
    for attachment in block_queries.attachments_of_server(tx, server_id):
        held = {operation.kind for operation in live_for(tx, "attachment", attachment.id)}
        if attachment.host is not None and PARK_ATTACHMENT.kind not in held:
            _enqueue(tx, PARK_ATTACHMENT, attachment.id, None, caller)


def return_all(tx: Transaction, server_id: str, host: str, caller: Caller) -> None:
    """Enqueue the export of every volume of the server for the host. Raises StepNotReady likewise."""
    statement = (
        update(attachments).where(attachments.c.server_id == server_id, attachments.c.deleted_at.is_(None))
    ).values(failure=None)
    tx.execute(statement)
    for attachment in block_queries.attachments_of_server(tx, server_id):
        if attachment.host is None:
            _enqueue(tx, RETURN_ATTACHMENT, attachment.id, host, caller)


def _enqueue(
    tx: Transaction, operation: Operation[MoveAttachment], attachment_id: str, host: str | None, caller: Caller
) -> None:
    row = tx.execute(select(attachments).where(attachments.c.id == attachment_id)).one()
    volume = block_queries.volume(tx, row.volume_id)
    arguments = MoveAttachment(
        attachment_id=attachment_id,
        volume_id=row.volume_id,
        backend=str(volume.backend) if volume is not None else "",
        host=host,
        device=row.device,
        read_only=row.mode == "ro",
    )
    claims = (exclusive("attachment", attachment_id),)
    try:
        enqueue(tx, operation, arguments, subject_id=attachment_id, claims=claims, caller=caller)
    except Busy as busy:
        raise StepNotReady(busy.message, pause=0.1) from busy


def wait_parked(run: Run[Any]) -> None:
    """Until no volume of the server is exported any more. Raises StepNotReady."""
    with run.database.read() as tx:
        for attachment in block_queries.attachments_of_server(tx, run.arguments.server_id):
            if attachment.host is not None or live_for(tx, "attachment", attachment.id):
                raise StepNotReady(f"volume {attachment.volume_id} is being disconnected", pause=0.05)


def wait_returned(run: Run[Any]) -> None:
    """Until all of them are exported. Raises StepNotReady; StepFailed for one that could not be."""
    with run.database.read() as tx:
        for attachment in block_queries.attachments_of_server(tx, run.arguments.server_id):
            if attachment.host is None and attachment.failure is not None:
                raise StepFailed(f"volume {attachment.volume_id} could not be exported: {attachment.failure}")
            if attachment.host is None:
                raise StepNotReady(f"volume {attachment.volume_id} is being exported", pause=0.05)
