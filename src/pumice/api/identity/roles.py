"""/v3/roles, roles of users on projects, domains and the system, /v3/role_assignments"""

import uuid
from typing import Any

import msgspec
from msgspec import Struct

from pumice.api.edge.route import Call, Route
from pumice.api.identity.answers import Name, Text, listed, with_self
from pumice.db.engine import Transaction
from pumice.identity import roles, users
from pumice.identity.model import SYSTEM_TARGET, Assignment, Role, TargetType
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


def assignments(tx: Transaction, call: Call) -> Any:
    """Who has which role where; with names where `include_names` is given."""
    filters = {column: call.params[name] for name, column in _FILTERS.items() if name in call.params}
    for name, target_type in _SCOPES.items():
        if name in call.params:
            filters.update(target_type=target_type, target_id=call.params[name])
    if "scope.system" in call.params:
        filters.update(target_type="system", target_id=SYSTEM_TARGET)
    named = call.params.get("include_names", "0").lower() not in ("0", "false")
    found = roles.assignments(tx, filters)
    links = {"self": call.links.here, "previous": None, "next": None}
    return {"role_assignments": [_shown(one, names if named else None, call) for one, names in found], "links": links}


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
    Route("GET", "/role_assignments", assignments, action="identity:list_role_assignments"),
)
