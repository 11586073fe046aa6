"""Key pairs of users: import, make, show, list, delete. A server keeps its own copy of the public key.

Each user has their own; an administrator may act for another user (2.10). The private half of a made one is in the
answer of the request that made it, and nowhere else.
"""

import msgspec
from sqlalchemy import delete as delete_rows
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from pumice.caller import Caller
from pumice.compute import public_keys, quotas
from pumice.compute.model import KeyPair
from pumice.db.engine import Transaction
from pumice.db.paging import Listing, Page, PageRequest
from pumice.db.rows import columns
from pumice.db.schema import keypairs
from pumice.errors import Conflict, Forbidden, NotFound

KEYPAIR = columns(keypairs, KeyPair)
TYPES = ("ssh", "x509")

LISTING = Listing(
    keypairs,
    filters={},
    sorts={"name": keypairs.c.name},
    default_sort=(("name", "asc"),),
    noun="Keypair",
    key=keypairs.c.name,
)


class Made(msgspec.Struct, frozen=True):
    """A new key pair; `private_key` None: its public key was given."""

    keypair: KeyPair
    private_key: str | None


def owner(caller: Caller, user_id: str | None) -> str:
    """Whose key pairs are meant: the caller's, or for an administrator those of `user_id`. Raises Forbidden."""
    if user_id and user_id != caller.user_id and not caller.is_admin:
        raise Forbidden("Key pairs of another user are for administrators only.")
    return user_id or caller.user_id


def create(
    tx: Transaction, caller: Caller, name: str, *, kind: str, public_key: str | None, user_id: str | None = None
) -> Made:
    """Import a public key, or make a pair where none is given.

    Raises Conflict (the name is taken), InvalidField (no such key), Forbidden (another's, or quota)."""
    user_id = owner(caller, user_id)
    if _find(tx, user_id, name) is not None:
        raise Conflict(f"Key pair '{name}' already exists.")
    quotas.check_keypairs(tx, caller, user_id)
    private_key = None
    if public_key is None:
        key, private_key = public_keys.generate(kind, name)
    else:
        key = public_keys.check(kind, public_key)
    row = {
        "user_id": user_id,
        "name": name,
        "type": kind,
        "fingerprint": key.fingerprint,
        "public_key": key.text,
        "created_at": tx.now,
    }
    try:
        tx.execute(keypairs.insert(), row)
    except IntegrityError as error:
        raise Conflict(f"Key pair '{name}' is being created by another request.") from error
    return Made(get(tx, caller, name, user_id=user_id), private_key)


def get(tx: Transaction, caller: Caller, name: str, *, user_id: str | None = None) -> KeyPair:
    """One by its name. Raises NotFound, Forbidden."""
    found = _find(tx, owner(caller, user_id), name)
    if found is None:
        raise NotFound(f"Keypair {name[:64]} not found for user {owner(caller, user_id)}.")
    return found


def page(tx: Transaction, caller: Caller, request: PageRequest, *, user_id: str | None = None) -> Page[KeyPair]:
    """A user's key pairs by name; the marker is a name. Raises BadRequest (marker), Forbidden."""
    statement = select(*KEYPAIR).where(keypairs.c.user_id == owner(caller, user_id))
    return LISTING.page(tx, statement, request, lambda row: KeyPair(*row))


def delete(tx: Transaction, caller: Caller, name: str, *, user_id: str | None = None) -> None:
    """Forget one; servers keep their copies. Raises NotFound, Forbidden."""
    found = get(tx, caller, name, user_id=user_id)
    tx.execute(delete_rows(keypairs).where(keypairs.c.id == found.id))


def _find(tx: Transaction, user_id: str, name: str) -> KeyPair | None:
    row = tx.execute(select(*KEYPAIR).where(keypairs.c.user_id == user_id, keypairs.c.name == name)).one_or_none()
    return None if row is None else KeyPair(*row)
