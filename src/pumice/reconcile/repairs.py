"""How each finding is mended: in one transaction that first looks whether it is still so.

    outcome = repair(database, finding, options)

Facts are changed through the domains' own functions; what must happen outside the database is enqueued as an operation.
Every repair writes an event `<resource>.reconcile`, and a message where the owner of a volume must know.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import select, update

from pumice.block import holds, messages, queries, snapshots, volumes
from pumice.block.attachment_facts import record_released
from pumice.block.facts import refresh_snapshot, refresh_volume
from pumice.block.operations.disconnect_attachment import DISCONNECT_ATTACHMENT, DisconnectAttachment
from pumice.block.operations.settling import break_volume
from pumice.caller import Caller, new_id, system_caller
from pumice.compute import devices, servers
from pumice.compute import queries as compute_queries
from pumice.compute.facts import refresh_server
from pumice.compute.operations.settling import forget_mapping
from pumice.db.engine import Database, Transaction
from pumice.db.schema import attachments, block_device_mappings
from pumice.db.schema import servers as server_rows
from pumice.db.schema import snapshots as snapshot_rows
from pumice.db.schema import volumes as volume_rows
from pumice.errors import PumiceError
from pumice.metering.events import emit
from pumice.operations.model import Claim, exclusive, shared
from pumice.operations.store import enqueue, live_for
from pumice.reconcile import rows
from pumice.reconcile.host import MISSING_DATA
from pumice.reconcile.model import CHECKS, Finding, Options, Outcome, State
from pumice.reconcile.operations.mend_host import MEND_HOST, MendHost

Repair = Callable[[Transaction, Caller, Finding], str | None]
"""Answers the id of the operation that does the rest; None: it is done."""


def repair(database: Database, finding: Finding, options: Options) -> Outcome:
    """Mend it, if it is still so and these options allow it."""
    if not options.mends(finding.name):
        return Outcome(finding=finding, note="" if options.dry_run else CHECKS[finding.name].repair)
    try:
        return database.run_write(_mend, finding, options)
    except PumiceError as error:
        return Outcome(finding=finding, state="failed", note=error.message)


def _mend(tx: Transaction, finding: Finding, options: Options) -> Outcome:
    if finding.name in _OF_ROWS and next(rows.look(tx, options, finding), None) is None:
        return Outcome(finding=finding, state="left", note="it has been mended meanwhile")
    caller = system_caller()
    operation_id = REPAIRS[finding.name](tx, caller, finding)
    _announce(tx, caller, finding)
    note = CHECKS[finding.name].repair
    if finding.name == "attachment-server-unknown":
        note = "the attachment is released"
    state: State = "repaired" if operation_id is None else "queued"
    return Outcome(finding=finding, state=state, note=note, operation_id=operation_id)


def _announce(tx: Transaction, caller: Caller, finding: Finding) -> None:
    payload = {"finding": finding.name, "sentence": finding.sentence, **_owner(tx, finding)}
    emit(tx, f"{finding.resource_type}.reconcile", payload, caller=caller, resource_id=finding.resource_id)


def _owner(tx: Transaction, finding: Finding) -> dict[str, str]:
    volume_id = finding.resource_id if finding.resource_type == "volume" else finding.evidence.get("volume_id")
    volume = queries.volume_even_deleted(tx, volume_id) if isinstance(volume_id, str) else None
    return {} if volume is None else {"tenant_id": volume.project_id, "volume_id": volume.id}


def _tell(tx: Transaction, volume_id: str, action: str, sentence: str) -> None:
    volume = queries.volume_even_deleted(tx, volume_id)
    if volume is not None:
        messages.record(
            tx,
            project_id=volume.project_id,
            request_id=None,
            resource_type="volume",
            resource_id=volume_id,
            action=action,
            sentence=sentence,
        )


# ---- attachments and mappings


def release(tx: Transaction, caller: Caller, finding: Finding) -> str | None:
    """Through the disconnect path where something may be exported, at once where nothing was."""
    attachment = queries.attachment(tx, finding.resource_id)
    if attachment is None:
        return None
    _tell(tx, attachment.volume_id, "detach volume", f"released, because {finding.sentence}")
    forget_mapping(tx, attachment.id)
    volume = queries.volume(tx, attachment.volume_id)
    if attachment.host is None or volume is None or volume.backend is None:
        record_released(tx, attachment.id, caller)
        refresh_volume(tx, attachment.volume_id)
        return None
    arguments = DisconnectAttachment(attachment_id=attachment.id, volume_id=volume.id, backend=volume.backend)
    claims = (exclusive("attachment", attachment.id),)
    caller = msgspec.structs.replace(caller, project_id=volume.project_id)
    return enqueue(tx, DISCONNECT_ATTACHMENT, arguments, subject_id=attachment.id, claims=claims, caller=caller).id


def release_without_disk(tx: Transaction, caller: Caller, finding: Finding) -> str | None:
    """As `release`, unless an operation has taken the attachment since the look."""
    if live_for(tx, "attachment", finding.resource_id):
        return None
    return release(tx, caller, finding)


def unlist(tx: Transaction, _caller: Caller, finding: Finding) -> None:
    table = block_device_mappings
    statement = update(table).where(table.c.id == finding.resource_id, table.c.deleted_at.is_(None))
    tx.execute(statement.values(deleted_at=tx.now, updated_at=tx.now))


def enlist(tx: Transaction, _caller: Caller, finding: Finding) -> None:
    attachment = queries.attachment(tx, finding.resource_id)
    if attachment is None or attachment.server_id is None:
        return
    others = compute_queries.mappings_of(tx, [attachment.server_id])
    taken = [one.device_name for one in others]
    asked = None if attachment.device in taken else attachment.device
    values = {
        "id": new_id(),
        "server_id": attachment.server_id,
        "source_type": "volume",
        "destination_type": "volume",
        "volume_id": attachment.volume_id,
        "attachment_id": attachment.id,
        "device_name": devices.choose(asked, taken, "scsi"),
        "disk_bus": "scsi",
        "delete_on_termination": False,
        "created_at": tx.now,
    }
    tx.execute(block_device_mappings.insert(), values)


# ---- lives


def finish_volume(tx: Transaction, caller: Caller, finding: Finding) -> None:
    break_volume(tx, finding.resource_id, finding.sentence)
    refresh_volume(tx, finding.resource_id)
    if finding.evidence["life"] == "going":
        volumes.delete(tx, _of_project(tx, caller, finding), finding.resource_id)
    else:
        _tell(tx, finding.resource_id, "create volume from backend storage", finding.sentence)


def finish_snapshot(tx: Transaction, caller: Caller, finding: Finding) -> None:
    statement = update(snapshot_rows).where(snapshot_rows.c.id == finding.resource_id)
    tx.execute(statement.values(life="broken", broken_reason=finding.sentence, updated_at=tx.now))
    refresh_snapshot(tx, finding.resource_id)
    if finding.evidence["life"] == "going":
        snapshots.delete(tx, caller, finding.resource_id)


def finish_server(tx: Transaction, caller: Caller, finding: Finding) -> None:
    fault = {"code": 500, "message": finding.sentence, "created": tx.now}
    statement = update(server_rows).where(server_rows.c.id == finding.resource_id)
    tx.execute(statement.values(life="broken", fault=fault, updated_at=tx.now))
    refresh_server(tx, finding.resource_id)
    if finding.evidence["life"] == "going":
        servers.delete(tx, caller, finding.resource_id)


def _of_project(tx: Transaction, caller: Caller, finding: Finding) -> Caller:
    return msgspec.structs.replace(caller, project_id=_owner(tx, finding).get("tenant_id"))


def end_hold(tx: Transaction, _caller: Caller, finding: Finding) -> None:
    holds.release(tx, finding.resource_id, finding.evidence["kind"])


def derive(tx: Transaction, _caller: Caller, finding: Finding) -> None:
    match finding.resource_type:
        case "volume":
            refresh_volume(tx, finding.resource_id)
        case "attachment":
            volume_id = select(attachments.c.volume_id).where(attachments.c.id == finding.resource_id)
            refresh_volume(tx, tx.execute(volume_id).scalar_one())
        case "snapshot":
            refresh_snapshot(tx, finding.resource_id)
        case "server":
            refresh_server(tx, finding.resource_id)


# ---- outside


def mend_outside(tx: Transaction, caller: Caller, finding: Finding) -> str:
    """The rest is an operation at the place that has it. Raises Busy."""
    volume_id = finding.evidence.get("volume_id")
    claims = [Claim(finding.resource_type, finding.resource_id, "exclusive")]
    if finding.name == "disk-left-over":
        claims.append(exclusive("volume", str(volume_id)))
    if finding.name == "disk-half-there":  # nobody starts, stops or deletes the guest meanwhile
        claims.append(shared("server", finding.evidence["server_id"]))
    arguments = MendHost(
        finding=finding.name,
        resource_id=finding.resource_id,
        volume_id=volume_id,
        host=finding.evidence.get("host"),
        backend=finding.evidence.get("backend"),
    )
    return enqueue(tx, MEND_HOST, arguments, subject_id=finding.resource_id, claims=claims, caller=caller).id


def miss_data(tx: Transaction, _caller: Caller, finding: Finding) -> None:
    reason = f"{MISSING_DATA}: {finding.sentence}"
    table = volume_rows if finding.resource_type == "volume" else snapshot_rows
    statement = update(table).where(table.c.id == finding.resource_id, table.c.life == "there")
    if not tx.execute(statement.values(life="broken", broken_reason=reason, updated_at=tx.now)).rowcount:
        return
    if finding.resource_type == "snapshot":
        refresh_snapshot(tx, finding.resource_id)
        return
    refresh_volume(tx, finding.resource_id)
    _tell(tx, finding.resource_id, "create volume from backend storage", reason)


def find_data(tx: Transaction, _caller: Caller, finding: Finding) -> None:
    statement = update(volume_rows).where(
        volume_rows.c.id == finding.resource_id,
        volume_rows.c.life == "broken",
        volume_rows.c.broken_reason.startswith(MISSING_DATA),
    )
    tx.execute(statement.values(life="there", broken_reason=None, updated_at=tx.now))
    refresh_volume(tx, finding.resource_id)


_OF_ROWS = {
    "attachment-server-gone",
    "attachment-server-unknown",
    "attachment-unfinished",
    "attachment-without-mapping",
    "mapping-without-attachment",
    "volume-unfinished",
    "snapshot-unfinished",
    "server-unfinished",
    "hold-expired",
}
"""Findings that `rows.look` can ask again inside the repair's own transaction."""

REPAIRS: dict[str, Callable[[Transaction, Caller, Finding], Any]] = {
    "attachment-server-gone": release,
    "attachment-server-unknown": release,
    "attachment-unfinished": release,
    "attachment-without-mapping": enlist,
    "mapping-without-attachment": unlist,
    "volume-unfinished": finish_volume,
    "snapshot-unfinished": finish_snapshot,
    "server-unfinished": finish_server,
    "hold-expired": end_hold,
    "status-stale": derive,
    "guest-left-over": mend_outside,
    "disk-missing": release_without_disk,
    "disk-half-there": mend_outside,
    "disk-left-over": mend_outside,
    "guest-paused": mend_outside,
    "export-left-over": mend_outside,
    "export-missing": mend_outside,
    "volume-data-missing": miss_data,
    "volume-data-back": find_data,
    "volume-data-left-over": mend_outside,
    "snapshot-data-missing": miss_data,
    "snapshot-data-left-over": mend_outside,
}
