"""Logging in, in three parts around the slow hashing: look up who it is, note a failure, or issue a token.

Failures slow down one pair of (user or application credential, client address): after FREE of them each further try
waits twice as long, up to LONGEST. Another address is never slowed, so nobody can lock the administrator out. The rows
are in the database, so that it holds across API processes; there are at most MOST of them, and each costs a password
hash first, so that to push one's own out takes longer than to wait.
"""

import hashlib
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from pumice.clock import HOUR, SECOND
from pumice.db.engine import Transaction
from pumice.db.schema import application_credentials, domains, login_attempts, projects, role_assignments, users
from pumice.errors import Forbidden, TooManyRequests, Unauthorized
from pumice.identity import tokens
from pumice.identity.model import SYSTEM_TARGET, Grant, Scope

FREE = 5
LONGEST = 60
"""Seconds."""
MOST = 10_000
"""Rows of failures."""

REFUSED = "The request you have made requires authentication."


class UserName(msgspec.Struct, frozen=True, kw_only=True):
    """How a login names its user: by id, or by name and domain (id or name)."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


class ScopeName(msgspec.Struct, frozen=True, kw_only=True):
    """How a login names its scope. Nothing at all: the user's default project, or unscoped."""

    project_id: str | None = None
    project_name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    system: bool = False
    unscoped: bool = False


