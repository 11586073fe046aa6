"""os-initialize_connection and os-terminate_connection: the older way for an outside caller to have a volume exported.

    os-reserve --> initialize_connection(connector) --> os-attach --> ... --> os-begin_detaching
        --> terminate_connection(connector) --> os-detach

Beneath it is an attachment of the connector's host, as the attachments API makes it: there is one way to export.
"""

from typing import Any

from sqlalchemy import update

from pumice.block import attachments, holds, queries
from pumice.block.attachment_facts import record_attached
from pumice.block.model import Attachment
from pumice.block.volumes import get as get_volume
from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.db.schema import attachments as rows
from pumice.errors import BadRequest, InvalidField, WrongState
from pumice.operations.model import OperationRow


def initialize(
    tx: Transaction, caller: Caller, volume_id: str, connector: dict[str, Any]
) -> tuple[Attachment, OperationRow | None]:
    """Export the volume to the connector's host: the attachment, and the operation to wait for (None: it is exported).

    Raises InvalidField (no host), BadRequest (the volume is not free), NotFound, Busy."""
    host = _host(connector)
    get_volume(tx, caller, volume_id)
    found = _of_host(tx, volume_id, host)
    made = found is None
    if found is None:
        holds.use(tx, caller, volume_id)
        try:
            found = attachments.reserve(tx, caller, volume_id, server_id=None, origin="external")
        except WrongState as error:
            raise error.as_bad_request() from error
    return attachments.connect(tx, caller, found.id, connector, released_by_failure=made)


def terminate(tx: Transaction, caller: Caller, volume_id: str, connector: dict[str, Any]) -> OperationRow | None:
    """Take the host's export away: the operation to wait for; None when there is none.

    Raises InvalidField, Conflict (compute holds it, and the caller is not a service), NotFound, Busy."""
    get_volume(tx, caller, volume_id)
    found = [
        one for one in queries.attachments_of(tx, [volume_id]) if one.host == connector.get("host") or not connector
    ]
    for attachment in found:
        attachments.refuse_held(tx, caller, attachment)
    host = _host(connector)
    if len(found) > 1:
        raise BadRequest(f"Volume {volume_id} has {len(found)} attachments on {host}; delete one by its id.")
    return attachments.disconnect(tx, caller, found[0].id) if found else None


def complete(
    tx: Transaction, caller: Caller, volume_id: str, *, server_id: str | None, host: str | None, device: str | None
) -> bool:
    """os-attach behind initialize_connection: the export to the host is an attachment; another compute service may say
    to which of its servers. False: nothing is exported so, and os-attach must mean something else.

    Raises NotFound, BadRequest (a host that nothing is exported to)."""
    get_volume(tx, caller, volume_id)
    if server_id is not None and not caller.has_service_token:
        return False
    exported = [
        one
        for one in queries.attachments_of(tx, [volume_id])
        if one.origin == "external" and one.server_id is None and one.stage == "connected" and host in (None, one.host)
    ]
    if len(exported) == 1:
        if server_id is not None:
            tx.execute(update(rows).where(rows.c.id == exported[0].id).values(server_id=server_id))
        record_attached(tx, exported[0].id, caller, device=device)
        return True
    if host is not None and server_id is None and not caller.has_service_token:
        raise BadRequest(
            f"Volume {volume_id} is not exported to host {host}: ask for that with os-initialize_connection first."
        )
    return False


def _of_host(tx: Transaction, volume_id: str, host: str) -> Attachment | None:
    """What an earlier call for the same host made."""
    for attachment in queries.attachments_of(tx, [volume_id]):
        if attachment.origin == "external" and attachment.server_id is None and attachment.host in (host, None):
            return attachment
    return None


def _host(connector: dict[str, Any]) -> str:
    host = connector.get("host")
    if not isinstance(host, str) or not host:
        raise InvalidField("connector.host", host, "the name of the host that connects is needed")
    return host
