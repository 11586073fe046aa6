"""Projects: what resources belong to; their tags."""

from collections.abc import Iterable, Mapping

from msgspec import structs
from sqlalchemy import ColumnElement, delete, func, insert, select, update

from pumice.db.engine import Transaction
from pumice.db.rows import columns
from pumice.db.schema import project_tags, projects, role_assignments
from pumice.errors import InvalidField, NotFound
from pumice.identity import application_credentials, domains, generation, tokens
from pumice.identity.changes import changed, exact_filters, insert_new, refuse_duplicate, row_values
from pumice.identity.model import Project, ProjectChange

_PROJECT = columns(projects, Project)


def get(tx: Transaction, project_id: str) -> Project:
    """Raises NotFound."""
    row = tx.execute(select(*_PROJECT).where(projects.c.id == project_id)).first()
    if row is None:
        raise NotFound.of("Project", project_id)
    return Project(*row)


def listing(tx: Transaction, filters: Mapping[str, str]) -> list[Project]:
    """All projects by name; filters: name, domain_id, enabled, parent_id, tags, tags-any, not-tags, not-tags-any."""
    c = projects.c
    where = exact_filters(
        filters, {"name": c.name, "domain_id": c.domain_id, "enabled": c.enabled, "parent_id": c.parent_id}
    )
    where += _tag_filters(filters)
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
    """Raises NotFound (domain), InvalidField for a parent outside of it, Conflict when it has one of that name."""
    generation.alone(tx)
    domains.get(tx, project.domain_id)
    _refuse_foreign_parent(tx, project)
    same = select(projects.c.id).where(projects.c.domain_id == project.domain_id, projects.c.name == project.name)
    refuse_duplicate(tx, "project", project.name, same)
    insert_new(tx, "project", projects, row_values(project))
    return project


def change(tx: Transaction, project_id: str, wanted: ProjectChange) -> Project:
    """Disabling a project revokes the tokens for it.

    Raises NotFound, Conflict when the name is taken, InvalidField for another domain or parent."""
    generation.alone(tx)
    project = get(tx, project_id)
    values = changed(wanted, "project", structs.replace(project, parent_id=project.parent_id or project.domain_id))
    if "name" in values:
        same = select(projects.c.id).where(
            projects.c.domain_id == project.domain_id, projects.c.name == values["name"], projects.c.id != project_id
        )
        refuse_duplicate(tx, "project", values["name"], same)
    if values:
        tx.execute(update(projects).where(projects.c.id == project_id).values(**values))
        generation.advance(tx)
    if values.get("enabled") is False:
        tokens.revoke_of_scope(tx, "project", project_id)
    return get(tx, project_id)


def remove(tx: Transaction, project_id: str) -> None:
    """The project with assignments and application credentials; its tokens are worth nothing from then on.

    Raises NotFound."""
    generation.alone(tx)
    get(tx, project_id)
    application_credentials.remove_of_project(tx, project_id)
    tokens.revoke_of_scope(tx, "project", project_id)
    tx.execute(delete(project_tags).where(project_tags.c.project_id == project_id))
    tx.execute(
        delete(role_assignments).where(
            role_assignments.c.target_type == "project", role_assignments.c.target_id == project_id
        )
    )
    tx.execute(delete(projects).where(projects.c.id == project_id))
    generation.advance(tx)


def tags_of(tx: Transaction, project_ids: Iterable[str]) -> dict[str, list[str]]:
    """By project, in order; projects without tags are missing."""
    c = project_tags.c
    found: dict[str, list[str]] = {}
    rows = tx.execute(select(c.project_id, c.tag).where(c.project_id.in_(list(project_ids))).order_by(c.tag))
    for project_id, tag in rows:
        found.setdefault(project_id, []).append(tag)
    return found


def set_tags(tx: Transaction, project_id: str, tags: Iterable[str]) -> list[str]:
    """These tags in place of those before. Raises NotFound."""
    generation.alone(tx)
    get(tx, project_id)
    tx.execute(delete(project_tags).where(project_tags.c.project_id == project_id))
    wanted = sorted(set(tags))
    if wanted:
        tx.execute(insert(project_tags), [{"project_id": project_id, "tag": tag} for tag in wanted])
    return wanted


def add_tag(tx: Transaction, project_id: str, tag: str) -> None:
    """Again is no error. Raises NotFound."""
    generation.alone(tx)
    get(tx, project_id)
    if tag not in tags_of(tx, [project_id]).get(project_id, ()):
        tx.execute(insert(project_tags).values(project_id=project_id, tag=tag))


def remove_tag(tx: Transaction, project_id: str, tag: str) -> None:
    """Raises NotFound for the project or its tag."""
    get(tx, project_id)
    found = tx.execute(delete(project_tags).where(project_tags.c.project_id == project_id, project_tags.c.tag == tag))
    if not found.rowcount:
        raise NotFound.of("Tag", tag)


def _refuse_foreign_parent(tx: Transaction, project: Project) -> None:
    if project.parent_id in (None, project.domain_id):
        return
    parent = select(projects.c.domain_id).where(projects.c.id == project.parent_id)
    if tx.execute(parent).scalar() != project.domain_id:
        raise InvalidField("project.parent_id", project.parent_id, "name the domain, or a project of the same domain")


def _tag_filters(filters: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """`tags`: has all of them; `tags-any`: has any; with `not-` before: has not."""
    c = project_tags.c
    where: list[ColumnElement[bool]] = []
    for name in ("tags", "tags-any", "not-tags", "not-tags-any"):
        if name not in filters:
            continue
        asked = sorted(set(filters[name].split(",")))
        having = select(c.project_id).where(c.tag.in_(asked)).group_by(c.project_id)
        if not name.endswith("-any"):
            having = having.having(func.count() == len(asked))
        found = projects.c.id.in_(having)
        where.append(~found if name.startswith("not-") else found)
    return where
