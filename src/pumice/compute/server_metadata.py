"""Metadata and tags of servers: texts that users keep with them. Changing them changes no guest."""

from collections.abc import Sequence

from sqlalchemy import select, update

from pumice.caller import Caller
from pumice.compute import quotas
from pumice.compute.guards import refuse_if_locked
from pumice.compute.servers import get
from pumice.db.engine import Transaction
from pumice.db.schema import servers
from pumice.errors import BadRequest, NotFound

MOST_TAGS = 50


def set_metadata(
    tx: Transaction, caller: Caller, server_id: str, items: dict[str, str], *, replace: bool = False
) -> dict[str, str]:
    """Merge into the metadata, or replace all of it; what it is then. Raises NotFound, Conflict, Forbidden (quota)."""
    metadata, _tags = _locked(tx, caller, server_id)
    merged = dict(items) if replace else {**metadata, **items}
    if len(merged) > len(metadata):
        quotas.check_metadata(tx, get(tx, caller, server_id).project_id, len(merged))
    tx.execute(update(servers).where(servers.c.id == server_id).values(metadata=merged, updated_at=tx.now))
    return merged


def delete_metadata(tx: Transaction, caller: Caller, server_id: str, key: str) -> None:
    """Remove one item. Raises NotFound for the server or the item, Conflict (locked)."""
    metadata, _tags = _locked(tx, caller, server_id)
    if key not in metadata:
        raise NotFound.of("Metadata item", key)
    rest = {name: value for name, value in metadata.items() if name != key}
    tx.execute(update(servers).where(servers.c.id == server_id).values(metadata=rest, updated_at=tx.now))


def set_tags(tx: Transaction, caller: Caller, server_id: str, tags: Sequence[str]) -> list[str]:
    """These and no others, each once. Raises NotFound, Conflict (locked), BadRequest (too many)."""
    _locked(tx, caller, server_id)
    return _store_tags(tx, server_id, tags)


def add_tag(tx: Transaction, caller: Caller, server_id: str, tag: str) -> bool:
    """Add one; False when it was there. Raises NotFound, Conflict (locked), BadRequest (too many)."""
    _metadata, tags = _locked(tx, caller, server_id)
    if tag in tags:
        return False
    _store_tags(tx, server_id, [*tags, tag])
    return True


def delete_tag(tx: Transaction, caller: Caller, server_id: str, tag: str) -> None:
    """Remove one. Raises NotFound for the server or the tag, Conflict (locked)."""
    _metadata, tags = _locked(tx, caller, server_id)
    if tag not in tags:
        raise NotFound(f"Server {server_id} has no tag {tag[:64]}.")
    _store_tags(tx, server_id, [one for one in tags if one != tag])


def _store_tags(tx: Transaction, server_id: str, tags: Sequence[str]) -> list[str]:
    kept = list(dict.fromkeys(tags))
    if len(kept) > MOST_TAGS:
        raise BadRequest(f"A server has at most {MOST_TAGS} tags; these would be {len(kept)}.")
    tx.execute(update(servers).where(servers.c.id == server_id).values(tags=kept, updated_at=tx.now))
    return kept


def _locked(tx: Transaction, caller: Caller, server_id: str) -> tuple[dict[str, str], list[str]]:
    """(metadata, tags) of a row that nobody else changes before the end of the transaction."""
    refuse_if_locked(caller, get(tx, caller, server_id))
    statement = select(servers.c.metadata, servers.c.tags).where(
        servers.c.id == server_id, servers.c.deleted_at.is_(None)
    )
    row = tx.execute(statement.with_for_update()).one_or_none()
    if row is None:
        raise NotFound.of("Server", server_id)
    return row.metadata, row.tags
