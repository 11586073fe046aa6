"""Domains: name spaces of projects and users."""

from collections.abc import Mapping

from sqlalchemy import delete, select, update

from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import domains, projects, role_assignments, users
from pumice.errors import Conflict, Forbidden, NotFound
from pumice.identity import generation, roles, tokens
from pumice.identity.changes import changed, exact_filters, insert_new, refuse_duplicate, row_values
from pumice.identity.model import DEFAULT_DOMAIN, Domain, DomainChange

_DOMAIN = columns(domains, Domain)


def get(tx: Transaction, domain_id: str) -> Domain:
    """Raises NotFound."""
    row = tx.execute(select(*_DOMAIN).where(domains.c.id == domain_id)).first()
    if row is None:
        raise NotFound.of("Domain", domain_id)
    return Domain(*row)


def listing(tx: Transaction, filters: Mapping[str, str]) -> list[Domain]:
    """All domains by name; filters: name, enabled."""
    where = exact_filters(filters, {"name": domains.c.name, "enabled": domains.c.enabled})
    return [Domain(*row) for row in tx.execute(select(*_DOMAIN).where(*where).order_by(domains.c.name))]


def of_user(tx: Transaction, user_id: str) -> list[Domain]:
    """The enabled domains on which the user has any role."""
    assigned = select(role_assignments.c.target_id).where(
        role_assignments.c.user_id == user_id, role_assignments.c.target_type == "domain"
    )
    rows = tx.execute(select(*_DOMAIN).where(domains.c.id.in_(assigned), domains.c.enabled).order_by(domains.c.name))
    return [Domain(*row) for row in rows]


def create(tx: Transaction, domain_id: str, name: str, description: str = "", enabled: bool = True) -> Domain:
    """Raises Conflict when the name is taken."""
    generation.alone(tx)
    refuse_duplicate(tx, "domain", name, select(domains.c.id).where(domains.c.name == name))
    domain = Domain(domain_id, name, description, enabled, tx.now)
    insert_new(tx, "domain", domains, row_values(domain))
    return domain


def change(tx: Transaction, domain_id: str, wanted: DomainChange) -> Domain:
    """Disabling a domain revokes the tokens of its users and for its projects.

    Raises NotFound, Conflict when the name is taken, Forbidden for disabling the domain of the administrators."""
    generation.alone(tx)
    values = changed(wanted, "domain", get(tx, domain_id))
    if domain_id == DEFAULT_DOMAIN and values.get("enabled") is False:
        raise Forbidden("The domain Default holds the administrator and stays enabled.")
    if values.get("enabled") is False and {one.domain_id for one in roles.administrators(tx)} == {domain_id}:
        raise Forbidden("This domain holds the last administrators; make another one elsewhere first.")
    if "name" in values:
        taken = select(domains.c.id).where(domains.c.name == values["name"], domains.c.id != domain_id)
        refuse_duplicate(tx, "domain", values["name"], taken)
    if values:
        tx.execute(update(domains).where(domains.c.id == domain_id).values(**values))
        generation.advance(tx)
    if values.get("enabled") is False:
        tokens.revoke_of_domain(tx, domain_id)
    return get(tx, domain_id)


def remove(tx: Transaction, domain_id: str) -> None:
    """Raises NotFound, Forbidden while it is enabled, Conflict while it holds projects or users."""
    generation.alone(tx)
    domain = get(tx, domain_id)
    if domain.enabled:
        raise Forbidden(f"Domain {domain.name} is enabled; disable it before it is deleted.")
    for noun, table in (("projects", projects), ("users", users)):
        if tx.execute(select(table.c.id).where(table.c.domain_id == domain_id).limit(1)).first():
            raise Conflict(f"Domain {domain.name} still has {noun}; delete those first.")
    tx.execute(
        delete(role_assignments).where(
            role_assignments.c.target_type == "domain", role_assignments.c.target_id == domain_id
        )
    )
    tokens.revoke_of_domain(tx, domain_id)
    tx.execute(delete(domains).where(domains.c.id == domain_id))
    generation.advance(tx)
