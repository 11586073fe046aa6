"""Projects: what resources belong to."""

from collections.abc import Mapping

from sqlalchemy import delete, select, update

from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import projects, role_assignments
from pumice.errors import NotFound
from pumice.identity import domains, generation
from pumice.identity.changes import changed, exact_filters, insert_new, refuse_duplicate, row_values
from pumice.identity.model import DomainChange, Project

_PROJECT = columns(projects, Project)


def get(tx: Transaction, project_id: str) -> Project:
    """Raises NotFound."""
    row = tx.execute(select(*_PROJECT).where(projects.c.id == project_id)).first()
    if row is None:
        raise NotFound.of("Project", project_id)
    return Project(*row)


def listing(tx: Transaction, filters: Mapping[str, str]) -> list[Project]:
    """All projects by name; filters: name, domain_id, enabled, parent_id."""
    c = projects.c
    where = exact_filters(
        filters, {"name": c.name, "domain_id": c.domain_id, "enabled": c.enabled, "parent_id": c.parent_id}
    )
    return [Project(*row) for row in tx.execute(select(*_PROJECT).where(*where).order_by(c.name, c.id))]


def of_user(tx: Transaction, user_id: str) -> list[Project]:
    """The enabled projects on which the user has any role."""
    assigned = select(role_assignments.c.target_id).where(
        role_assignments.c.user_id == user_id, role_assignments.c.target_type == "project"
    )
    rows = tx.execute(
        select(*_PROJECT).where(projects.c.id.in_(assigned), projects.c.enabled).order_by(projects.c.name)
    )
    return [Project(*row) for row in rows]


def create(tx: Transaction, project: Project) -> Project:
    """Raises NotFound (domain), Conflict when the domain has a project of that name."""
    domains.get(tx, project.domain_id)
    same = select(projects.c.id).where(projects.c.domain_id == project.domain_id, projects.c.name == project.name)
    refuse_duplicate(tx, "project", project.name, same)
    insert_new(tx, "project", projects, row_values(project))
    return project


def change(tx: Transaction, project_id: str, wanted: DomainChange) -> Project:
    """Raises NotFound, Conflict when the name is taken."""
    project = get(tx, project_id)
    values = changed(wanted)
    if "name" in values:
        same = select(projects.c.id).where(
            projects.c.domain_id == project.domain_id, projects.c.name == values["name"], projects.c.id != project_id
        )
        refuse_duplicate(tx, "project", values["name"], same)
    if values:
        tx.execute(update(projects).where(projects.c.id == project_id).values(**values))
        generation.advance(tx)
    return get(tx, project_id)


def remove(tx: Transaction, project_id: str) -> None:
    """The project and its assignments; tokens for it are worth nothing from then on. Raises NotFound."""
    get(tx, project_id)
    tx.execute(
        delete(role_assignments).where(
            role_assignments.c.target_type == "project", role_assignments.c.target_id == project_id
        )
    )
    tx.execute(delete(projects).where(projects.c.id == project_id))
    generation.advance(tx)
