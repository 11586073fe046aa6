"""Tokens: 256 random bits, stored as their SHA-256; issued, evaluated against the assignments of now, revoked.

A token of an application credential grants that credential's roles, and only while its user has all of them.

`TokenCache` keeps grants by digest together with the generation they were evaluated at. Called by the edge in the
hop of every request, and by the identity face.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable

from sqlalchemy import ColumnElement, bindparam, delete, insert, or_, select, update

from pumice.clock import SECOND
from pumice.db.engine import Transaction
from pumice.db.schema import (
    application_credential_roles,
    application_credentials,
    domains,
    projects,
    role_assignments,
    roles,
    tokens,
    users,
)
from pumice.errors import NotFound, Unauthorized
from pumice.identity import access_rules, generation
from pumice.identity.model import IMPLIED, SYSTEM_TARGET, Grant, Named, Scope, ScopeType, UsedCredential

_CACHED_TOKENS = 10_000

_TOKEN = (
    select(
        tokens.c.user_id,
        tokens.c.scope_type,
        tokens.c.scope_id,
        tokens.c.methods,
        tokens.c.audit_id,
        tokens.c.parent_audit_id,
        tokens.c.issued_at,
        tokens.c.expires_at,
        tokens.c.revoked_at,
        tokens.c.application_credential_id,
        users.c.name,
        users.c.enabled,
        domains.c.id,
        domains.c.name,
        domains.c.enabled,
    )
    .join(users, users.c.id == tokens.c.user_id)
    .join(domains, domains.c.id == users.c.domain_id)
    .where(tokens.c.digest == bindparam("digest"))
)
_PROJECT = (
    select(projects.c.name, projects.c.enabled, domains.c.id, domains.c.name, domains.c.enabled)
    .join(domains, domains.c.id == projects.c.domain_id)
    .where(projects.c.id == bindparam("project_id"))
)
_DOMAIN = select(domains.c.name, domains.c.enabled).where(domains.c.id == bindparam("domain_id"))
_ROLES = (
    select(roles.c.id, roles.c.name)
    .join(role_assignments, role_assignments.c.role_id == roles.c.id)
    .where(
        role_assignments.c.user_id == bindparam("user_id"),
        role_assignments.c.target_type == bindparam("target_type"),
        role_assignments.c.target_id == bindparam("target_id"),
    )
)
_CREDENTIAL = select(
    application_credentials.c.name, application_credentials.c.unrestricted, application_credentials.c.expires_at
).where(
    application_credentials.c.id == bindparam("credential_id"),
    application_credentials.c.user_id == bindparam("user_id"),
    application_credentials.c.project_id == bindparam("project_id"),
)
_CREDENTIAL_ROLES = select(application_credential_roles.c.role_id).where(
    application_credential_roles.c.application_credential_id == bindparam("credential_id")
)
_IMPLIED_ROLES = select(roles.c.id, roles.c.name).where(roles.c.name.in_(bindparam("names", expanding=True)))
_REFUSED = "The request you have made requires authentication."


def digest(token: str) -> str:
    """What is stored of a token: SHA-256, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def issue(
    tx: Transaction,
    user_id: str,
    scope: Scope,
    methods: Iterable[str],
    lifetime: int,
    parent: Grant | None = None,
    application_credential_id: str | None = None,
    until: int | None = None,
) -> tuple[str, Grant]:
    """A new token (the only time that its text is seen) and what it grants. lifetime: seconds.

    parent: the grant of the token that this one was made with; it never outlives that. until: the end of the
    application credential. Raises Unauthorized where the user has no role on the scope, or something is disabled."""
    text = secrets.token_hex(32)
    ends = [tx.now + lifetime * SECOND, *((parent.expires_at,) if parent else ()), *((until,) if until else ())]
    if parent is not None and parent.application_credential is not None:
        application_credential_id = parent.application_credential.id
    all_methods = list(dict.fromkeys([*methods, *(parent.methods if parent else ())]))
    tx.execute(
        insert(tokens).values(
            digest=digest(text),
            audit_id=_audit_id(),
            parent_audit_id=parent.audit_ids[-1] if parent else None,
            user_id=user_id,
            scope_type=scope.type,
            scope_id=scope.id,
            methods=all_methods,
            issued_at=tx.now,
            expires_at=min(ends),
            application_credential_id=application_credential_id,
        )
    )
    return text, evaluate(tx, digest(text))


