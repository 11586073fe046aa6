"""Application credentials: a user's right in one project, in the hands of a program.

A credential grants its roles, and only while the user has all of them there: what is taken from the user is taken from
it. Its secret is shown once. A secret that Pumice makes has 384 random bits, so that guessing it is hopeless however
fast a guess can be tested: its SHA-256 is kept, and a program's login costs microseconds. A secret that a user chose is
hashed like a password. Either way a wrong secret costs the time of a password (`passwords.py`).
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, select

from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import (
    application_credential_roles,
    application_credential_rules,
    application_credentials,
    login_attempts,
    roles,
    tokens,
)
from pumice.errors import BadRequest, Forbidden, InvalidField, NotFound
from pumice.identity import access_rules, generation
from pumice.identity.access_rules import RuleWish
from pumice.identity.changes import exact_filters, insert_new, refuse_duplicate, row_values
from pumice.identity.model import AccessRule, ApplicationCredential, Named

MOST = 1_000
"""Application credentials of one user."""

MADE_BY_US = "sha256:"
"""How the hash of a secret begins that Pumice made."""

_CREDENTIAL = columns(application_credentials, ApplicationCredential)


class Described(msgspec.Struct, frozen=True):
    """A credential with what it grants."""

    credential: ApplicationCredential
    roles: tuple[Named, ...]
    rules: tuple[AccessRule, ...]


class RoleWish(msgspec.Struct, frozen=True, kw_only=True):
    """A role as a request names it: by id or by name."""

    id: str | None = None
    name: str | None = None


def new_secret() -> tuple[str, str]:
    """A secret of 384 random bits, and its hash."""
    secret = secrets.token_urlsafe(48)
    return secret, fast_hash(secret)


def fast_hash(secret: str) -> str:
    """The hash of a secret that Pumice made."""
    return MADE_BY_US + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def get(tx: Transaction, user_id: str, credential_id: str) -> Described:
    """Raises NotFound, also for another user's."""
    c = application_credentials.c
    found = _described(tx, [c.id == credential_id, c.user_id == user_id])
    if not found:
        raise NotFound.of("Application credential", credential_id)
    return found[0]


def listing(tx: Transaction, user_id: str, filters: Mapping[str, str]) -> list[Described]:
    """The user's credentials by name; filter: name."""
    c = application_credentials.c
    return _described(tx, [c.user_id == user_id, *exact_filters(filters, {"name": c.name})])


def create(
    tx: Transaction,
    new: ApplicationCredential,
    secret_hash: str,
    wanted: Sequence[RoleWish],
    held: Sequence[Named],
    rules: Iterable[RuleWish],
) -> Described:
    """held: the roles of the token that asks; no wish at all: all of them.

    Raises BadRequest for a role that is not held, InvalidField for an end that is past, NotFound for a rule that is
    not there, Conflict when the user has a credential of that name, Forbidden above `MOST`."""
    if new.expires_at is not None and new.expires_at <= tx.now:
        raise InvalidField("application_credential.expires_at", "a time that is past", "give one in the future")
    c = application_credentials.c
    mine = select(c.id).where(c.user_id == new.user_id, c.name == new.name)
    refuse_duplicate(tx, "application credential", new.name, mine)
    if tx.execute(select(func.count()).where(c.user_id == new.user_id)).scalar_one() >= MOST:
        raise Forbidden(f"A user has at most {MOST} application credentials; delete some that are not used.")
    chosen = _chosen(wanted, held)
    found = access_rules.find_or_make(tx, new.user_id, rules)
    insert_new(tx, "application credential", application_credentials, {**row_values(new), "secret_hash": secret_hash})
    of_it = {"application_credential_id": new.id}
    tx.execute(insert(application_credential_roles), [{**of_it, "role_id": role.id} for role in chosen])
    if found:
        tx.execute(insert(application_credential_rules), [{**of_it, "access_rule_id": rule.id} for rule in found])
    return Described(new, tuple(chosen), tuple(found))


def remove(tx: Transaction, user_id: str, credential_id: str) -> None:
    """The credential, and at once every token made with it. Raises NotFound."""
    get(tx, user_id, credential_id)
    _remove(tx, [credential_id])


def remove_of_user(tx: Transaction, user_id: str) -> None:
    """All of a user's, with the rules."""
    _remove(tx, _ids(tx, application_credentials.c.user_id == user_id))
    access_rules.forget_of_user(tx, user_id)


def remove_of_project(tx: Transaction, project_id: str) -> None:
    """All in a project."""
    _remove(tx, _ids(tx, application_credentials.c.project_id == project_id))


def remove_with_role(tx: Transaction, role_id: str) -> None:
    """All that grant a role."""
    granted = application_credential_roles.c
    with_it = select(granted.application_credential_id).where(granted.role_id == role_id)
    _remove(tx, _ids(tx, application_credentials.c.id.in_(with_it)))


def remove_beyond(tx: Transaction, user_id: str, project_id: str, held: Iterable[Named]) -> None:
    """All of the user's in the project that grant a role which the user does not hold there any more."""
    c, granted = application_credentials.c, application_credential_roles.c
    beyond = select(granted.application_credential_id).where(granted.role_id.not_in([role.id for role in held]))
    _remove(tx, _ids(tx, c.user_id == user_id, c.project_id == project_id, c.id.in_(beyond)))


def _chosen(wanted: Sequence[RoleWish], held: Sequence[Named]) -> list[Named]:
    if not wanted:
        return list(held)
    chosen: dict[str, Named] = {}
    for wish in wanted:
        found = [
            role
            for role in held
            if (role.id == wish.id if wish.id is not None else role.name.lower() == (wish.name or "").lower())
        ]
        if not found:
            names = ", ".join(role.name for role in held)
            asked = str(wish.id if wish.id is not None else wish.name)[:64]
            raise BadRequest(f"The role {asked!r} is not one that you have in this project; you have {names}.")
        chosen[found[0].id] = found[0]
    return list(chosen.values())


def _described(tx: Transaction, where: Sequence[ColumnElement[bool]]) -> list[Described]:
    c, granted = application_credentials.c, application_credential_roles
    rows = tx.execute(select(*_CREDENTIAL).where(*where).order_by(c.name, c.id))
    found = [ApplicationCredential(*row) for row in rows]
    ids = [one.id for one in found]
    held: dict[str, list[Named]] = {}
    for credential_id, *role in tx.execute(
        select(granted.c.application_credential_id, roles.c.id, roles.c.name)
        .join(roles, roles.c.id == granted.c.role_id)
        .where(granted.c.application_credential_id.in_(ids))
        .order_by(roles.c.name)
    ):
        held.setdefault(credential_id, []).append(Named(*role))
    rules = access_rules.of_credentials(tx, ids)
    return [Described(one, tuple(held.get(one.id, ())), tuple(rules.get(one.id, ()))) for one in found]


def _ids(tx: Transaction, *where: ColumnElement[bool]) -> list[str]:
    return list(tx.execute(select(application_credentials.c.id).where(*where)).scalars())


def _remove(tx: Transaction, ids: Sequence[str]) -> None:
    if not ids:
        return
    tx.execute(delete(tokens).where(tokens.c.application_credential_id.in_(ids)))
    tx.execute(delete(login_attempts).where(login_attempts.c.user_id.in_(ids)))
    for table in (application_credential_roles, application_credential_rules):
        tx.execute(delete(table).where(table.c.application_credential_id.in_(ids)))
    tx.execute(delete(application_credentials).where(application_credentials.c.id.in_(ids)))
    generation.advance(tx)
