"""/v3/roles, roles of users on projects, domains and the system, /v3/role_assignments, /v3/role_inferences"""

import uuid
from typing import Any

import msgspec
from msgspec import Struct

from pumice.api.edge.route import Call, Route
from pumice.api.identity.answers import Name, Text, listed, with_self
from pumice.db.engine import Transaction
from pumice.errors import BadRequest
from pumice.identity import domains, projects, roles, users
from pumice.identity.model import IMPLIED, SYSTEM_TARGET, Assignment, Role, TargetType
from pumice.identity.roles import AssignmentNames


class NewRole(Struct):
    name: Name
    description: Text | None = None


class NewRoleBody(Struct):
    role: NewRole


class ChangedRole(Struct):
    name: Name | None = None
    description: Text | None = None


class ChangedRoleBody(Struct):
    role: ChangedRole


def shown(role: Role, call: Call) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": role.id,
        "name": role.name,
        "domain_id": None,
        "description": role.description,
        "options": {},
    }
    return with_self(values, "/roles", call)


def index(tx: Transaction, call: Call) -> Any:
    return listed("roles", roles.listing(tx, call.params.get("name")), shown, call)


def show(tx: Transaction, call: Call) -> Any:
    return {"role": shown(roles.get(tx, call.path["role_id"]), call)}


def create(tx: Transaction, call: Call) -> Any:
    new: NewRole = call.body.role
    return {"role": shown(roles.create(tx, Role(uuid.uuid4().hex, new.name, new.description or "", tx.now)), call)}


def update(tx: Transaction, call: Call) -> Any:
    new: ChangedRole = call.body.role
    return {"role": shown(roles.change(tx, call.path["role_id"], new.name, new.description), call)}


def delete(tx: Transaction, call: Call) -> None:
    roles.remove(tx, call.path["role_id"])


def _target(call: Call) -> tuple[TargetType, str]:
    if "project_id" in call.path:
        return "project", call.path["project_id"]
    if "domain_id" in call.path:
        return "domain", call.path["domain_id"]
    return "system", SYSTEM_TARGET


def _assignment(call: Call) -> Assignment:
    return Assignment(call.path["user_id"], call.path["role_id"], *_target(call))


def granted(tx: Transaction, call: Call) -> Any:
    """The roles that a user was given there."""
    users.get(tx, call.path["user_id"])
    if "project_id" in call.path:
        projects.get(tx, call.path["project_id"])
    if "domain_id" in call.path:
        domains.get(tx, call.path["domain_id"])
    return listed("roles", roles.of_user_on(tx, call.path["user_id"], *_target(call)), shown, call)


def check(tx: Transaction, call: Call) -> None:
    roles.check(tx, _assignment(call))


def grant(tx: Transaction, call: Call) -> None:
    roles.assign(tx, _assignment(call))


def withdraw(tx: Transaction, call: Call) -> None:
    """Takes effect at once: tokens that lived on this role alone are worth nothing any more."""
    roles.unassign(tx, _assignment(call))


_FILTERS = {"user.id": "user_id", "role.id": "role_id"}
_SCOPES = {"scope.project.id": "project", "scope.domain.id": "domain"}


_NOBODY = ("group.id", "scope.OS-INHERIT:inherited_to")
"""Filters for what is not here: nothing is assigned to a group, or inherited."""


def assignments(tx: Transaction, call: Call) -> Any:
    """Who has which role where; with names where `include_names`, with implied roles where `effective` is given."""
    found = [] if any(name in call.params for name in _NOBODY) else _assignments(tx, call)
    named = _flag(call, "include_names")
    links = {"self": call.links.here, "previous": None, "next": None}
    return {"role_assignments": [_shown(one, names if named else None, call) for one, names in found], "links": links}


def _assignments(tx: Transaction, call: Call) -> list[tuple[Assignment, AssignmentNames]]:
    filters = {column: call.params[name] for name, column in _FILTERS.items() if name in call.params}
    scopes = [name for name in (*_SCOPES, "scope.system") if name in call.params]
    if len(scopes) > 1:
        raise BadRequest(f"Give one of {' and '.join(scopes)}: an assignment is for one of them.")
    for name in scopes:
        if name == "scope.system":
            filters.update(target_type="system", target_id=SYSTEM_TARGET)
        else:
            filters.update(target_type=_SCOPES[name], target_id=call.params[name])
    if not _flag(call, "effective"):
        return roles.assignments(tx, filters)
    role_id = filters.pop("role_id", None)
    found = roles.with_implied(tx, roles.assignments(tx, filters))
    return [(one, names) for one, names in found if role_id in (None, one.role_id)]


def _flag(call: Call, name: str) -> bool:
    """As Keystone reads it: there without a value is yes."""
    return name in call.params and call.params[name].lower() not in ("0", "false", "no", "off")


def inferences(tx: Transaction, call: Call) -> Any:
    """Which role brings which along."""
    by_name = {role.name.lower(): role for role in roles.listing(tx)}
    found = [
        {
            "prior_role": _reference(by_name[prior], call),
            "implies": [_reference(by_name[name], call) for name in implied if name in by_name],
        }
        for prior, implied in IMPLIED.items()
        if prior in by_name
    ]
    return {"role_inferences": found, "links": {"self": call.links.here, "previous": None, "next": None}}


def _reference(role: Role, call: Call) -> dict[str, Any]:
    return with_self({"id": role.id, "name": role.name, "description": role.description}, "/roles", call)


def _shown(one: Assignment, names: AssignmentNames | None, call: Call) -> dict[str, Any]:
    role: dict[str, Any] = {"id": one.role_id}
    user: dict[str, Any] = {"id": one.user_id}
    target: dict[str, Any] = {"id": one.target_id}
    if names is not None:
        role["name"] = names.role
        user.update(name=names.user, domain=msgspec.to_builtins(names.user_domain))
        target["name"] = names.target
        if names.target_domain is not None:
            target["domain"] = msgspec.to_builtins(names.target_domain)
    if one.target_type == "system":
        scope: dict[str, Any] = {"system": {"all": True}}
        place = "/system"
    else:
        scope = {one.target_type: target}
        place = f"/{one.target_type}s/{one.target_id}"
    link = call.links.url(f"{place}/users/{one.user_id}/roles/{one.role_id}")
    return {"role": role, "user": user, "scope": scope, "links": {"assignment": link}}


def _grants(place: str) -> tuple[Route, ...]:
    many = f"{place}/users/{{user_id}}/roles"
    one = f"{many}/{{role_id}}"
    return (
        Route("GET", many, granted, action="identity:list_grants"),
        Route("GET", one, check, status=204, action="identity:check_grant"),
        Route("PUT", one, grant, status=204, write=True, action="identity:create_grant"),
        Route("DELETE", one, withdraw, status=204, write=True, action="identity:revoke_grant"),
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/roles", index, action="identity:list_roles"),
    Route("GET", "/roles/{role_id}", show, action="identity:get_role"),
    Route("POST", "/roles", create, status=201, body=NewRoleBody, write=True, action="identity:create_role"),
    Route("PATCH", "/roles/{role_id}", update, body=ChangedRoleBody, write=True, action="identity:update_role"),
    Route("DELETE", "/roles/{role_id}", delete, status=204, write=True, action="identity:delete_role"),
    *_grants("/projects/{project_id}"),
    *_grants("/domains/{domain_id}"),
    *_grants("/system"),
    Route("GET", "/role_inferences", inferences, action="identity:list_role_inference_rules"),
    Route("GET", "/role_assignments", assignments, action="identity:list_role_assignments"),
)