class CredentialName(msgspec.Struct, frozen=True, kw_only=True):
    """How a login names its application credential: by id, or by name and user."""

    id: str | None = None
    name: str | None = None
    user: UserName = UserName()


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to log in. `user_id` and `secret_hash` are None for one who is unknown or may not."""

    key: str
    """What failures are counted by."""
    user_id: str | None = None
    secret_hash: str | None = None
    failures: int = 0
    default_project_id: str | None = None
    application_credential_id: str | None = None
    project_id: str | None = None
    """Of the application credential."""
    until: int | None = None
    """Its end, in microseconds."""


def look_up(tx: Transaction, name: UserName, client: str) -> Candidate:
    """A user by password. Raises TooManyRequests while this client has to wait with this user."""
    row = tx.execute(
        select(users.c.id, users.c.password_hash, users.c.default_project_id, users.c.enabled, domains.c.enabled)
        .join(domains, domains.c.id == users.c.domain_id)
        .where(*_called(name))
    ).first()
    key = row[0] if row is not None else _unknown("user", name.id, name.name, name.domain_id, name.domain_name)
    failures = _failures(tx, key, client[:64])
    if row is None or not (row[3] and row[4]):
        return Candidate(key=key, failures=failures)
    return Candidate(key=key, user_id=row[0], secret_hash=row[1], default_project_id=row[2], failures=failures)


def look_up_credential(tx: Transaction, name: CredentialName, client: str) -> Candidate:
    """An application credential by secret. Raises TooManyRequests while this client has to wait with it."""
    c, user = application_credentials.c, name.user
    where = [c.id == name.id] if name.id is not None else [c.name == name.name, *_called(user)]
    row = tx.execute(
        select(c.id, c.secret_hash, c.user_id, c.project_id, c.expires_at, users.c.enabled, domains.c.enabled)
        .join(users, users.c.id == c.user_id)
        .join(domains, domains.c.id == users.c.domain_id)
        .where(*where)
    ).first()
    if row is None:
        key = _unknown("credential", name.id, name.name, user.id, user.name, user.domain_id, user.domain_name)
        return Candidate(key=key, failures=_failures(tx, key, client[:64]))
    credential_id, secret_hash, user_id, project_id, until, enabled, domain_enabled = row
    failures = _failures(tx, credential_id, client[:64])
    if not (enabled and domain_enabled) or (until is not None and until <= tx.now):
        return Candidate(key=credential_id, failures=failures)
    return Candidate(
        key=credential_id,
        user_id=user_id,
        secret_hash=secret_hash,
        failures=failures,
        application_credential_id=credential_id,
        project_id=project_id,
        until=until,
    )


def note_failure(tx: Transaction, candidate: Candidate, client: str) -> None:
    """Count one more failure of this pair. Forgets pairs that were quiet for an hour, and the oldest of too many."""
    c = login_attempts.c
    tx.execute(delete(login_attempts).where(c.last_at < tx.now - HOUR))
    make = sqlite.insert(login_attempts) if tx.sqlite else postgresql.insert(login_attempts)
    new = make.values(user_id=candidate.key, client=client[:64], failures=1, last_at=tx.now)
    more: dict[str, Any] = {"failures": c.failures + 1, "last_at": tx.now}
    counted = tx.execute(
        new.on_conflict_do_update(index_elements=[c.user_id, c.client], set_=more).returning(c.failures)
    )
    if counted.scalar_one() == 1:
        _trim(tx)


def succeed(tx: Transaction, candidate: Candidate, client: str, scope: ScopeName, lifetime: int) -> tuple[str, Grant]:
    """The secret was right: forget the failures and issue a token. Raises Unauthorized (no role on the scope; the
    password was changed since it was looked up)."""
    if candidate.user_id is None:
        raise Unauthorized(REFUSED)
    if tokens.hold_user(tx, candidate.user_id) != candidate.secret_hash and not candidate.application_credential_id:
        raise Unauthorized(REFUSED)
    if candidate.failures:
        forgive(tx, candidate, client)
    tokens.purge(tx)
    if candidate.application_credential_id is not None:
        return tokens.issue(
            tx,
            candidate.user_id,
            Scope("project", candidate.project_id),
            ["application_credential"],
            lifetime,
            application_credential_id=candidate.application_credential_id,
            until=candidate.until,
        )
    found = find_scope(tx, scope, candidate.user_id, candidate.default_project_id)
    return tokens.issue(tx, candidate.user_id, found, ["password"], lifetime)


def forgive(tx: Transaction, candidate: Candidate, client: str) -> None:
    """Forget the failures of this pair."""
    c = login_attempts.c
    tx.execute(delete(login_attempts).where(c.user_id == candidate.key, c.client == client[:64]))


def rescope(tx: Transaction, token_digest: str, scope: ScopeName, lifetime: int) -> tuple[str, Grant]:
    """A token made with another one: same user, same end. One of an application credential stays in its project.

    Raises Unauthorized, Forbidden."""
    tokens.hold_user(tx, tokens.evaluate(tx, token_digest).user.id)
    grant = tokens.evaluate(tx, token_digest)
    if grant.application_credential is not None and grant.project is not None:
        found = Scope("project", grant.project.id)
        if scope != ScopeName() and find_scope(tx, scope, grant.user.id, None) != found:
            raise Forbidden("A token of an application credential stays in the credential's project.")
    else:
        found = find_scope(tx, scope, grant.user.id, None)
    return tokens.issue(tx, grant.user.id, found, ["token"], lifetime, grant)


def find_scope(tx: Transaction, name: ScopeName, user_id: str, default_project_id: str | None) -> Scope:
    """The scope by its ids. Raises Unauthorized for one that is not there (as for one without a role)."""
    if name.system:
        return Scope("system")
    if name.project_id or name.project_name:
        return Scope("project", _project(tx, name))
    if name.domain_id or name.domain_name:
        where = domains.c.id == name.domain_id if name.domain_id else domains.c.name == name.domain_name
        return Scope("domain", _only(tx.execute(select(domains.c.id).where(where)).scalars().first()))
    if not name.unscoped and default_project_id and _has_role(tx, user_id, default_project_id):
        return Scope("project", default_project_id)
    return Scope("none")


def _project(tx: Transaction, name: ScopeName) -> str:
    if name.project_id:
        where = [projects.c.id == name.project_id]
    else:
        where = [
            projects.c.name == name.project_name,
            or_(domains.c.id == name.domain_id, domains.c.name == name.domain_name),
        ]
    found = tx.execute(select(projects.c.id).join(domains, domains.c.id == projects.c.domain_id).where(*where))
    return _only(found.scalars().first())


def _only(found: str | None) -> str:
    if found is None:
        raise Unauthorized(REFUSED)
    return found


def _has_role(tx: Transaction, user_id: str, project_id: str) -> bool:
    found = select(role_assignments.c.user_id).where(
        role_assignments.c.user_id == user_id,
        role_assignments.c.target_type == "project",
        role_assignments.c.target_id == project_id,
    )
    return project_id != SYSTEM_TARGET and tx.execute(found).first() is not None


def _failures(tx: Transaction, key: str, client: str) -> int:
    row = tx.execute(
        select(login_attempts.c.failures, login_attempts.c.last_at).where(
            login_attempts.c.user_id == key, login_attempts.c.client == client
        )
    ).first()
    if row is None:
        return 0
    failures, last_at = row
    if failures >= FREE:
        pause = min(2 ** min(failures - FREE, 16), LONGEST)
        left = last_at + pause * SECOND - tx.now
        if left > 0:
            seconds = -(-left // SECOND)
            raise TooManyRequests(
                f"Too many failed logins of this user from this address; try again in {seconds} s.", retry_after=seconds
            )
    return int(failures)


def _trim(tx: Transaction) -> None:
    """Forget the oldest pairs above MOST."""
    c = login_attempts.c
    many = tx.execute(select(func.count()).select_from(login_attempts)).scalar_one()
    if many > MOST:
        oldest = select(c.last_at).order_by(c.last_at).offset(many - MOST).limit(1).scalar_subquery()
        tx.execute(delete(login_attempts).where(c.last_at < oldest))


def _called(name: UserName) -> list[ColumnElement[bool]]:
    if name.id is not None:
        return [users.c.id == name.id]
    return [users.c.name == name.name, or_(domains.c.id == name.domain_id, domains.c.name == name.domain_name)]


def _unknown(*names: str | None) -> str:
    """A key for one who is not there, of bounded length."""
    text = "\0".join(name or "" for name in names)
    return "unknown:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
