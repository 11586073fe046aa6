"""Logging in, in three parts around the slow hashing: look the user up, note a failure, or issue a token.

Failures slow down one pair of (user, client address): after FREE of them each further try waits twice as long, up to
LONGEST. Another address is never slowed, so nobody can lock the administrator out. The rows are in the database, so
that it holds across API processes; a failure costs a password hash first, which bounds how fast they come.
"""

import hashlib

import msgspec
from sqlalchemy import delete, insert, or_, select, update

from pumice.clock import HOUR, SECOND
from pumice.db.engine import Transaction
from pumice.db.schema import domains, login_attempts, projects, role_assignments, users
from pumice.errors import TooManyRequests, Unauthorized
from pumice.identity import tokens
from pumice.identity.model import SYSTEM_TARGET, Grant, Scope

FREE = 5
LONGEST = 60
"""Seconds."""

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


class Candidate(msgspec.Struct, frozen=True):
    """Who wants to log in. `user_id` and `password_hash` are None for an unknown user."""

    key: str
    user_id: str | None
    password_hash: str | None
    default_project_id: str | None
    failures: int


def look_up(tx: Transaction, name: UserName, client: str) -> Candidate:
    """Raises TooManyRequests while this client has to wait with this user."""
    where = [users.c.id == name.id] if name.id else [users.c.name == name.name]
    if not name.id:
        where.append(or_(domains.c.id == name.domain_id, domains.c.name == name.domain_name))
    row = tx.execute(
        select(users.c.id, users.c.password_hash, users.c.default_project_id, users.c.enabled, domains.c.enabled)
        .join(domains, domains.c.id == users.c.domain_id)
        .where(*where)
    ).first()
    key = row[0] if row is not None else _unknown(name)
    failures = _failures(tx, key, client[:64])
    if row is None:
        return Candidate(key, None, None, None, failures)
    usable = bool(row[3] and row[4])
    return Candidate(key, row[0] if usable else None, row[1] if usable else None, row[2], failures)


def note_failure(tx: Transaction, candidate: Candidate, client: str) -> None:
    """Count one more failure of this pair, and forget pairs that were quiet for an hour."""
    pair = (login_attempts.c.user_id == candidate.key, login_attempts.c.client == client[:64])
    tx.execute(delete(login_attempts).where(login_attempts.c.last_at < tx.now - HOUR))
    counted = tx.execute(
        update(login_attempts).where(*pair).values(failures=login_attempts.c.failures + 1, last_at=tx.now)
    )
    if not counted.rowcount:
        tx.execute(insert(login_attempts).values(user_id=candidate.key, client=client[:64], failures=1, last_at=tx.now))


def succeed(tx: Transaction, candidate: Candidate, client: str, scope: ScopeName, lifetime: int) -> tuple[str, Grant]:
    """The password was right: forget the failures and issue a token. Raises Unauthorized (no role on the scope)."""
    if candidate.user_id is None:
        raise Unauthorized(REFUSED)
    if candidate.failures:
        pair = (login_attempts.c.user_id == candidate.key, login_attempts.c.client == client[:64])
        tx.execute(delete(login_attempts).where(*pair))
    tokens.purge(tx)
    found = find_scope(tx, scope, candidate.user_id, candidate.default_project_id)
    return tokens.issue(tx, candidate.user_id, found, ["password"], lifetime)


def rescope(tx: Transaction, token_digest: str, scope: ScopeName, lifetime: int) -> tuple[str, Grant]:
    """A token made with another one: same user, same end. Raises Unauthorized."""
    grant = tokens.evaluate(tx, token_digest)
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


def _unknown(name: UserName) -> str:
    """A key for a user that is not there, of bounded length."""
    text = "\0".join((name.id or "", name.name or "", name.domain_id or "", name.domain_name or ""))
    return "unknown:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
