"""/v3/projects and their tags"""

import uuid
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from pumice.api.edge.route import Call, Route
from pumice.api.identity.answers import Identifier, Name, Text, listed, with_self
from pumice.db.engine import Transaction
from pumice.errors import InvalidField, NotFound
from pumice.identity import projects, users
from pumice.identity.model import DEFAULT_DOMAIN, Project, ProjectChange

Tag = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[^,/]*\Z")]
Tags = Annotated[list[Tag], Meta(max_length=80)]


class NewProject(Struct):
    name: Name
    domain_id: Identifier | None = None
    parent_id: Identifier | None = None
    description: Text | None = None
    enabled: bool = True
    is_domain: bool = False
    tags: Tags = []


class NewProjectBody(Struct):
    project: NewProject


class ChangedProject(Struct):
    name: Name | UnsetType = UNSET
    domain_id: Identifier | UnsetType = UNSET
    parent_id: Identifier | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


class ChangedProjectBody(Struct):
    project: ChangedProject


class TagsBody(Struct):
    tags: Tags


def shown(project: Project, call: Call, tags: Sequence[str] = ()) -> dict[str, Any]:
    values = {
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain_id,
        "parent_id": project.parent_id or project.domain_id,
        "description": project.description,
        "enabled": project.enabled,
        "is_domain": False,
        "tags": list(tags),
        "options": {},
    }
    return with_self(values, "/projects", call)


def index(tx: Transaction, call: Call) -> Any:
    return listed_with_tags(tx, projects.listing(tx, call.params), call)


def listed_with_tags(tx: Transaction, found: Sequence[Project], call: Call) -> dict[str, Any]:
    tags = projects.tags_of(tx, [project.id for project in found])
    return listed("projects", found, lambda project, call: shown(project, call, tags.get(project.id, ())), call)


def show(tx: Transaction, call: Call) -> Any:
    return _one(tx, projects.get(tx, call.path["project_id"]), call)


def _one(tx: Transaction, project: Project, call: Call) -> dict[str, Any]:
    return {"project": shown(project, call, projects.tags_of(tx, [project.id]).get(project.id, ()))}


def create(tx: Transaction, call: Call) -> Any:
    new: NewProject = call.body.project
    if new.is_domain:
        raise InvalidField("project.is_domain", True, "make a domain with POST /v3/domains instead")
    domain_id = new.domain_id or call.caller.domain_id or DEFAULT_DOMAIN
    project = Project(
        uuid.uuid4().hex, domain_id, new.parent_id or domain_id, new.name, new.description or "", new.enabled, tx.now
    )
    projects.create(tx, project)
    projects.set_tags(tx, project.id, new.tags)
    return _one(tx, project, call)


def update(tx: Transaction, call: Call) -> Any:
    new: ChangedProject = call.body.project
    wanted = ProjectChange(
        name=new.name,
        description=new.description,
        enabled=new.enabled,
        domain_id=new.domain_id,
        parent_id=new.parent_id,
    )
    project = projects.change(tx, call.path["project_id"], wanted)
    if not isinstance(new.tags, UnsetType):
        projects.set_tags(tx, project.id, new.tags)
    return _one(tx, project, call)


def delete(tx: Transaction, call: Call) -> None:
    projects.remove(tx, call.path["project_id"])


def of_user(tx: Transaction, call: Call) -> Any:
    users.get(tx, call.path["user_id"])
    return listed_with_tags(tx, projects.of_user(tx, call.path["user_id"]), call)


def tags(tx: Transaction, call: Call) -> Any:
    project_id = projects.get(tx, call.path["project_id"]).id
    return _tags(projects.tags_of(tx, [project_id]).get(project_id, []), call)


def set_tags(tx: Transaction, call: Call) -> Any:
    return _tags(projects.set_tags(tx, call.path["project_id"], call.body.tags), call)


def clear_tags(tx: Transaction, call: Call) -> None:
    projects.set_tags(tx, call.path["project_id"], ())


def check_tag(tx: Transaction, call: Call) -> None:
    project_id = projects.get(tx, call.path["project_id"]).id
    if call.path["tag"] not in projects.tags_of(tx, [project_id]).get(project_id, ()):
        raise NotFound.of("Tag", call.path["tag"])


def add_tag(tx: Transaction, call: Call) -> None:
    tag = call.path["tag"]
    if len(tag) > 255 or "," in tag or "/" in tag:
        raise InvalidField("tag", tag, "give at most 255 characters without comma and slash")
    projects.add_tag(tx, call.path["project_id"], tag)


def remove_tag(tx: Transaction, call: Call) -> None:
    projects.remove_tag(tx, call.path["project_id"], call.path["tag"])


def _tags(found: Sequence[str], call: Call) -> dict[str, Any]:
    return {"tags": list(found), "links": {"self": call.links.here, "previous": None, "next": None}}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/projects", index, action="identity:list_projects"),
    Route("GET", "/projects/{project_id}", show, action="identity:get_project"),
    Route("POST", "/projects", create, status=201, body=NewProjectBody, write=True, action="identity:create_project"),
    Route(
        "PATCH", "/projects/{project_id}", update, body=ChangedProjectBody, write=True, action="identity:update_project"
    ),
    Route("DELETE", "/projects/{project_id}", delete, status=204, write=True, action="identity:delete_project"),
    Route("GET", "/users/{user_id}/projects", of_user, action="identity:list_user_projects"),
    Route("GET", "/projects/{project_id}/tags", tags, action="identity:list_project_tags"),
    Route("PUT", "/projects/{project_id}/tags", set_tags, body=TagsBody, write=True, action="identity:update_project"),
    Route(
        "DELETE", "/projects/{project_id}/tags", clear_tags, status=204, write=True, action="identity:update_project"
    ),
    Route("GET", "/projects/{project_id}/tags/{tag}", check_tag, status=204, action="identity:list_project_tags"),
    Route(
        "PUT", "/projects/{project_id}/tags/{tag}", add_tag, status=201, write=True, action="identity:update_project"
    ),
    Route(
        "DELETE",
        "/projects/{project_id}/tags/{tag}",
        remove_tag,
        status=204,
        write=True,
        action="identity:update_project",
    ),
)
