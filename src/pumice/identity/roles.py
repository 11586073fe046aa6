"""Roles, and who has which one where."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, delete, func, select, update

from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import domains, projects, role_assignments, roles, users
from pumice.errors import Conflict, Forbidden, NotFound
from pumice.identity import application_credentials, generation, tokens
from pumice.identity.changes import insert_new, refuse_duplicate, row_values
from pumice.identity.model import IMPLIED, SYSTEM_TARGET, Assignment, Named, Role, TargetType

BUILT_IN = ("admin", "member", "reader", "service")
"""Roles that the policy speaks of: they can be neither deleted nor renamed."""

_ROLE = columns(roles, Role)
_ASSIGNMENT = columns(role_assignments, Assignment)


def get(tx: Transaction, role_id: str) -> Role:
    """Raises NotFound."""
    row = tx.execute(select(*_ROLE).where(roles.c.id == role_id)).first()
    if row is None:
        raise NotFound.of("Role", role_id)
    return Role(*row)


def listing(tx: Transaction, name: str | None = None) -> list[Role]:
    """All roles by name, or the one called so (names are compared without case)."""
    where = [func.lower(roles.c.name) == name.lower()] if name is not None else []
    return [Role(*row) for row in tx.execute(select(*_ROLE).where(*where).order_by(roles.c.name))]


def create(tx: Transaction, role: Role) -> Role:
    """Raises Conflict when there is a role of that name in any case."""
    generation.alone(tx)
    refuse_duplicate(tx, "role", role.name, _named(role.name))
    insert_new(tx, "role", roles, row_values(role))
    return role


def change(tx: Transaction, role_id: str, name: str | None, description: str | None) -> Role:
    """Raises NotFound, Forbidden for a built-in role's name, Conflict when the name is taken."""
    generation.alone(tx)
    role = get(tx, role_id)
    values = {}
    if name is not None and name != role.name:
        _refuse_built_in(role)
        refuse_duplicate(tx, "role", name, _named(name).where(roles.c.id != role_id))
        values["name"] = name
    if description is not None:
        values["description"] = description
    if values:
        tx.execute(update(roles).where(roles.c.id == role_id).values(**values))
        generation.advance(tx)
    return get(tx, role_id)


def remove(tx: Transaction, role_id: str) -> None:
    """The role, its assignments, and application credentials that grant it.

    Raises NotFound, Forbidden for a built-in role."""
    generation.alone(tx)
    role = get(tx, role_id)
    _refuse_built_in(role)
    application_credentials.remove_with_role(tx, role_id)
    tx.execute(delete(role_assignments).where(role_assignments.c.role_id == role_id))
    tx.execute(delete(roles).where(roles.c.id == role_id))
    generation.advance(tx)


def assign(tx: Transaction, wanted: Assignment) -> None:
    """Again is no error. Raises NotFound for an unknown user, role or target."""
    generation.alone(tx)
    _refuse_unknown(tx, wanted)
    if not _exists(tx, wanted):
        insert_new(tx, "role assignment", role_assignments, row_values(wanted))
        generation.advance(tx)


def unassign(tx: Transaction, unwanted: Assignment) -> None:
    """What lived on this role alone ends for good: tokens for the target, application credentials that grant it.

    Raises NotFound when there is no such assignment, Conflict for the last one that administers."""
    generation.alone(tx)
    if not _exists(tx, unwanted):
        raise NotFound("The role assignment could not be found.")
    _refuse_last_administration(tx, unwanted)
    tx.execute(delete(role_assignments).where(*_same(unwanted)))
    generation.advance(tx)
    user_id, target_type, target_id = unwanted.user_id, unwanted.target_type, unwanted.target_id
    held = tokens.effective_roles(tx, user_id, target_type, target_id)
    if not held:
        tokens.revoke_of_scope(tx, target_type, target_id, user_id)
    if target_type == "project":
        application_credentials.remove_beyond(tx, user_id, target_id, held)


def check(tx: Transaction, wanted: Assignment) -> None:
    """Raises NotFound when there is no such assignment."""
    if not _exists(tx, wanted):
        raise NotFound("The role assignment could not be found.")


def of_user_on(tx: Transaction, user_id: str, target_type: TargetType, target_id: str) -> list[Role]:
    """The roles that were given directly."""
    rows = tx.execute(
        select(*_ROLE)
        .join(role_assignments, role_assignments.c.role_id == roles.c.id)
        .where(
            role_assignments.c.user_id == user_id,
            role_assignments.c.target_type == target_type,
            role_assignments.c.target_id == target_id,
        )
        .order_by(roles.c.name)
    )
    return [Role(*row) for row in rows]


