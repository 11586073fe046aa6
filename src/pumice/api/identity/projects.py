"""/v3/projects"""

import uuid
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from pumice.api.edge.route import Call, Route
from pumice.api.identity.answers import Identifier, Name, Text, listed, with_self
from pumice.db.engine import Transaction
from pumice.identity import projects
from pumice.identity.model import DEFAULT_DOMAIN, DomainChange, Project


class NewProject(Struct):
    name: Name
    domain_id: Identifier | None = None
    parent_id: Identifier | None = None
    description: Text | None = None
    enabled: bool = True


class NewProjectBody(Struct):
    project: NewProject


class ChangedProject(Struct):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class ChangedProjectBody(Struct):
    project: ChangedProject


def shown(project: Project, call: Call) -> dict[str, Any]:
    values = {
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain_id,
        "parent_id": project.parent_id or project.domain_id,
        "description": project.description,
        "enabled": project.enabled,
        "is_domain": False,
        "tags": [],
        "options": {},
    }
    return with_self(values, "/projects", call)


def index(tx: Transaction, call: Call) -> Any:
    return listed("projects", projects.listing(tx, call.params), shown, call)


def show(tx: Transaction, call: Call) -> Any:
    return {"project": shown(projects.get(tx, call.path["project_id"]), call)}


def create(tx: Transaction, call: Call) -> Any:
    new: NewProject = call.body.project
    domain_id = new.domain_id or call.caller.domain_id or DEFAULT_DOMAIN
    project = Project(
        uuid.uuid4().hex, domain_id, new.parent_id or domain_id, new.name, new.description or "", new.enabled, tx.now
    )
    return {"project": shown(projects.create(tx, project), call)}


def update(tx: Transaction, call: Call) -> Any:
    new: ChangedProject = call.body.project
    wanted = DomainChange(name=new.name, description=new.description, enabled=new.enabled)
    return {"project": shown(projects.change(tx, call.path["project_id"], wanted), call)}


def delete(tx: Transaction, call: Call) -> None:
    projects.remove(tx, call.path["project_id"])


def of_user(tx: Transaction, call: Call) -> Any:
    return listed("projects", projects.of_user(tx, call.path["user_id"]), shown, call)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/projects", index, action="identity:list_projects"),
    Route("GET", "/projects/{project_id}", show, action="identity:get_project"),
    Route("POST", "/projects", create, status=201, body=NewProjectBody, write=True, action="identity:create_project"),
    Route(
        "PATCH", "/projects/{project_id}", update, body=ChangedProjectBody, write=True, action="identity:update_project"
    ),
    Route("DELETE", "/projects/{project_id}", delete, status=204, write=True, action="identity:delete_project"),
    Route("GET", "/users/{user_id}/projects", of_user, action="identity:list_user_projects"),
)