def hold_user(tx: Transaction, user_id: str) -> str | None:
    """Nobody changes the user before this transaction ends, so that what ends all of the user's tokens also ends one
    that is issued now. The hash of the password; None: no password, or no such user."""
    statement = select(users.c.password_hash).where(users.c.id == user_id).with_for_update(read=True)
    return tx.execute(statement).scalar()


def evaluate(tx: Transaction, token_digest: str) -> Grant:
    """What the token grants now. Raises Unauthorized when it is unknown, expired, revoked, or grants nothing."""
    row = tx.execute(_TOKEN, {"digest": token_digest}).first()
    if row is None:
        raise Unauthorized(_REFUSED)
    user_id, scope_type, scope_id, methods, audit_id, parent_audit_id, issued_at, expires_at, revoked_at = row[:9]
    credential_id, user_name, user_enabled, domain_id, domain_name, domain_enabled = row[9:]
    if revoked_at is not None or expires_at <= tx.now or not (user_enabled and domain_enabled):
        raise Unauthorized(_REFUSED)
    project = project_domain = domain = None
    if scope_type == "project":
        project, project_domain = _project(tx, scope_id)
    elif scope_type == "domain":
        domain = _domain(tx, scope_id)
    names = () if scope_type == "none" else effective_roles(tx, user_id, scope_type, scope_id or SYSTEM_TARGET)
    credential = None
    if credential_id is not None:
        credential, names = _used_credential(tx, credential_id, user_id, scope_id, names)
    if scope_type != "none" and not names:
        raise Unauthorized(_REFUSED)
    return Grant(
        user=Named(user_id, user_name),
        user_domain=Named(domain_id, domain_name),
        scope=scope_type,
        project=project,
        project_domain=project_domain,
        domain=domain,
        roles=tuple(names),
        methods=tuple(methods),
        audit_ids=(audit_id,) if parent_audit_id is None else (audit_id, parent_audit_id),
        issued_at=issued_at,
        expires_at=expires_at,
        role_names=frozenset(role.name.lower() for role in names),
        application_credential=credential,
    )


def effective_roles(tx: Transaction, user_id: str, target_type: str, target_id: str) -> tuple[Named, ...]:
    """The user's roles there, with those they imply, by name."""
    found = tx.execute(_ROLES, {"user_id": user_id, "target_type": target_type, "target_id": target_id}).all()
    held = {name: Named(role_id, name) for role_id, name in found}
    implied = {name for role in held for name in IMPLIED.get(role.lower(), ())} - set(held)
    if implied:
        for role_id, name in tx.execute(_IMPLIED_ROLES, {"names": sorted(implied)}):
            held[name] = Named(role_id, name)
    return tuple(held[name] for name in sorted(held))


def revoke(tx: Transaction, token_digest: str) -> None:
    """The token is worth nothing from the commit on, in every process. Raises NotFound."""
    found = tx.execute(
        update(tokens).where(tokens.c.digest == token_digest, tokens.c.revoked_at.is_(None)).values(revoked_at=tx.now)
    )
    if not found.rowcount:
        raise NotFound("The token could not be found.")
    generation.advance(tx)


def revoke_of_user(tx: Transaction, user_id: str) -> None:
    """All tokens of the user, e.g. when the password changes."""
    tx.execute(
        update(tokens).where(tokens.c.user_id == user_id, tokens.c.revoked_at.is_(None)).values(revoked_at=tx.now)
    )
    generation.advance(tx)