class AssignmentNames(msgspec.Struct, frozen=True):
    """The names around one assignment; `target` is "all" for the system."""

    user: str
    user_domain: Named
    role: str
    target: str
    target_domain: Named | None
    """Of a project."""


def assignments(tx: Transaction, filters: Mapping[str, str]) -> list[tuple[Assignment, AssignmentNames]]:
    """Assignments with their names; filters: user_id, role_id, target_type, target_id."""
    c = role_assignments.c
    home, project_home = domains.alias(), domains.alias()
    rows = tx.execute(
        select(
            *_ASSIGNMENT,
            users.c.name,
            home.c.id,
            home.c.name,
            roles.c.name,
            projects.c.name,
            domains.c.name,
            project_home.c.id,
            project_home.c.name,
        )
        .join(users, users.c.id == c.user_id)
        .join(home, home.c.id == users.c.domain_id)
        .join(roles, roles.c.id == c.role_id)
        .outerjoin(projects, (c.target_type == "project") & (projects.c.id == c.target_id))
        .outerjoin(project_home, project_home.c.id == projects.c.domain_id)
        .outerjoin(domains, (c.target_type == "domain") & (domains.c.id == c.target_id))
        .where(*(c[name] == value for name, value in filters.items()))
        .order_by(c.user_id, c.target_type, c.target_id, c.role_id)
    )
    found = []
    for row in rows:
        user, home_id, home_name, role, project, domain, project_home_id, project_home_name = row[4:]
        target_domain = None if project is None else Named(project_home_id, project_home_name)
        names = AssignmentNames(
            user, Named(home_id, home_name), role, project or domain or SYSTEM_TARGET, target_domain
        )
        found.append((Assignment(*row[:4]), names))
    return found


def with_implied(
    tx: Transaction, found: Iterable[tuple[Assignment, AssignmentNames]]
) -> list[tuple[Assignment, AssignmentNames]]:
    """The same and, behind each, the assignments of the roles it implies; each once."""
    by_name = {role.name.lower(): role for role in listing(tx)}
    effective: dict[Assignment, AssignmentNames] = {}
    for one, names in found:
        effective[one] = names
        for implied in IMPLIED.get(names.role.lower(), ()):
            if implied in by_name:
                role = by_name[implied]
                brought = Assignment(one.user_id, role.id, one.target_type, one.target_id)
                effective.setdefault(brought, msgspec.structs.replace(names, role=role.name))
    return list(effective.items())


class Administrator(msgspec.Struct, frozen=True):
    """A user who has the role admin somewhere and can log in."""

    id: str
    domain_id: str


def administrators(tx: Transaction) -> list[Administrator]:
    """Those who could mend what somebody locked; never to become nobody."""
    statement = (
        select(users.c.id, users.c.domain_id)
        .distinct()
        .join(role_assignments, role_assignments.c.user_id == users.c.id)
        .join(roles, roles.c.id == role_assignments.c.role_id)
        .join(domains, domains.c.id == users.c.domain_id)
        .where(roles.c.name == "admin", users.c.enabled, domains.c.enabled)
    )
    return [Administrator(*row) for row in tx.execute(statement)]


def _named(name: str) -> Select[Any]:
    return select(roles.c.id).where(func.lower(roles.c.name) == name.lower())


def _same(one: Assignment) -> list[ColumnElement[bool]]:
    return [role_assignments.c[name] == value for name, value in row_values(one).items()]


def _exists(tx: Transaction, one: Assignment) -> bool:
    return tx.execute(select(role_assignments.c.user_id).where(*_same(one))).first() is not None


def _refuse_unknown(tx: Transaction, one: Assignment) -> None:
    get(tx, one.role_id)
    looked_for = [("User", users, one.user_id)]
    if one.target_type == "project":
        looked_for.append(("Project", projects, one.target_id))
    elif one.target_type == "domain":
        looked_for.append(("Domain", domains, one.target_id))
    for noun, table, identifier in looked_for:
        if tx.execute(select(table.c.id).where(table.c.id == identifier)).first() is None:
            raise NotFound.of(noun, identifier)


def _refuse_built_in(role: Role) -> None:
    if role.name in BUILT_IN:
        raise Forbidden(f"The role {role.name} is needed by the policy and stays as it is.")


def _refuse_last_administration(tx: Transaction, unwanted: Assignment) -> None:
    if get(tx, unwanted.role_id).name != "admin":
        return
    others = select(func.count()).where(role_assignments.c.role_id == unwanted.role_id)
    if tx.execute(others).scalar_one() == 1:
        raise Conflict("This is the last assignment of the role admin; make another administrator first.")
