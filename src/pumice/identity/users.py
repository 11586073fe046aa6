"""Users: who can log in. Password hashes go in here and are read by `logins.py` only."""

from collections.abc import Mapping

from sqlalchemy import delete, select, update

from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import login_attempts, role_assignments, tokens, users
from pumice.errors import Forbidden, NotFound, Unauthorized
from pumice.identity import application_credentials, domains, generation, roles
from pumice.identity.changes import changed, exact_filters, insert_new, refuse_duplicate, row_values
from pumice.identity.model import User, UserChange
from pumice.identity.tokens import revoke_of_user

_USER = columns(users, User)


def get(tx: Transaction, user_id: str) -> User:
    """Raises NotFound."""
    row = tx.execute(select(*_USER).where(users.c.id == user_id)).first()
    if row is None:
        raise NotFound.of("User", user_id)
    return User(*row)


def listing(tx: Transaction, filters: Mapping[str, str]) -> list[User]:
    """All users by name; filters: name, domain_id, enabled."""
    c = users.c
    where = exact_filters(filters, {"name": c.name, "domain_id": c.domain_id, "enabled": c.enabled})
    return [User(*row) for row in tx.execute(select(*_USER).where(*where).order_by(c.name, c.id))]


def create(tx: Transaction, user: User, password_hash: str | None) -> User:
    """Raises NotFound (domain), Conflict when the domain has a user of that name."""
    generation.alone(tx)
    domains.get(tx, user.domain_id)
    same = select(users.c.id).where(users.c.domain_id == user.domain_id, users.c.name == user.name)
    refuse_duplicate(tx, "user", user.name, same)
    insert_new(tx, "user", users, {**row_values(user), "password_hash": password_hash})
    return user


def change(tx: Transaction, user_id: str, wanted: UserChange) -> User:
    """A new password, or disabling, revokes the user's tokens. Application credentials outlive a new password (that
    is what they are for), and are of no use while their user is disabled.

    Raises NotFound, Conflict when the name is taken, Forbidden for disabling the last administrator, InvalidField for
    another domain."""
    generation.alone(tx)
    user = get(tx, user_id)
    values = changed(wanted, "user", user)
    if "name" in values:
        same = select(users.c.id).where(
            users.c.domain_id == user.domain_id, users.c.name == values["name"], users.c.id != user_id
        )
        refuse_duplicate(tx, "user", values["name"], same)
    if values.get("enabled") is False:
        _refuse_last_administrator(tx, user)
    if "password_hash" in values:
        values["password_changed_at"] = tx.now
    if values:
        tx.execute(update(users).where(users.c.id == user_id).values(**values))
        generation.advance(tx)
    if "password_hash" in values or values.get("enabled") is False:
        revoke_of_user(tx, user_id)
    return get(tx, user_id)


def replace_password(tx: Transaction, user_id: str, old_hash: str | None, new_hash: str) -> None:
    """By the user, who knew the old one. Raises Unauthorized when it was changed meanwhile, NotFound."""
    generation.alone(tx)
    if tx.execute(select(users.c.password_hash).where(users.c.id == user_id)).scalar() != old_hash:
        raise Unauthorized
    change(tx, user_id, UserChange(password_hash=new_hash))


def remove(tx: Transaction, user_id: str) -> None:
    """The user with tokens, application credentials and assignments.

    Raises NotFound, Forbidden for the last administrator."""
    generation.alone(tx)
    user = get(tx, user_id)
    _refuse_last_administrator(tx, user)
    application_credentials.remove_of_user(tx, user_id)
    tx.execute(delete(tokens).where(tokens.c.user_id == user_id))
    tx.execute(delete(role_assignments).where(role_assignments.c.user_id == user_id))
    tx.execute(delete(login_attempts).where(login_attempts.c.user_id == user_id))
    tx.execute(delete(users).where(users.c.id == user_id))
    generation.advance(tx)


def _refuse_last_administrator(tx: Transaction, user: User) -> None:
    if {one.id for one in roles.administrators(tx)} == {user.id}:
        raise Forbidden(f"User {user.name} is the last administrator; make another one first.")