def revoke_of_scope(tx: Transaction, scope_type: ScopeType, scope_id: str, user_id: str | None = None) -> None:
    """All tokens for a project, a domain or the system, or one user's for it."""
    mine: list[ColumnElement[bool]] = [tokens.c.scope_type == scope_type, tokens.c.revoked_at.is_(None)]
    if scope_type != "system":
        mine.append(tokens.c.scope_id == scope_id)
    if user_id is not None:
        mine.append(tokens.c.user_id == user_id)
    tx.execute(update(tokens).where(*mine).values(revoked_at=tx.now))
    generation.advance(tx)


def revoke_of_domain(tx: Transaction, domain_id: str) -> None:
    """All tokens of the domain's users, for its projects, and for itself."""
    of_it = [
        tokens.c.user_id.in_(select(users.c.id).where(users.c.domain_id == domain_id)),
        (tokens.c.scope_type == "domain") & (tokens.c.scope_id == domain_id),
        (tokens.c.scope_type == "project")
        & tokens.c.scope_id.in_(select(projects.c.id).where(projects.c.domain_id == domain_id)),
    ]
    tx.execute(update(tokens).where(or_(*of_it), tokens.c.revoked_at.is_(None)).values(revoked_at=tx.now))
    generation.advance(tx)


def purge(tx: Transaction) -> int:
    """Forget tokens that have expired; how many."""
    return tx.execute(delete(tokens).where(tokens.c.expires_at < tx.now)).rowcount


class TokenCache:
    """Grants by token digest, true for one generation. Used from the database's threads; each step is atomic."""

    def __init__(self) -> None:
        self._grants: dict[str, tuple[int, Grant]] = {}

    def warm(self, token_digest: str) -> bool:
        """A grant is there, though perhaps of an older generation: a write transaction may be begun for it."""
        return token_digest in self._grants

    def grant(self, tx: Transaction, token_digest: str, current: int) -> Grant:
        """What the token grants at the current generation (`generation.current(tx)`). Raises Unauthorized."""
        found = self._grants.get(token_digest)
        if found is not None and found[0] == current and found[1].expires_at > tx.now:
            return found[1]
        try:
            grant = evaluate(tx, token_digest)
        except Unauthorized:
            self._grants.pop(token_digest, None)
            raise
        if len(self._grants) >= _CACHED_TOKENS:
            self._grants.clear()
        self._grants[token_digest] = (current, grant)
        return grant


def _used_credential(
    tx: Transaction, credential_id: str, user_id: str, project_id: str | None, held: tuple[Named, ...]
) -> tuple[UsedCredential, tuple[Named, ...]]:
    """The token's credential and the roles it grants, those they imply included.

    Raises Unauthorized when it is gone or at its end, or when the user does not hold one of its roles any more."""
    found = {"credential_id": credential_id, "user_id": user_id, "project_id": project_id}
    row = tx.execute(_CREDENTIAL, found).first()
    if row is None or (row[2] is not None and row[2] <= tx.now):
        raise Unauthorized(_REFUSED)
    granted = set(tx.execute(_CREDENTIAL_ROLES, {"credential_id": credential_id}).scalars())
    names = {role.id: role.name.lower() for role in held}
    if not granted or not granted <= names.keys():
        raise Unauthorized(_REFUSED)
    implied = {name for role_id in granted for name in IMPLIED.get(names[role_id], ())}
    rules = access_rules.of_credentials(tx, [credential_id]).get(credential_id, ())
    credential = UsedCredential(id=credential_id, name=row[0], restricted=not row[1], rules=tuple(rules))
    return credential, tuple(role for role in held if role.id in granted or role.name.lower() in implied)


def _project(tx: Transaction, project_id: str) -> tuple[Named, Named]:
    row = tx.execute(_PROJECT, {"project_id": project_id}).first()
    if row is None or not (row[1] and row[4]):
        raise Unauthorized(_REFUSED)
    return Named(project_id, row[0]), Named(row[2], row[3])


def _domain(tx: Transaction, domain_id: str) -> Named:
    row = tx.execute(_DOMAIN, {"domain_id": domain_id}).first()
    if row is None or not row[1]:
        raise Unauthorized(_REFUSED)
    return Named(domain_id, row[0])


def _audit_id() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
